"""Does each rule find what can be worked out by hand, and what a slow search by definition finds?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from tests.unit.council.profiles import Profile, choose_votes, profiles, rank_votes

from quorate.council.ballot import UNIT, Ballot, Vote
from quorate.council.rules.instant_runoff import MAX_WORK
from quorate.council.rules.pairs import compare_pairs, gather_rankings
from quorate.council.rules.table import read_rule

WIKI = ((5, "ACBED"), (5, "ADECB"), (8, "BEDAC"), (3, "CABED"), (7, "CAEBD"), (2, "CBADE"), (7, "DCEBA"), (8, "EBADC"))
"""The example of Schulze's paper, of 45 voters."""
CITIES = ((42, "MNCK"), (26, "NCKM"), (15, "CKNM"), (17, "KCNM"))
"""Tennessee's capital: Memphis, Nashville, Chattanooga, Knoxville."""


@pytest.mark.parametrize(
    ("name", "choices", "leaders"),
    [
        ("plurality", "AABC", ("A",)),
        ("plurality", "AABBC", ("A", "B")),
        ("majority", "AAB", ("A",)),
        ("majority", "AB", ("A", "B")),
        ("majority", "AABBC", ()),
        ("majority", "AABC", ()),
        ("majority", "AA--", ()),
        ("supermajority", "AAAB", ("A",)),
        ("supermajority", "AAB", ()),
        ("supermajority:2/3", "AAB", ("A",)),
        ("supermajority:0.667", "AAB", ()),
        ("supermajority:60%", "AAABB", ("A",)),
        ("unanimous", "AAA", ("A",)),
        ("unanimous", "AAAAAAAAAB", ()),
        ("weighted:0.6", "AAABB", ()),
        ("veto", "AAB", ("A",)),
    ],
)
def test_choices_are_counted(name: str, choices: str, leaders: tuple[str, ...]) -> None:
    """An abstention that is among the votes counts against all. row: D6"""
    assert read_rule(name).count(choose_votes(choices), "ABC").leaders == leaders


def test_a_single_other_voice_is_named_as_what_is_missing() -> None:
    assert read_rule("unanimous").count(choose_votes("AAB"), "AB").why == "'A' has 2 of 3, and all of it is needed"


