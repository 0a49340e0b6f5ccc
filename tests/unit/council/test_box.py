"""Which ballots does a box refuse, and why?"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from msgspec import structs
from tests.unit.council.sessions import SEAL, build_voters, choose, write

from quorate import Agent, ScriptedModel
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.work import Work
from quorate.agent.replay.exact import replay_exactly
from quorate.council.ballot import Ballot
from quorate.council.box import DOUBLE, FORGED, INVALID, LATE, OWN, REPLAYED, STRANGER, BallotBox, Cast
from quorate.council.decide import Backing, NoDecision, council
from quorate.council.decision import verify_decision
from quorate.council.keys import is_signed_by, make_key, sign_ballot
from quorate.council.plan import Plan
from quorate.council.signing import Paper, Seal, digest_text, write_ballot
from quorate.council.terms import Seat, Terms
from quorate.errors import InvalidInput

AB = ("a", "b")
PRIVATE, PUBLIC = make_key()
TERMS = Terms(question="Which?", options=AB, roll=(Seat(voter="ada"), Seat(voter="bob"), Seat(voter="key", key=PUBLIC)))
FOR_A = write_ballot(Ballot(choice="a"))


def build_box(**more: Any) -> BallotBox:
    facts: Any = {"decision": "dec-1", "seal": SEAL, "deadline": 100.0, **more}
    return BallotBox(TERMS, **facts)


def vouch(box: BallotBox, voter: str, ballot: str = FOR_A) -> str:
    return SEAL.sign(digest_text(box.build_paper(voter).write(ballot)))


def cast(voter: str = "ada", *, ballot: str = FOR_A, box: BallotBox | None = None, **more: Any) -> Cast:
    """A ballot that counts, but for what is said."""
    facts: Any = {"signature": vouch(box or build_box(), voter, ballot), "time": 99.0, **more}
    return Cast(voter=voter, ballot=ballot, **facts)


OTHER_ROUND, OTHER_DECISION = build_box(round=2), build_box(decision="dec-2")
OTHER_TERMS = BallotBox(structs.replace(TERMS, quorum=0.0), decision="dec-1", seal=SEAL)
REFUSED = {
    "nobody on the roll": (cast("eve"), STRANGER),
    "a name that looks alike": (cast("аda"), STRANGER),
    "of another decision": (cast(decision="dec-2", round=1), REPLAYED),
    "of another round": (cast(decision="dec-1", round=2), REPLAYED),
    "of another decision, unsaid": (cast(box=OTHER_DECISION), FORGED),
    "of another round, unsaid": (cast(box=OTHER_ROUND), FORGED),
    "of other terms": (cast(box=OTHER_TERMS), FORGED),
    "of another voter": (cast(signature=vouch(build_box(), "bob")), FORGED),
    "another ballot than was signed": (cast(signature=vouch(build_box(), "ada", '{"choice":"b"}')), FORGED),
    "not signed": (cast(signature=""), FORGED),
    "signed by whoever": (cast(signature=f"hmac:{'0' * 64}"), FORGED),
    "signed by no known way": (cast(signature="none:"), FORGED),
    "a letter that no signature has": (cast(signature="hmac:é"), FORGED),
    "too late": (cast(time=100.001), LATE),
    "no JSON": (cast(ballot="a"), INVALID),
    "none of the options": (cast(ballot='{"choice":"c"}'), INVALID),
    "an option that looks alike": (cast(ballot='{"choice":"а"}'), INVALID),
    "an option spelt in another way": (cast(ballot='{"choice":"A"}'), INVALID),
    "two things at once": (cast(ballot='{"choice":"a","abstains":true}'), INVALID),
    "nothing": (cast(ballot="{}"), INVALID),
    "more than a ballot has": (cast(ballot='{"choice":"a","weight":9}'), INVALID),
    "for its own": (cast("bob", ballot='{"choice":"b"}'), OWN),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_ballot_that_does_not_count_is_refused_with_the_reason(what: str) -> None:
    """Part of promise R27 and of row D6."""
    given, why = REFUSED[what]
    box = build_box(own={"bob": ["b"]})
    refusal = box.admit(given)
    assert refusal is not None
    assert (refusal.voter, refusal.why) == (given.voter, why)
    assert refusal.detail
    assert box.list_votes() == []


def test_one_ballot_of_each_seat_counts_and_the_first_one_stays() -> None:
    box = build_box()
    second = cast(ballot='{"choice":"b"}')
    assert [box.admit(one) for one in (cast(), cast("bob"))] == [None, None]
    refused = [box.admit(one) for one in (second, cast(), cast("bob"))]
    assert [one.why if one else "" for one in refused] == [DOUBLE] * 3
    assert [(one.voter, one.ballot.choice) for one in box.list_votes()] == [("ada", "a"), ("bob", "a")]
    assert build_box().admit(cast(time=100.0)) is None  # the very moment is in time


@pytest.mark.parametrize("form", ["approved", "ranking", "scores"])
def test_its_own_is_found_in_each_form_of_a_ballot(form: str) -> None:
    rule = {"approved": "approval", "ranking": "borda", "scores": "score"}[form]
    box = BallotBox(structs.replace(TERMS, rule=rule), decision="dec-1", own={"ada": ["b"]})
    of_own = {"approved": ["a", "b"], "ranking": ["b", "a"], "scores": {"a": 1.0, "b": 2.0}}[form]
    refusal = box.admit(Cast(voter="ada", ballot=json.dumps({form: of_own})))
    assert refusal is not None
    assert refusal.why == OWN
    of_others = {"approved": ["a"], "ranking": ["a", "b"], "scores": {"a": 2.0, "b": 1.0}}[form]
    assert box.admit(Cast(voter="ada", ballot=json.dumps({form: of_others}))) is None


def test_a_voter_with_a_key_signs_for_itself_and_the_council_cannot() -> None:
    box, ballot = build_box(), Ballot(choice="a")
    stranger, _ = make_key()
    mine = sign_ballot(PRIVATE, box.build_paper("key"), ballot).signature
    wrong = {
        "the council's": vouch(box, "key"),
        "another's": sign_ballot(stranger, box.build_paper("key"), ballot).signature,
        "for another seat": sign_ballot(PRIVATE, box.build_paper("ada"), ballot).signature,
        "of another round": sign_ballot(PRIVATE, OTHER_ROUND.build_paper("key"), ballot).signature,
        "of another ballot": sign_ballot(PRIVATE, box.build_paper("key"), Ballot(choice="b")).signature,
        "cut": mine[:-4],
        "no base64": f"{mine}!",
        "called otherwise": mine.replace("ed25519", "hmac"),
    }
    for what, signature in wrong.items():
        refusal = box.admit(cast("key", signature=signature))
        assert refusal is not None, what
        assert refusal.why == FORGED, what
    assert box.admit(cast("key", signature=mine)) is None
    assert not is_signed_by("no key", b"", mine)


def test_a_secret_is_long_enough_and_may_be_changed() -> None:
    with pytest.raises(InvalidInput, match="has 15 bytes"):
        Seal(b"x" * 15)
    new = Seal(b"another secret of the council", former=(b"a secret of the council, for tests",))
    box = build_box(seal=new)
    assert box.admit(cast()) is None
    refusal = build_box(seal=Seal(b"another secret of the council")).admit(cast())
    assert refusal is not None
    assert refusal.why == FORGED


def build_signer(name: str, private: str, *, choice: str = "a", changes: dict[str, object] | None = None) -> Any:
    """Build a voter that signs its ballots: a procedure that reads its paper from what it is asked."""

    async def vote(work: Work, task: str) -> str:
        found = re.search(r"over this paper: (\{.*\})", task)
        assert found is not None
        facts: Any = {**json.loads(found[1]), **(changes or {})}
        signed = sign_ballot(private, Paper(**facts), Ballot(choice=choice, reason="signed"))
        return json.dumps(structs.asdict(signed) | {"ballot": {"choice": choice, "reason": "signed"}})

    return build_agent(name, vote)


async def test_a_council_counts_what_voters_sign_and_nothing_else() -> None:
    """Right, by another's key, of another decision or round, not signed at all. Part of promise R27."""
    (one, first), (two, second), (_, third) = make_key(), make_key(), make_key()
    voters = [
        build_signer("one", one),
        build_signer("two", two),
        build_signer("thief", one, choice="b"),
        build_signer("replayer", one, choice="b", changes={"decision": "dec-of-yesterday"}),
        build_signer("early", one, choice="b", changes={"round": 2}),
        *[Agent("plain", model=ScriptedModel([write("b")] * 3))],
    ]
    keys = {"one": first, "two": second, "thief": third, "replayer": first, "early": first, "plain": third}
    board = council("board", voters, Plan(options=AB, keys=keys, quorum=0.3), backing=Backing(seal=SEAL))
    result: Any = await board.run("Which?")
    record = result.output
    assert (record.winner, [vote.voter for vote in record.last.ballots]) == ("a", ["one", "two"])
    assert {refusal.voter: refusal.why for refusal in record.last.refused} == {
        "thief": FORGED,
        "replayer": REPLAYED,
        "early": REPLAYED,
        "plain": INVALID,
    }
    assert all(vote.signature.startswith("ed25519:") for vote in record.last.ballots)
    verified = verify_decision(result.events, record.id, seal=SEAL)
    assert (verified.holds, verified.is_sealed) == (True, True)
    assert (await replay_exactly(board, result.events)).divergence is None


async def test_who_cannot_sign_makes_no_quorum() -> None:
    """A forged vote is an absent one."""
    stranger, _ = make_key()
    plan = Plan(options=AB, keys={"key": PUBLIC}, quorum=1.0)
    with pytest.raises(NoDecision, match="1 of 2 are present"):
        await council("board", [build_signer("key", stranger), *build_voters(*choose("a"))], plan).run("Which?")
    with pytest.raises(InvalidInput, match="'v1' has the key 'none', which is no Ed25519 key"):
        council("board", build_voters("x"), Plan(options=AB, keys={"v1": "none"}))


async def test_a_ballot_written_twice_over_is_kept_as_it_was_counted() -> None:
    """What stands twice in one object is read once, and it is that which is kept and signed."""
    said = '{"choice": "b", "choice": "a", "reason": "\\u0061"}'
    board = council("board", build_voters(said, *choose("b", "a")), Plan(options=AB), backing=Backing(seal=SEAL))
    result: Any = await board.run("Which?")
    assert (result.output.winner, result.output.last.ballots[0].ballot) == ("a", Ballot(choice="a", reason="a"))
    assert verify_decision(result.events, result.output.id, seal=SEAL).holds
