"""Is every end of a vote the declared one, and never a yes by accident?"""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.council.profiles import CHANCES, OPTIONS, Profile, build_terms, choose_votes, profiles, rank_votes

from quorate.council.ballot import UNIT, Ballot, Vote
from quorate.council.rules.table import list_rules
from quorate.council.tally import is_quorate, tally
from quorate.council.terms import Seat, Tie
from quorate.council.ties import break_tie
from quorate.errors import InvalidInput, UnknownName


@pytest.mark.parametrize(
    ("given", "choices", "status", "winner"),
    [
        ({}, "AAB", "decided", "A"),
        ({}, "", "no_votes", None),
        ({"quorum": 0.0}, "", "no_votes", None),
        ({}, "AA", "no_quorum", None),
        ({"quorum": 1.0}, "AAAA", "no_quorum", None),
        ({"quorum": 1.0}, "AAAAA", "decided", "A"),
        ({}, "-----", "no_votes", None),
        ({}, "A----", "decided", "A"),
        ({"abstentions": "against"}, "A----", "not_reached", None),
        ({"abstentions": "against"}, "AAA--", "decided", "A"),
        ({"silence": "against"}, "AAB", "not_reached", None),
        ({"silence": "against"}, "AAA", "decided", "A"),
        ({"silence": "against", "quorum": 0.0}, "", "no_votes", None),
        ({"rule": "unanimous"}, "AAA", "decided", "A"),
        ({"rule": "unanimous", "silence": "against"}, "AAAA", "not_reached", None),
        ({"rule": "unanimous"}, "AAAAB", "not_reached", None),
        ({"rule": "plurality"}, "AABBC", "tied", None),
        ({"rule": "plurality", "tie": "priority"}, "AABBC", "decided", "A"),
        ({"rule": "plurality", "tie": "priority", "priority": ("C", "B", "A")}, "AABBC", "decided", "B"),
        ({"rule": "plurality", "tie": "revote"}, "AABBC", "tied", None),
        ({"tie": "priority"}, "AABBC", "not_reached", None),
        ({}, "AABB-", "tied", None),
        ({"tie": "priority"}, "AABB-", "decided", "A"),
        ({"rule": "supermajority", "tie": "priority"}, "AABB", "not_reached", None),
    ],
)
def test_every_end_is_declared(given: dict[str, object], choices: str, status: str, winner: str | None) -> None:
    """row: C10"""
    verdict = tally(build_terms(**given), choose_votes(choices))  # type: ignore[arg-type]
    assert (verdict.status, verdict.winner) == (status, winner)
    assert verdict.why


def test_one_of_ten_never_meets_a_quorum_of_six() -> None:
    """The quorum is of those eligible, not of those who came. row: C10"""
    assert tally(build_terms(10, quorum=0.6), choose_votes("A")).status == "no_quorum"
    assert tally(build_terms(10, quorum=0.6), choose_votes("AAAAA")).status == "no_quorum"
    verdict = tally(build_terms(10, quorum=0.6), choose_votes("AAAAA-"))
    assert (verdict.status, verdict.present, verdict.abstained, verdict.turnout) == ("decided", 6, 1, 0.6)


def test_one_and_one_is_a_tie() -> None:
    """row: C10"""
    verdict = tally(build_terms(2), choose_votes("AB"))
    assert (verdict.status, verdict.tied, verdict.winner) == ("tied", ("A", "B"), None)
    assert verdict.why == "'A' and 'B' have each 1 of 2, and more than 0.5 of it is needed; ties are refused"


def test_one_voter_decides_alone_where_it_is_the_roll() -> None:
    for rule in list_rules():
        if rule == "weighted":
            continue
        ballots = {"approval": Ballot(approved=("B",)), "score": Ballot(scores={"B": 3})}
        ranked = rule in ("borda", "schulze", "ranked_pairs", "instant_runoff")
        ballot = ballots.get(rule, Ballot(ranking=("B",)) if ranked else Ballot(choice="B"))
        verdict = tally(build_terms(1, rule=rule), [Vote(voter="v0", ballot=ballot)])
        assert (verdict.status, verdict.winner, verdict.dissent) == ("decided", "B", ())


def test_the_quorum_is_the_decimal_as_it_is_written() -> None:
    """Binary fractions would ask for 7 of 10 at 0.7, and let 0.1 + 0.2 be more than 0.3."""
    assert is_quorate(0.7, 7, 10)
    assert is_quorate(0.07, 7, 100)
    assert not is_quorate(0.6667, 4, 6)
    assert not is_quorate(0.0, 0, 10)
    assert not is_quorate(0.1 + 0.2, 3, 10)


