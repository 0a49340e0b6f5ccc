"""Are the figures of decisions those of the books?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.council.ballot import UNIT, Ballot, Vote
from quorate.council.evidence import Judged
from quorate.council.quality import (
    DecisionFigures,
    Known,
    find_alpha,
    find_brier,
    find_calibration_error,
    find_interval,
    find_kappa,
    find_regret,
    list_measures,
    measure_agreement,
    measure_decision,
    measure_quality,
)
from quorate.errors import InvalidInput, UnknownName

FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip
"""The worked example of Wikipedia's article on Fleiss' kappa: 0.210."""
KRIPPENDORFF = ["aaa", "bbcb", "cccc", "cccc", "bbbb", "abcd", "dddd", "aaba", "bbbb", "eee", "aa", "c"]
quick = settings(max_examples=50, deadline=None)


def vote(name: str, choice: str, *, confidence: float | None = None, weight: float = 1) -> Vote:
    return Vote(voter=name, ballot=Ballot(choice=choice, confidence=confidence), weight=round(weight * UNIT))


def decide(number: int, winner: str | None, *votes: Vote) -> Judged:
    return Judged(id=f"decision-{number}", options=("yes", "no"), votes=votes, winner=winner, closed=float(number))


def test_kappa_is_that_of_the_worked_example() -> None:
    assert find_kappa(FLEISS) == pytest.approx(0.20993, abs=1e-5)
    assert find_kappa([[3, 0], [0, 3]]) == 1
    assert find_kappa([[3, 0], [3, 0]]) is None
    assert find_kappa([]) is None
    with pytest.raises(InvalidInput, match="the same two or more voters"):
        find_kappa([[3, 0], [2, 0]])
    with pytest.raises(InvalidInput, match="the same two or more voters"):
        find_kappa([[1, 0]])


def test_alpha_is_that_of_the_worked_example() -> None:
    """Krippendorff's own example C: twelve units, four observers, missing values; 0.743."""
    assert find_alpha(KRIPPENDORFF) == pytest.approx(0.743, abs=5e-4)
    assert find_alpha(["aa", "bb"]) == 1
    assert find_alpha(["aa", "aa"]) is None
    assert find_alpha(["a", "b"]) is None
    assert find_alpha([]) is None


@quick
@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=5, max_size=5), min_size=1, max_size=20),
)
def test_with_all_there_kappa_and_alpha_differ_by_the_size_alone(decisions: list[list[str]]) -> None:
    """1 - alpha = (1 - kappa)(N - 1) / N for N votes in all."""
    table = [[one.count(letter) for letter in "abc"] for one in decisions]
    kappa, alpha, number = find_kappa(table), find_alpha(decisions), 5 * len(decisions)
    assert (kappa is None) == (alpha is None)
    if kappa is not None and alpha is not None:
        assert 1 - alpha == pytest.approx((1 - kappa) * (number - 1) / number, abs=1e-9)


def test_brier_and_calibration() -> None:
    assert find_brier([(1.0, True), (0.0, False)]) == 0
    assert find_brier([(0.8, True), (0.6, False)]) == pytest.approx((0.04 + 0.36) / 2)
    assert find_brier([]) is None
    even = [(0.75, True), (0.75, True), (0.75, True), (0.75, False)]
    assert find_calibration_error(even) == pytest.approx(0)
    assert find_calibration_error([*even, (1.0, False), (0.0, True)]) == pytest.approx(2 / 6)
    assert find_calibration_error([]) is None
    for figure in (find_brier, find_calibration_error):
        with pytest.raises(InvalidInput, match="confidence of nan"):
            figure([(math.nan, True)])
    with pytest.raises(InvalidInput, match="0 bins"):
        find_calibration_error(even, bins=0)


