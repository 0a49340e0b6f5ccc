"""Do several hooks speak as one by their declared rule, in a stable order, however they are nested?"""

import asyncio
from fractions import Fraction
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.hooks.making import ANY, CALL, MOMENT, failing, list_names, make, saying

from quorate import InvalidInput
from quorate.hooks.ask import ask, consult, walk
from quorate.hooks.composite import first_match, parallel, sequential, voting
from quorate.hooks.hook import Decision, Hook, Moment, Verdict
from quorate.hooks.poll import Cast, PollRule, Tie, build_rule, count_votes, read_share
from quorate.messages import ToolCall


def writing(name: str, text: str) -> Hook:
    """A hook that writes something behind the call's arguments."""

    async def write(moment: Moment) -> Verdict:
        assert moment.call is not None
        changed = structs.replace(moment.call, arguments=moment.call.arguments + text)
        return Verdict(decision="replace", value=changed, reason=text)

    return make(name, write, decisions=ANY)


async def decide(hook: Hook) -> Verdict:
    """What a hook says about the one call of these tests."""
    return (await ask(hook, MOMENT)).verdict


async def test_in_sequence_replacements_flow_on() -> None:
    """Each hook sees what those before it have put in; the last word is the verdict."""
    verdict = await decide(sequential([writing("a", "1"), saying("b", "allow"), writing("c", "2")]))
    assert verdict.decision == "replace"
    assert cast("ToolCall", verdict.value).arguments == CALL.arguments + "12"


async def test_in_sequence_the_first_that_denies_ends_it() -> None:
    """Nobody behind it is asked, and what was put in before counts for nothing. row: E10"""
    asked: list[str] = []
    hook = sequential([writing("a", "1"), saying("b", "deny"), saying("c", "allow", asked=asked)])
    verdict = await decide(hook)
    assert (verdict.decision, verdict.reason, verdict.value) == ("deny", "b: b says so", None)
    assert list_names(verdict.heard) == ["a", "b"]
    assert asked == []


async def test_nobody_says_anything() -> None:
    """Hooks that all abstain abstain together."""
    silent = [saying("a", "abstain"), saying("b", "abstain")]
    for hook in (sequential(silent), parallel(silent), first_match(silent)):
        assert (await decide(hook)).decision == "abstain"


async def test_side_by_side_they_really_are() -> None:
    """Each waits for the other: one after the other would never end."""
    here, there = asyncio.Event(), asyncio.Event()

    async def left(moment: Moment) -> None:
        here.set()
        await there.wait()

    async def right(moment: Moment) -> Verdict:
        there.set()
        await here.wait()
        return Verdict(decision="allow")

    assert (await decide(parallel([make("left", left), make("right", right)]))).decision == "allow"


async def test_side_by_side_any_denies() -> None:
    """The first in order is quoted, and all were heard. row: E10"""
    verdict = await decide(parallel([saying("a", "allow"), saying("b", "deny"), saying("c", "deny")]))
    assert (verdict.decision, verdict.reason) == ("deny", "b: b says so")
    assert list_names(verdict.heard) == ["a", "b", "c"]


async def test_side_by_side_conflicting_replacements_are_refused() -> None:
    """Nobody guesses which one was meant; alike ones are no conflict."""
    verdict = await decide(parallel([writing("a", "1"), writing("b", "2")]))
    assert (verdict.decision, verdict.reason) == ("deny", "hooks `a` and `b` replace it differently")
    alike = await decide(parallel([writing("a", "1"), writing("b", "1"), saying("c", "allow")]))
    assert cast("ToolCall", alike.value).arguments == CALL.arguments + "1"


async def test_the_first_that_does_not_abstain_speaks() -> None:
    """Those behind it are not asked; one that fails open abstains, one that fails closed denies. row: E10"""
    asked: list[str] = []
    hook = first_match([saying("a", "abstain"), failing("b", "fail_open"), saying("c", "allow", asked=asked)])
    assert (await decide(hook)).decision == "allow"
    closed = first_match([failing("a", "fail_closed"), saying("b", "allow", asked=asked)])
    assert (await decide(closed)).decision == "deny"
    assert asked == ["c"]


