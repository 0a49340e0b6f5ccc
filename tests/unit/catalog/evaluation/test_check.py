"""Is everything told that is wrong with a case whose keys and types fit?"""

from __future__ import annotations

import pytest

from quorate.catalog.evaluation.case import (
    Case,
    Contains,
    Decided,
    Exact,
    Fits,
    Fixture,
    Grader,
    Holds,
    Judged,
    Matches,
    Poll,
    Routed,
)
from quorate.catalog.evaluation.check import MOST_EXPECTS, MOST_SCRIPT, find_faults

GOOD = Exact(equals="x")
POLL = Poll(options=("a", "b"), voters=("ann", "bob"))


def build(*expects: Grader, **others: object) -> Case:
    return Case(id="c", request="r", expects=expects, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("case", "place", "said"),
    [
        (Case(id="A", request="r", expects=(GOOD,)), "id", "is not one"),
        (Case(id="a", request=" ", expects=(GOOD,)), "request", "is empty"),
        (Case(id="a", request="x" * 100_001, expects=(GOOD,)), "request", "at most 100000"),
        (build(), "expects", "anything would pass"),
        (build(*[GOOD] * (MOST_EXPECTS + 1)), "expects", f"at most {MOST_EXPECTS}"),
        (build(GOOD, tags=("A b",)), "tags.0", "is not a name"),
        (build(GOOD, agent="../x"), "agent", "is not a name"),
        (build(GOOD, script=("x",) * (MOST_SCRIPT + 1)), "script", "at most"),
        (build(Contains()), "expects.0.all", "looks for nothing"),
        (build(Contains(none=("",))), "expects.0.all", "empty words"),
        (build(Matches(pattern=r"(a)\1")), "expects.0.pattern", "cannot be used"),
        (build(Fits(schema={"pattern": "x"})), "expects.0.schema", "pattern"),
        (build(Holds(condition="text ==")), "expects.0.condition", "is not a condition"),
        (build(Holds(condition="textt == ''")), "expects.0.condition", "Did you mean `text`"),
        (build(Judged(rubric=" ")), "expects.0.rubric", "is empty"),
        (build(Routed()), "expects.0", "only a case of kind 'route'"),
        (build(Decided(winner="a")), "expects.0", "only a case of kind 'decision'"),
        (build(GOOD, kind="route"), "expects.0", "cannot expect this"),
        (build(Routed(), kind="route", agent="a"), "agent", "take `agent` out"),
        (build(Decided(winner="a"), kind="decision"), "poll", "give one of them"),
        (build(Decided(winner="a"), kind="decision", poll=POLL, agent="a"), "poll", "give one of them"),
        (build(Decided(), kind="decision", poll=POLL), "expects.0.winner", "expects nothing"),
        (build(Decided(winner="z"), kind="decision", poll=POLL), "expects.0.winner", "none of the options"),
        (build(GOOD, poll=POLL), "poll", "take it out"),
        (
            build(Decided(winner="a"), kind="decision", poll=Poll(options=("a",), voters=("v",))),
            "poll.options",
            "at least 2",
        ),
        (
            build(Decided(winner="a"), kind="decision", poll=Poll(options=("a", "b"), voters=("v", "v"))),
            "poll.voters",
            "each once",
        ),
        (build(GOOD, fixture=Fixture(files={"../x": ""})), "fixture.files.../x", "no path in the workspace"),
        (build(GOOD, fixture=Fixture(databases={".git/x": ""})), "fixture.databases..git/x", "no path"),
        (build(GOOD, fixture=Fixture(serves=True)), "fixture.serves", "no files to serve"),
        (build(GOOD, fixture=Fixture(needs=("A B",))), "fixture.needs.0", "is not a name"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(case: Case, place: str, said: str) -> None:
    """One fault each, where it stands."""
    ((where, what),) = find_faults(case)
    assert (".".join(map(str, where)), said in what) == (place, True), what


def test_sound_cases_have_no_faults() -> None:
    """Of each kind."""
    assert find_faults(build(GOOD, Judged(rubric="It is kind."), agent="a", tags=("t",))) == []
    assert find_faults(build(Routed(), Holds(condition="size(route) == 0"), kind="route")) == []
    assert find_faults(build(Decided(status="tied"), kind="decision", poll=POLL)) == []
    assert find_faults(build(Decided(winner="a"), kind="decision", agent="board")) == []