def test_weights_count_and_small_ones_add_up() -> None:
    """Ten times a tenth is one, whatever the order. row: D6"""
    tenths = [Vote(voter=f"v{place}", ballot=Ballot(choice="A"), weight=UNIT // 10) for place in range(10)]
    count = read_rule("weighted").count([*tenths, Vote(voter="w", ballot=Ballot(choice="B"))], "AB")
    assert count.leaders == ("A", "B")
    assert count.points == {"A": 1.0, "B": 1.0}
    assert count.margin == 0


def test_what_somebody_vetoes_falls_out() -> None:
    votes = [*choose_votes("AAB"), Vote(voter="v9", ballot=Ballot(vetoes=("A",)))]
    assert read_rule("veto").count(votes, "ABC").leaders == ("B",)
    assert read_rule("veto:0.25").count(votes, "ABC").leaders == ("B",)
    assert read_rule("veto:0.26").count(votes, "ABC").leaders == ("A",)
    all_out = [Vote(voter="v9", ballot=Ballot(vetoes=("A", "B", "C")))]
    assert read_rule("veto").count([*votes, *all_out], "ABC").why == "every option is vetoed"


def test_scores_are_means_and_one_left_out_has_the_lowest() -> None:
    ballots = [Ballot(scores={"A": 10, "B": 8}), Ballot(scores={"B": 4}), Ballot(scores={"A": 1.5, "C": 0})]
    votes = [Vote(voter=f"v{place}", ballot=ballot) for place, ballot in enumerate(ballots)]
    count = read_rule("score").count(votes, "ABC")
    assert count.leaders == ("B",)
    assert count.points == pytest.approx({"A": 11.5 / 3, "B": 4.0, "C": 0.0})
    assert count.margin == pytest.approx(0.5 / 3)


def test_a_scale_need_not_begin_at_nothing() -> None:
    """Where 1 is the lowest, 1 is what an option has that a voter leaves out."""
    ballots = [Ballot(scores={"A": 3, "B": 2}), Ballot(scores={"B": 2})]
    votes = [Vote(voter=f"v{place}", ballot=ballot) for place, ballot in enumerate(ballots)]
    count = read_rule("score:1..5").count(votes, "ABC")
    assert count.leaders == ("A", "B")
    assert count.points == {"A": 2.0, "B": 2.0, "C": 1.0}
    assert read_rule("score:1..5").count([Vote(voter="v", ballot=Ballot(scores={"A": 1}))], "AB").leaders == ()


def test_borda_shares_the_places_of_those_left_out() -> None:
    """Of four options one ranking names two, and the others have half a point each."""
    count = read_rule("borda").count(rank_votes((1, "AB")), "ABCD")
    assert count.points == {"A": 3.0, "B": 2.0, "C": 0.5, "D": 0.5}


def test_books_are_right() -> None:
    """Schulze's own example, and Tennessee's capital, which each family of rules sees otherwise."""
    assert read_rule("schulze").count(rank_votes(*WIKI), "ABCDE").leaders == ("E",)
    assert read_rule("ranked_pairs").count(rank_votes(*WIKI), "ABCDE").leaders == ("A",)
    found = {name: read_rule(name).count(rank_votes(*CITIES), "MNCK") for name in ("borda", "schulze", "irv")}
    assert {name: count.leaders for name, count in found.items()} == {"borda": ("N",), "schulze": ("N",), "irv": ("K",)}
    assert found["borda"].points == {"M": 126.0, "N": 194.0, "C": 173.0, "K": 107.0}
    assert (found["schulze"].margin, found["irv"].margin) == (16.0, 16.0)
    assert found["irv"].why == "'K' wins in round 3"


@pytest.mark.parametrize("name", ["schulze", "ranked_pairs", "irv", "borda"])
def test_a_circle_is_a_tie(name: str) -> None:
    count = read_rule(name).count(rank_votes((1, "ABC"), (1, "BCA"), (1, "CAB")), "ABC")
    assert count.leaders == ("A", "B", "C")
    assert count.margin == 0


def find_strongest(matrix: Sequence[Sequence[int]], one: int, other: int) -> int:
    """Look at every path there is."""
    middles = [place for place in range(len(matrix)) if place not in (one, other)]
    paths = [(one, *between, other) for length in range(len(middles) + 1) for between in permutations(middles, length)]
    wins = [
        [matrix[i][j] if matrix[i][j] > matrix[j][i] else 0 for j in range(len(matrix))] for i in range(len(matrix))
    ]
    return max(min(wins[i][j] for i, j in pairwise(path)) for path in paths)


@given(profiles(("schulze",)))
def test_paths_are_the_strongest_there_are(profile: Profile) -> None:
    """Schulze's definition, by trying all paths."""
    rule, options, votes = profile
    matrix, everyone = compare_pairs(gather_rankings(votes, options), len(options)), range(len(options))
    strongest = {(i, j): find_strongest(matrix, i, j) for i in everyone for j in everyone if i != j}
    best = tuple(options[i] for i in everyone if all(strongest[i, j] >= strongest[j, i] for j in everyone if i != j))
    assert rule.count(votes, options).leaders == (best if any(vote.weight for vote in votes) else ())


@given(profiles(("ranked_pairs",)))
def test_wins_are_kept_that_close_no_circle(profile: Profile) -> None:
    """The definition: those of one majority at once, each looked at by itself."""
    rule, options, votes = profile
    matrix, everyone = compare_pairs(gather_rankings(votes, options), len(options)), range(len(options))
    wins = {(i, j): matrix[i][j] - matrix[j][i] for i in everyone for j in everyone if matrix[i][j] > matrix[j][i]}
    kept: set[tuple[int, int]] = set()

    def leads(edges: set[tuple[int, int]], start: int, end: int) -> bool:
        seen, new = {start}, [start]
        while new:
            here = new.pop()
            onward = {j for i, j in edges if i == here} - seen
            seen |= onward
            new += onward
        return end in seen

    for majority in sorted({*wins.values()}, reverse=True):
        alike = {pair for pair, number in wins.items() if number == majority}
        kept |= {(i, j) for i, j in alike if not leads(kept | alike, j, i)}
    best = tuple(options[i] for i in everyone if all(j != i for _, j in kept))
    assert rule.count(votes, options).leaders == (best if any(vote.weight for vote in votes) else ())


def follow(votes: Sequence[Vote], left: frozenset[str]) -> frozenset[str]:
    """Instant run-off in every course: one after the other goes out, until one is left."""
    if len(left) == 1:
        return left
    points = dict.fromkeys(left, 0)
    for vote in votes:
        first = next((option for option in vote.ballot.ranking if option in left), None)
        if first:
            points[first] += vote.weight
    last = [option for option in left if points[option] == min(points.values())]
    return frozenset[str]().union(*(follow(votes, left - {option}) for option in last))


@given(profiles(("instant_runoff",)))
def test_every_course_of_the_runoff_is_followed(profile: Profile) -> None:
    """To stop at a majority, and to take out the hopeless together, changes no winner."""
    rule, options, votes = profile
    weighty = [vote for vote in votes if vote.weight]
    found = rule.count(votes, options).leaders
    assert {*found} == (follow(weighty, frozenset(options)) if weighty else set())


def test_too_many_courses_are_cut_alike_for_all() -> None:
    """Forty options of one first place each: courses multiply, and the end is found at once, by names in any order."""
    options = [f"o{place}" for place in range(40)]
    chance = random.Random(3)
    votes = [
        Vote(voter=first, ballot=Ballot(ranking=(first, *chance.sample([o for o in options if o != first], 20))))
        for first in options
    ]
    rule = read_rule("irv")
    assert len(votes) * len(options) * 2 < MAX_WORK < len(votes) * len(options) * 780
    found = rule.count(votes, options)
    assert found.leaders
    assert {*rule.count(votes[::-1], options[::-1]).leaders} == {*found.leaders}