def test_weights_are_those_of_the_roll() -> None:
    """What a vote says of its own weight counts nothing."""
    roll = (Seat(voter="expert", weight=2.5), Seat(voter="v1"), Seat(voter="v2"), Seat(voter="guest", weight=0.0))
    votes = [
        Vote(voter="expert", ballot=Ballot(choice="A")),
        Vote(voter="v1", ballot=Ballot(choice="B"), weight=900 * UNIT),
        Vote(voter="v2", ballot=Ballot(choice="B")),
        Vote(voter="guest", ballot=Ballot(choice="C")),
    ]
    verdict = tally(build_terms(roll=roll, rule="weighted"), votes)
    assert (verdict.winner, verdict.points, verdict.margin) == ("A", {"A": 2.5, "B": 2.0, "C": 0.0}, 0.5)
    assert verdict.dissent == ("v1", "v2", "guest")
    assert tally(build_terms(roll=roll, quorum=0.25), votes[3:]).status == "no_votes"


def test_dissent_is_who_wanted_something_else() -> None:
    verdict = tally(build_terms(), choose_votes("AAAB-"))
    assert verdict.dissent == ("v3",)
    ranked = tally(build_terms(rule="schulze"), rank_votes((3, "ABC"), (2, "BAC")))
    assert ranked.dissent == ("v3", "v4")
    approved = [Ballot(approved=("A", "B")), Ballot(approved=("B",)), Ballot(approved=("A",))]
    votes = [Vote(voter=f"v{place}", ballot=ballot) for place, ballot in enumerate(approved)]
    assert tally(build_terms(3, rule="approval", tie="priority"), votes).dissent == ("v1",)
    scored = [Ballot(scores={"A": 9, "B": 9}), Ballot(scores={"A": 3, "C": 4})]
    votes = [Vote(voter=f"v{place}", ballot=ballot) for place, ballot in enumerate(scored)]
    assert tally(build_terms(2, rule="score"), votes).dissent == ("v1",)


@pytest.mark.parametrize(
    ("votes", "said"),
    [
        ([Vote(voter="x", ballot=Ballot(choice="A"))], "'x' voted and is not on the roll"),
        ([Vote(voter="v1", ballot=Ballot(choice="A"))] * 2, "'v1' voted twice"),
        ([Vote(voter="v1", ballot=Ballot(choice="X"))], "`choice` names 'X'"),
        ([Vote(voter="v1", ballot=Ballot())], "it is empty"),
    ],
)
def test_what_must_not_count_stops_the_count(votes: list[Vote], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        tally(build_terms(), votes)


def test_an_unknown_rule_counts_nothing() -> None:
    with pytest.raises(UnknownName):
        tally(build_terms(rule="best"), choose_votes("A"))


def test_chance_goes_by_the_seed_alone() -> None:
    """The same seed draws the same, in any order of options; over seeds each of the tied is drawn as often."""
    drawn: Counter[str | None] = Counter()
    for seed in range(600):
        terms = build_terms(tie="random", seed=seed)
        winner, why = break_tie(terms, ("A", "B", "C"))
        assert break_tie(terms, ("C", "B", "A"))[0] == winner
        assert f"by the seed {seed}" in why
        drawn[winner] += 1
    assert sum(drawn.values()) == 600
    assert all(150 < drawn[option] < 250 for option in "ABC")


@settings(max_examples=100)
@given(
    profiles(),
    st.sampled_from(["0", "0.1", "0.3", "0.5", "0.6", "0.7", "1"]),
    st.sampled_from(["refuse", "priority", "random", "revote"]),
    st.booleans(),
    st.booleans(),
    CHANCES,
)
def test_only_a_quorum_of_votes_decides(
    profile: Profile, quorum: str, tie: Tie, abstentions: bool, silence: bool, chance: random.Random
) -> None:
    """row: D6"""
    rule, options, votes = profile
    name = next(name for name in (*list_rules(),) if name.replace("_", "") == type(rule).__name__.lower())
    roll = tuple(Seat(voter=f"v{place}", weight=chance.choice((0.0, 1.0, 2.5))) for place in range(12))
    abstaining = [Vote(voter=f"v{place}", ballot=Ballot(abstains=True)) for place in range(9, chance.randint(9, 12))]
    terms = build_terms(
        roll=roll,
        options=options,
        rule=name,
        quorum=float(quorum),
        tie=tie,
        seed=chance.randint(0, 9),
        abstentions="against" if abstentions else "present",
        silence="against" if silence else "absent",
    )
    if name == "score":
        votes = [vote for vote in votes if max(vote.ballot.scores.values()) <= 10]
    cast = [*votes, *abstaining]
    verdict = tally(terms, cast)
    assert tally(terms, chance.sample(cast, len(cast))) == verdict
    assert (verdict.winner is None) == (verdict.status != "decided")
    assert (verdict.present, verdict.abstained) == (len(cast), len(abstaining))
    if verdict.status == "decided":
        assert verdict.winner in OPTIONS
        assert verdict.present >= Decimal(quorum) * 12
        assert any(seat.weight for seat in roll if seat.voter in {vote.voter for vote in votes})
        assert tie in ("priority", "random") or not verdict.tied
    if verdict.status == "tied":
        assert len(verdict.tied) > 1
        assert tie in ("refuse", "revote")