@quick
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_calibration_error_is_bounded_and_below_the_root_of_brier(forecasts: list[tuple[float, bool]]) -> None:
    """By Jensen's inequality, bin by bin."""
    error, brier = find_calibration_error(forecasts), find_brier(forecasts)
    assert error is not None
    assert brier is not None
    assert 0 <= error <= math.sqrt(brier) + 1e-9 <= 1 + 1e-9


def test_regret_is_what_the_best_was_worth_more() -> None:
    worth = {"yes": 10.0, "no": 4.0, "wait": 2.0}
    assert find_regret(worth, "yes") == (0, 0)
    assert find_regret(worth, "no") == (6, 0.75)
    assert find_regret(worth, None) == (8, 1)
    assert find_regret({"yes": 1.0, "no": 1.0}, "no") == (0, 0)
    with pytest.raises(InvalidInput, match="'maybe'"):
        find_regret(worth, "maybe")
    with pytest.raises(InvalidInput, match="finite worth"):
        find_regret({"yes": math.inf}, "yes")


def test_intervals_are_wilsons() -> None:
    """Newcombe's examples (1998, table I): 81 of 263, 15 of 148, 0 of 20 and 1 of 29."""
    for right, number, low, high in (
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718),
    ):  # fmt: skip
        found = find_interval(right, number)
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert find_interval(20, 20).high == 1
    with pytest.raises(InvalidInput, match="3 of 2"):
        find_interval(3, 2)


def test_agreement_goes_by_weight() -> None:
    votes = [vote("a", "yes", weight=3), vote("b", "no"), Vote(voter="c", ballot=Ballot(abstains=True))]
    assert measure_agreement(votes, "yes") == 0.75
    assert measure_agreement(votes, None) is None
    assert measure_agreement([], "yes") is None
    both = Vote(voter="d", ballot=Ballot(approved=("yes", "no")))
    assert measure_agreement([vote("a", "yes"), both], "yes") == 0.75


def test_a_decision_is_as_good_as_it_turned_out() -> None:
    decision = decide(1, "no", vote("a", "yes", confidence=0.9), vote("b", "no", confidence=0.6))
    assert measure_decision(decision) == DecisionFigures(agreement=0.5)
    found = measure_decision(decision, truth="yes", utilities={"yes": 3.0, "no": 1.0})
    assert (found.is_right, found.regret, found.regret_share) == (False, 2, 1)
    assert found.brier == pytest.approx((0.01 + 0.36) / 2)
    assert list_measures(found) == [("accuracy", 0), ("calibration", pytest.approx(0.815)), ("value", 0)]
    assert list_measures(measure_decision(decision)) == []
    with pytest.raises(UnknownName, match="'maybe'"):
        measure_decision(decision, truth="maybe")


def test_no_decision_is_not_a_right_one() -> None:
    assert measure_decision(decide(1, None, vote("a", "yes")), truth="yes").is_right is False


def test_decisions_are_summed_up() -> None:
    known = [
        Known(decision=decide(1, "yes", vote("a", "yes"), vote("b", "yes"), vote("c", "no")), truth="yes"),
        Known(decision=decide(2, "no", vote("a", "yes"), vote("b", "no", confidence=0.5)), truth="yes", utilities={"yes": 2.0, "no": 1.0}),
        Known(decision=decide(3, None, vote("a", "no"), vote("b", "yes")), truth="no"),
    ]  # fmt: skip
    report = measure_quality(known)
    assert report.council is not None
    assert (report.decisions, report.council.share, report.council.number) == (3, pytest.approx(1 / 3), 3)
    assert {name: (one.share, one.number) for name, one in report.members.items()} == {
        "a": (1, 3), "b": (pytest.approx(1 / 3), 3), "c": (0, 1),
    }  # fmt: skip
    assert (report.best_member, report.agreement, report.brier, report.regret) == ("a", pytest.approx(7 / 12), 0.25, 1)
    nothing = measure_quality([])
    assert (nothing.council, nothing.members, nothing.best_member, nothing.alpha) == (None, {}, "", None)