async def test_priority_orders_and_is_stable() -> None:
    """The higher first, those alike as they were given."""
    asked: list[str] = []
    hooks = [
        saying(name, "abstain", priority=priority, asked=asked)
        for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)]
    ]
    await decide(sequential(hooks))
    assert asked == ["b", "d", "a", "c", "e"]


@pytest.mark.parametrize(
    ("votes", "threshold", "tie", "decision"),
    [
        ("aad", "1/2", "deny", "allow"),
        ("ad", "1/2", "deny", "deny"),
        ("ad", "1/2", "allow", "allow"),
        ("ad", "1/2", "first", "allow"),
        ("da", "1/2", "first", "deny"),
        ("-da", "1/2", "first", "deny"),
        ("aad", "2/3", "deny", "allow"),
        ("aadda", "2/3", "deny", "deny"),
        ("addda", "2/3", "allow", "allow"),
        ("dda", "2/3", "allow", "deny"),
        ("aaad", "0.75", "deny", "allow"),
        ("aaad", "0.750000001", "deny", "deny"),
        ("aaa", "1", "deny", "allow"),
        ("a-", "1/2", "deny", "allow"),
        ("---", "1/2", "allow", "deny"),
    ],
)
async def test_votes_by_hand(votes: str, threshold: str, tie: Tie, decision: Decision) -> None:
    """One vote each: `a` allows, `d` denies, `-` abstains. row: E10"""
    words: dict[str, Decision] = {"a": "allow", "d": "deny", "-": "abstain"}
    hooks = [saying(f"h{place}", words[vote]) for place, vote in enumerate(votes)]
    hook = voting(hooks, threshold=threshold, tie=tie, on_failure="fail_closed")
    assert (await decide(hook)).decision == decision


async def test_a_voter_that_fails_is_absent() -> None:
    """Its vote is neither yes nor no, whatever its failure means elsewhere; too many, and there is no quorum."""
    one = voting([saying("a", "allow"), failing("b", "fail_closed")], on_failure="fail_closed")
    assert (await decide(one)).decision == "allow"
    hung = [saying("a", "allow"), failing("b", "fail_open", kind="hangs"), failing("c", "fail_open")]
    closed = await decide(voting(hung, on_failure="fail_closed"))
    assert (closed.decision, closed.reason) == ("deny", "no quorum of 1/2: 1 allow, 0 deny, 0 abstain, 2 absent")
    assert (await decide(voting(hung, on_failure="fail_open"))).decision == "abstain"
    assert (await decide(voting(hung, on_failure="fail_closed", quorum="1/3"))).decision == "allow"


async def test_composites_nest() -> None:
    """A vote among committees, inside a sequence; everything that anybody said is heard."""
    committee = voting(
        [
            parallel([saying("a", "allow"), saying("b", "deny")], name="strict"),
            first_match([saying("c", "abstain"), saying("d", "allow")], name="lax"),
            saying("e", "allow"),
        ],
        on_failure="fail_closed",
        threshold="2/3",
    )
    heard = await ask(sequential([saying("f", "abstain"), committee], name="all"), MOMENT)
    assert heard.verdict.decision == "allow"
    names = [one.hook for one in walk(heard)]
    assert names == ["f", "a", "b", "strict", "c", "d", "lax", "e", "voting", "all"]


@pytest.mark.parametrize("build", [sequential, parallel, first_match])
async def test_a_declared_break_goes_through_every_composite(build: object) -> None:
    """Also from inside a vote: no majority turns it into a yes."""
    vote = voting([failing("a", "raise"), saying("b", "allow"), saying("c", "allow")], on_failure="fail_open")
    hook = cast("type[Hook]", build)([vote])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(Exception, match=r"Hook `a` failed with ValueError at `tool\.before`"):
        await consult(hook, MOMENT, None)


async def test_only_those_that_take_the_point_are_asked() -> None:
    """A composite is asked wherever one of its hooks is."""
    asked: list[str] = []
    after = structs.replace(saying("after", "deny", asked=asked), points=("tool.after",))
    hook = parallel([saying("before", "allow", asked=asked), after])
    assert hook.points == ("tool.before", "tool.after")
    assert (await decide(hook)).decision == "allow"
    assert asked == ["before"]


