"""Does each rule keep what rules of its kind promise, whatever is cast?"""

from __future__ import annotations

import random
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.council.profiles import CHANCES, NAMES, OPTIONS, Profile, draw_ballot, profiles, rank_votes, rename

from quorate.council.ballot import UNIT, Ballot, Vote
from quorate.council.rules.pairs import Matrix, compare_pairs, gather_rankings
from quorate.council.rules.supermajority import Supermajority
from quorate.council.rules.table import read_rule
from quorate.council.rules.weighted import Weighted

RANKED = ("borda", "schulze", "ranked_pairs", "instant_runoff")
PAIRWISE = ("schulze", "ranked_pairs")
MONOTONE = tuple(name for name in NAMES if name != "instant_runoff")


@settings(max_examples=100)
@given(profiles(), CHANCES)
def test_the_order_of_ballots_does_not_matter(profile: Profile, chance: random.Random) -> None:
    """row: D6"""
    rule, options, votes = profile
    assert rule.count(chance.sample(votes, len(votes)), options) == rule.count(votes, options)


@settings(max_examples=100)
@given(profiles(), CHANCES)
def test_the_names_and_the_order_of_options_do_not_matter(profile: Profile, chance: random.Random) -> None:
    """No rule breaks a tie by itself, and none looks at how options are called or listed."""
    rule, options, votes = profile
    names = dict(zip(options, chance.sample([f"option {place}" for place in range(9)], len(options)), strict=True))
    renamed = [Vote(voter=one.voter, ballot=rename(one.ballot, names), weight=one.weight) for one in votes]
    count, other = rule.count(votes, options), rule.count(renamed, chance.sample([*names.values()], len(names)))
    assert {names[option] for option in count.leaders} == {*other.leaders}
    assert {names[option]: number for option, number in count.points.items()} == other.points
    assert count.margin == other.margin


@settings(max_examples=100)
@given(profiles())
def test_nobody_wins_who_is_no_option(profile: Profile) -> None:
    """row: D6"""
    rule, options, votes = profile
    count = rule.count(votes, options)
    assert tuple(count.points) == options
    assert [option for option in options if option in count.leaders] == [*count.leaders]
    for vote in votes:
        rule.check(vote.ballot, options)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_cast_decides_nothing(name: str) -> None:
    """Neither no votes, nor votes without weight, nor abstentions. row: D6"""
    rule = read_rule(name)
    chance = random.Random(7)
    idle = [Vote(voter=f"v{place}", ballot=draw_ballot(rule, OPTIONS, chance), weight=0) for place in range(4)]
    silent = [Vote(voter=f"v{place}", ballot=Ballot(abstains=True)) for place in range(4)]
    for votes in ([], idle, silent, [*idle, *silent]):
        assert rule.count(votes, OPTIONS).leaders == ()


def favour(ballot: Ballot, winner: str, chance: random.Random) -> Ballot:
    """Say the same, and think more of one option."""
    if ballot.choice:
        choice = winner if chance.random() < 0.7 else ballot.choice
        return Ballot(choice=choice, vetoes=tuple(option for option in ballot.vetoes if option != winner))
    if ballot.approved:
        return Ballot(approved=tuple({*ballot.approved, winner}))
    if ballot.scores:
        return Ballot(scores=ballot.scores | {winner: min(5.0, ballot.scores.get(winner, 1.0) + 1)})
    others = [option for option in ballot.ranking if option != winner]
    place = ballot.ranking.index(winner) if winner in ballot.ranking else len(others)
    others.insert(chance.randint(0, place), winner)
    return Ballot(ranking=tuple(others))


@settings(max_examples=200)
@given(profiles(MONOTONE), CHANCES)
def test_thinking_more_of_who_leads_harms_it_never(profile: Profile, chance: random.Random) -> None:
    """All rules but instant run-off are monotone. row: D6"""
    rule, options, votes = profile
    for leader in rule.count(votes, options).leaders:
        place = chance.randrange(len(votes))
        changed = msgspec.structs.replace(votes[place], ballot=favour(votes[place].ballot, leader, chance))
        after = rule.count([*votes[:place], changed, *votes[place + 1 :]], options)
        assert leader in after.leaders


def test_instant_runoff_may_punish_more_votes() -> None:
    """Two voters put the winner up, the other rival meets it in the last round, and it loses."""
    rule = read_rule("instant_runoff")
    before = [(6, "ABC"), (5, "CAB"), (4, "BCA")]
    assert rule.count(rank_votes(*before, (2, "BAC")), "ABC").leaders == ("A",)
    assert rule.count(rank_votes(*before, (2, "ABC")), "ABC").leaders == ("C",)


def compare(profile: Profile) -> Matrix:
    _, options, votes = profile
    return compare_pairs(gather_rankings(votes, options), len(options))


def find_smith_set(matrix: Matrix) -> set[int]:
    """The fewest options each of which beats all others: grown from the one that most are beaten by, until closed."""
    everyone = range(len(matrix))
    wins = [sum(matrix[one][other] > matrix[other][one] for other in everyone) for one in everyone]
    ties = [sum(matrix[one][other] == matrix[other][one] for other in everyone) for one in everyone]
    inside = {max(everyone, key=lambda one: 2 * wins[one] + ties[one])}
    while more := {
        one
        for one in everyone
        if one not in inside and any(matrix[one][other] >= matrix[other][one] for other in inside)
    }:
        inside |= more
    return inside


