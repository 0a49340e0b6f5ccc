"""Do simulated councils do what theory says of them, and are plots and tables written as they should be?"""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.council_members import Setting, draw_team, draw_views, find_dispersion, weigh_skill
from benchmarks.council_plots import Line, Plot, Point, draw
from benchmarks.council_sweeps import SMALL, SWEEPS, TABLES, render_table
from benchmarks.council_tally import build_votes
from benchmarks.council_trials import SIDES, find_lead, find_wilson, run_trials, write_ballot

from quorate.council.rules.table import list_rules, read_rule
from quorate.council.tally import tally

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "when-to-vote.md"
EVEN = Setting(options=2, spread=1e-4)


def is_about(share: float, wanted: float, number: int) -> bool:
    """Within five standard errors; the seed is fixed, so that this holds always or never."""
    return abs(share - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / number)


def test_a_jury_is_right_as_often_as_condorcet_says() -> None:
    """Seven who are right six times of ten, and err each by itself."""
    number = 400
    tried = run_trials(EVEN, tasks=number, seed=5, sides=["majority", "random member"])
    jury = sum(math.comb(7, hits) * 0.6**hits * 0.4 ** (7 - hits) for hits in range(4, 8))
    assert is_about(tried["majority"].accuracy, jury, number)
    assert is_about(tried["random member"].accuracy, 0.6, number)


def test_who_see_the_same_are_no_more_than_one() -> None:
    number = 300
    tried = run_trials(replace(EVEN, correlation=1.0), tasks=number, seed=5, sides=["majority", "random member"])
    assert tried["majority"].right == tried["random member"].right


def test_hostile_members_win_where_they_are_most() -> None:
    setting = Setting(members=3, hostile=0.7, options=3)
    tried = run_trials(setting, tasks=40, seed=5, sides=["plurality", "plurality, known weights"])
    assert tried["plurality"].accuracy == 0
    assert tried["plurality, known weights"].accuracy > 0.4


@pytest.mark.parametrize("noise", ["plackett-luce", "mallows"])
def test_a_member_is_right_as_often_as_its_skill_says(noise: str) -> None:
    chance, setting = random.Random(9), Setting(members=1, options=5, skill=0.5, spread=1e-4, noise=noise)
    team = draw_team(setting, chance)
    views = [draw_views(setting, team, chance)[0] for _ in range(2_000)]
    assert is_about(sum(max(view) == view[0] for view in views) / 2_000, 0.5, 2_000)
    assert sum(max(view) == view[1] for view in views) > sum(max(view) == view[4] for view in views)


def test_dispersion_and_weights_follow_from_skill() -> None:
    assert find_dispersion(0.25, 4) == pytest.approx(1.0)
    assert 1 / sum(find_dispersion(0.6, 4) ** place for place in range(4)) == pytest.approx(0.6)
    assert weigh_skill(0.25, 4) == pytest.approx(0.0)
    assert weigh_skill(0.1, 4) == 0.0
    assert weigh_skill(0.9, 2) == pytest.approx(math.log(9))


def test_bounds_are_those_of_the_books() -> None:
    """Wilson's bounds for 8 of 10, as they are tabled; a difference of tasks in pairs."""
    assert find_wilson(8, 10) == pytest.approx((0.490, 0.943), abs=0.001)
    tried = run_trials(EVEN, tasks=50, seed=1, sides=["majority", "best member"])
    assert find_lead(tried["majority"], tried["majority"]) == (0, 0, 0)
    mean, low, high = find_lead(tried["majority"], tried["best member"])
    assert low < mean < high


def test_the_same_seed_tries_the_same() -> None:
    setting = Setting(correlation=0.4, groups=2, hostile=0.2, abstain=0.2, unsure=True)
    first, again = (run_trials(setting, tasks=4, seed=3) for _ in range(2))
    assert {side: one.right for side, one in first.items()} == {side: one.right for side, one in again.items()}
    assert [line.split(" | ")[0] for line in render_table(first)[2:]] == [f"| {side}" for side in SIDES]


def test_what_members_see_is_written_as_every_rule_reads_it() -> None:
    options = ("a", "b", "c")
    for rule in list_rules():
        read_rule(rule).check(write_ballot(rule, [2.0, -1.0, 0.5], options), options)


@pytest.mark.parametrize("rule", list_rules())
def test_what_is_measured_is_a_vote_that_can_be_counted(rule: str) -> None:
    terms, votes = build_votes(rule, ballots=9, options=3)
    assert tally(terms, votes).present == 9


def test_a_plot_is_an_image_with_a_line_and_a_name_for_each_side() -> None:
    points = [Point(1, 0.5, 0.4, 0.6), Point(3, 0.9, 0.8, 1.0)]
    root = ElementTree.fromstring(
        draw(Plot("A < B", "members", [Line("x", points), Line("y & z", points, dashed=True)]))
    )
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}polyline")) == 2
    texts = [node.text for node in root.iter(f"{space}text")]
    assert {"A < B", "x", "y & z", "members", "100%"} <= {*texts}


def test_the_page_has_a_place_for_all_that_is_tried_and_shows_each_plot() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in ("facts", "cost", *TABLES, *(sweep.name for sweep in SWEEPS)):
        assert f"<!-- {name}: begin -->" in page
        assert f"<!-- {name}: end -->" in page
    shown = set(re.findall(r"\(\.\./council/(\w+)\.svg\)", page))
    assert shown <= {sweep.name for sweep in SWEEPS}
    assert all((PAGE.parents[1] / "council" / f"{name}.svg").is_file() for name in shown)


def test_a_ballot_costs_what_its_tokens_do() -> None:
    assert SMALL.ballot == pytest.approx(0.00081)