def test_what_cannot_be_put_together_is_refused() -> None:
    """An empty set, two of one name, a voter that would replace, a share that is none."""
    one = saying("a", "allow")
    with pytest.raises(InvalidInput, match="has no hooks"):
        voting([], on_failure="fail_open")
    with pytest.raises(InvalidInput, match="has no hooks"):
        sequential([])
    with pytest.raises(InvalidInput, match="Two hooks in 'parallel' are named 'a'"):
        parallel([one, one])
    with pytest.raises(InvalidInput, match="may replace"):
        voting([writing("w", "1")], on_failure="fail_closed")
    with pytest.raises(InvalidInput, match="tie rule 'coin'"):
        voting([one], on_failure="fail_closed", tie=cast("Tie", "coin"))
    with pytest.raises(InvalidInput, match="choose `fail_open` or `fail_closed`"):
        voting([one], on_failure=cast("object", "raise"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "share", ["", "half", "0", "-1/2", "3/2", "1/0", "1e1", "nan", " 1/2", "1/2\n", "½", 0.5, None]
)
def test_what_is_no_share_is_refused(share: object) -> None:
    """A threshold is exact and above nothing."""
    with pytest.raises(InvalidInput, match=r"threshold .* (is no share|is out of bounds)"):
        build_rule(threshold=cast("str", share), tie="deny", quorum="0")


VOTES = st.lists(st.sampled_from(["allow", "deny", "abstain", "absent"]), max_size=12)
SHARES = st.fractions(min_value=Fraction(1, 100), max_value=1, max_denominator=100)
FIXED = st.sampled_from(["deny", "allow"])


def rule(threshold: Fraction, tie: Tie, quorum: Fraction = Fraction(0)) -> PollRule:
    return PollRule(threshold=threshold, quorum=quorum, tie=tie)


@given(votes=VOTES, threshold=SHARES, quorum=SHARES, tie=FIXED, data=st.data())
def test_the_order_of_votes_does_not_matter(
    votes: list[Cast], threshold: Fraction, quorum: Fraction, tie: Tie, data: st.DataObject
) -> None:
    """Except to the tie rule that goes by it."""
    mixed = data.draw(st.permutations(votes))
    assert count_votes(mixed, rule(threshold, tie, quorum)) == count_votes(votes, rule(threshold, tie, quorum))


@given(votes=st.lists(st.sampled_from(["abstain", "absent"]), max_size=12), threshold=SHARES, tie=FIXED)
def test_no_votes_decide_nothing(votes: list[Cast], threshold: Fraction, tie: Tie) -> None:
    """Above all, they are no yes, whatever the tie rule says."""
    assert count_votes(votes, rule(threshold, tie)).decision == "none"


@given(allows=st.integers(0, 60), denies=st.integers(0, 60), threshold=SHARES)
def test_the_threshold_is_exact(allows: int, denies: int, threshold: Fraction) -> None:
    """Yes exactly where yes has the share and no has not, in fractions and not in floats."""
    yes: list[Cast] = ["allow"]
    no: list[Cast] = ["deny"]
    votes = yes * allows + no * denies
    if not votes:
        return
    met = Fraction(allows, len(votes)) >= threshold and Fraction(denies, len(votes)) < threshold
    assert count_votes(votes, rule(threshold, "deny")).decision == ("allow" if met else "deny")


@given(votes=VOTES, threshold=SHARES, tie=FIXED)
def test_one_more_yes_never_turns_a_yes_into_a_no(votes: list[Cast], threshold: Fraction, tie: Tie) -> None:
    """At any threshold."""
    before = count_votes(votes, rule(threshold, tie)).decision
    after = count_votes([*votes, "allow"], rule(threshold, tie)).decision
    assert before != "allow" or after == "allow"


@given(share=st.fractions(min_value=0, max_value=1, max_denominator=10**6))
def test_a_share_is_read_as_written(share: Fraction) -> None:
    """No digit is lost."""
    text = f"{share.numerator}/{share.denominator}"
    assert read_share(text, "share", least=Fraction(0)) == share