@settings(max_examples=120)
@given(profiles(PAIRWISE))
def test_winners_of_pairs_beat_all_outside(profile: Profile) -> None:
    """Whoever wins every direct comparison wins; else one of the smallest set that does so together (Smith)."""
    rule, options, votes = profile
    leaders = {options.index(leader) for leader in rule.count(votes, options).leaders}
    smith = find_smith_set(compare(profile))
    assert leaders <= smith
    assert leaders == smith or len(smith) > 1 or not leaders


@settings(max_examples=120)
@given(profiles(RANKED))
def test_whoever_loses_every_comparison_never_wins(profile: Profile) -> None:
    rule, options, votes = profile
    matrix, everyone = compare(profile), range(len(options))
    for place in everyone:
        if all(matrix[place][other] < matrix[other][place] for other in everyone if other != place):
            assert options[place] not in rule.count(votes, options).leaders


def test_borda_may_pass_over_who_wins_every_comparison() -> None:
    votes = rank_votes((3, "ABC"), (2, "BCA"))
    assert read_rule("borda").count(votes, "ABC").leaders == ("B",)
    assert read_rule("schulze").count(votes, "ABC").leaders == ("A",)


@settings(max_examples=150)
@given(profiles(("schulze", "ranked_pairs", "instant_runoff")), CHANCES)
def test_a_clone_changes_nothing(profile: Profile, chance: random.Random) -> None:
    """An option beside one that every voter puts next to it neither helps nor harms the two, nor anybody else."""
    rule, options, votes = profile
    cloned = chance.choice(options)

    def clone(ballot: Ballot) -> Ballot:
        pair = chance.sample([cloned, "clone"], 2)
        return Ballot(
            ranking=tuple(one for option in ballot.ranking for one in (pair if option == cloned else [option]))
        )

    more = [msgspec.structs.replace(vote, ballot=clone(vote.ballot)) for vote in votes]
    before, after = rule.count(votes, options).leaders, rule.count(more, (*options, "clone")).leaders
    assert {*before} == {cloned if leader == "clone" else leader for leader in after}


def test_a_clone_may_tip_borda_and_plurality() -> None:
    """What is not promised: similar options share votes, or gang up."""
    alone, together = rank_votes((3, "AB"), (2, "BA")), rank_votes((3, "ABX"), (2, "BXA"))
    borda, plurality = read_rule("borda"), read_rule("plurality")
    assert borda.count(alone, "AB").leaders == ("A",)
    assert borda.count(together, "ABX").leaders == ("B",)
    split = [Vote(voter=f"v{place}", ballot=Ballot(choice=choice)) for place, choice in enumerate("AAABBCC")]
    assert plurality.count(split, "ABC").leaders == ("A",)


@settings(max_examples=100)
@given(profiles(), CHANCES)
def test_what_is_alike_is_tied(profile: Profile, chance: random.Random) -> None:
    """Where each ballot has its mirror in which two options change places, both lead or neither does."""
    rule, options, votes = profile
    one, other = chance.sample(options, 2)
    names = {option: option for option in options} | {one: other, other: one}
    mirrored = [Vote(voter=f"m{vote.voter}", ballot=rename(vote.ballot, names), weight=vote.weight) for vote in votes]
    leaders = rule.count([*votes, *mirrored], options).leaders
    assert (one in leaders) == (other in leaders)


@settings(max_examples=100)
@given(profiles(("majority", "supermajority", "supermajority:2/3", "unanimous", "weighted", "weighted:0.6")))
def test_a_share_is_reached_exactly_or_not_at_all(profile: Profile) -> None:
    """part of row D6"""
    rule, options, votes = profile
    leaders = rule.count(votes, options).leaders
    total = sum(vote.weight for vote in votes)
    for option in options:
        has = Fraction(sum(vote.weight for vote in votes if vote.ballot.choice == option), total or 1)
        if isinstance(rule, Supermajority):
            assert (option in leaders) == (has >= rule.threshold)
        elif isinstance(rule, Weighted) and rule.threshold > Fraction(1, 2):
            assert (option in leaders) == (has > rule.threshold)
        elif rule == read_rule("unanimous"):
            assert (option in leaders) == (has == 1)
        else:
            assert (leaders == (option,)) == (has > Fraction(1, 2))
            assert has >= Fraction(1, 2) or option not in leaders


@settings(max_examples=100)
@given(profiles(("veto",)))
def test_what_is_vetoed_never_wins(profile: Profile) -> None:
    """row: D6"""
    rule, options, votes = profile
    vetoed = {option for vote in votes if vote.weight for option in vote.ballot.vetoes}
    assert not vetoed & {*rule.count(votes, options).leaders}


@given(st.integers(1, 20), st.integers(0, 20))
def test_a_threshold_is_never_met_by_rounding(number: int, above: int) -> None:
    """A millionth of a vote short of three quarters is short."""
    votes = [
        Vote(voter="a", ballot=Ballot(choice="A"), weight=3 * number * UNIT - 1),
        Vote(voter="b", ballot=Ballot(choice="B"), weight=number * UNIT + above),
    ]
    assert read_rule("supermajority:0.75").count(votes, "AB").leaders == ()
