"""Is drift flagged where data moved, and not where they did not?"""

from __future__ import annotations

import math
import random

import pytest

from quorate.errors import InvalidInput
from quorate.learning.distributions import survive_chi_square, survive_kolmogorov
from quorate.learning.drift import build_reference, find_distance, find_drift, find_index, weigh_homogeneity
from quorate.learning.examples import Case

WORDS = ("port", "disk", "certificate", "timeout", "slow", "refused", "full", "memory")


def draw_cases(count: int, *, seed: int, shift: float = 0.0, words: tuple[str, ...] = WORDS) -> list[Case]:
    draw = random.Random(seed)
    return [
        Case(
            text=" ".join(draw.choices(words, k=4)),
            features={"seconds": draw.lognormvariate(0, 0.5), "load": draw.gauss(shift, 1.0)},
        )
        for _ in range(count)
    ]


def test_same_data_do_not_drift() -> None:
    """Thirty fresh draws of the same kind, few and many, and hardly ever a flag."""
    reference = build_reference(draw_cases(400, seed=1))
    flags = [find_drift(reference, draw_cases(40 + 10 * seed, seed=100 + seed)).drifted for seed in range(30)]
    assert sum(flags) <= 1


@pytest.mark.parametrize("count", [60, 300])
def test_shifted_data_drift(count: int) -> None:
    """A number that moved by one standard deviation is named, and the others are not. part of row A20"""
    reference = build_reference(draw_cases(400, seed=1))
    report = find_drift(reference, draw_cases(count, seed=2, shift=1.0))
    assert report.drifted
    assert report.moves[0].what == "load"
    assert report.moves[0].index > 0.25
    assert {move.what for move in report.moves if move.drifted} == {"load"}


def test_other_words_missing_numbers_and_other_labels_drift() -> None:
    """Each is told by its name."""
    reference = build_reference(draw_cases(300, seed=1), ["a", "b"] * 150)
    other = find_drift(reference, draw_cases(200, seed=3, words=(*WORDS[:3], "kubernetes", "helm")))
    assert [move.what for move in other.moves if move.drifted] == ["words"]
    gone = [Case(text=one.text, features={"load": one.features["load"]}) for one in draw_cases(200, seed=4)]
    assert [move.what for move in find_drift(reference, gone).moves if move.drifted] == ["missing:seconds"]
    said = find_drift(reference, draw_cases(200, seed=5), ["a"] * 190 + ["b"] * 10)
    assert [move.what for move in said.moves if move.drifted] == ["labels"]
    fair = find_drift(reference, draw_cases(200, seed=5), ["a", "b"] * 100)
    assert not fair.drifted


def test_a_sure_but_tiny_move_is_no_drift() -> None:
    """Of very many cases even nothing is significant: a move must be large enough as well."""
    reference = build_reference(draw_cases(20_000, seed=1))
    report = find_drift(reference, draw_cases(5_000, seed=2, shift=0.04))
    assert not report.drifted


def test_too_few_cases_say_nothing() -> None:
    """They are refused, not taken for no drift."""
    reference = build_reference(draw_cases(100, seed=1))
    with pytest.raises(InvalidInput, match="at least 20 of each are needed"):
        find_drift(reference, draw_cases(5, seed=2))


def test_the_tests_are_those_of_the_books() -> None:
    """Critical values of tables, and worked examples."""
    for value, degrees, p_value in (
        (3.841459, 1, 0.05),
        (16.918978, 9, 0.05),
        (23.209251, 10, 0.01),
        (2.0, 4, 0.735759),
    ):
        assert survive_chi_square(value, degrees) == pytest.approx(p_value, abs=1e-6)
    assert survive_chi_square(0, 5) == 1.0
    assert survive_chi_square(1e6, 3) < 1e-100 or survive_chi_square(1e6, 3) == 0.0
    assert survive_kolmogorov(1.358 / math.sqrt(1e8), 1e8) == pytest.approx(0.05, abs=5e-4)
    assert survive_kolmogorov(0.0, 10) == 1.0
    assert find_distance([1, 2, 3, 4], [3, 4, 5, 6]) == 0.5
    assert find_distance([1.0, 1.0], [1.0]) == 0.0
    assert find_index([50, 50], [50, 50]) == 0.0
    assert find_index([50, 50], [80, 20]) == pytest.approx(0.3 * math.log(1.6) + -0.3 * math.log(0.4))
    assert math.isfinite(find_index([10, 0], [0, 10]))
    value, p_value = weigh_homogeneity([30, 20], [20, 30])
    assert (value, p_value) == (pytest.approx(4.0), pytest.approx(0.0455, abs=1e-4))
    assert weigh_homogeneity([100, 1], [100, 2]) == (0.0, 1.0)
