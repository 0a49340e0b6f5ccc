"""Does each grader say what holds, and why something does not?"""

from __future__ import annotations

import pytest

from quorate.catalog.evaluation.answer import Answer, Verdict
from quorate.catalog.evaluation.case import (
    Case,
    Contains,
    Decided,
    Exact,
    Fits,
    Grader,
    Holds,
    Judged,
    Matches,
    Routed,
)
from quorate.catalog.evaluation.grade import Judgement, average, grade

JSON = Answer(agent="a", text='```json\n{"verdict": "approve", "score": 3, "where": ["x"]}\n```', calls=("read_file",))


def find_why(grader: Grader, answer: Answer, judgements: dict[int, Judgement] | None = None) -> str | None:
    """Say why an answer does not hold, or `None` when it does."""
    case = Case(id="c", request="which one?", expects=(grader,))
    (found,) = grade(case, answer, judgements or {})
    return None if found.passed else found.why


@pytest.mark.parametrize(
    ("grader", "answer", "why"),
    [
        (Exact(equals=" 42 "), Answer(agent="a", text="42\n"), None),
        (Exact(equals="Yes"), Answer(agent="a", text="yes"), "it is 'yes', not 'Yes'"),
        (Exact(equals="Yes", ignore_case=True), Answer(agent="a", text="yes"), None),
        (Exact(equals=42), Answer(agent="a", text="42"), None),
        (Exact(equals=42), Answer(agent="a", text="about 42"), "it is the text 'about 42', not 42"),
        (Exact(equals=True), Answer(agent="a", text="1"), "it is 1, not True"),
        (Exact(equals={"verdict": "approve", "score": 3.0, "where": ["x"]}), JSON, None),
        (Exact(equals={"a": 1}), Answer(agent="a", value={"a": 2}), "it is {'a': 2}, not {'a': 1}"),
        (Contains(all=("Port", "closed")), Answer(agent="a", text="the port is closed"), None),
        (Contains(all=("Port",), ignore_case=False), Answer(agent="a", text="the port"), "it lacks 'Port'"),
        (Contains(any=("x", "y")), Answer(agent="a", text="z"), "it holds none of 'x', 'y'"),
        (Contains(none=("sorry",)), Answer(agent="a", text="Sorry!"), "it holds 'sorry'"),
        (Matches(pattern=r"^line \d+$"), Answer(agent="a", text="first\nline 12\nlast"), None),
        (Matches(pattern="^x"), Answer(agent="a", text=""), "no line matches '^x'"),
        (Matches(pattern="a+b", absent=True), Answer(agent="a", text="aaab"), "a line matches 'a+b'"),
        (Fits(schema={"type": "object", "required": ["verdict"]}), JSON, None),
        (Fits(schema={"type": "object", "required": ["x"]}), JSON, "`$.x` is missing"),
        (Fits(schema={"type": "object"}), Answer(agent="a", text="no"), "it is not JSON"),
        (Holds(condition="output.score > 2 && 'read_file' in calls && request == 'which one?'"), JSON, None),
        (Holds(condition="output.score > 3"), JSON, "'output.score > 3' does not hold"),
        (Holds(condition="output.nothing > 3"), JSON, "reads the field 'nothing', which is not there"),
        (Routed(agents=("x", "y")), Answer(agent="r", route=("y", "z")), None),
        (Routed(agents=("z",), top=2), Answer(agent="r", route=("y", "z")), None),
        (Routed(agents=("z",)), Answer(agent="r", route=("y", "z")), "it goes to 'y', not to 'z'"),
        (Routed(agents=("z",)), Answer(agent="r"), "it goes to nobody, not to 'z'"),
        (Routed(), Answer(agent="r"), None),
        (Routed(), Answer(agent="r", route=("y",)), "it goes to 'y', not to nobody"),
        (Decided(winner="a"), Answer(agent="d", decision=Verdict(status="decided", winner="a")), None),
        (Decided(status="tied"), Answer(agent="d", decision=Verdict(status="tied")), None),
        (Decided(winner="a"), Answer(agent="d", decision=Verdict(status="decided", winner="b")), "the winner is 'b', not 'a'"),
        (Decided(winner="a"), Answer(agent="d"), "there is no decision"),
    ],
)  # fmt: skip
def test_each_grader_says_what_holds(grader: Grader, answer: Answer, why: str | None) -> None:
    """And why something does not, in words."""
    found = find_why(grader, answer)
    assert found is None if why is None else found is not None and why in found


def test_what_is_not_completed_holds_nothing() -> None:
    """Half an answer is never taken for a whole one, unless it is the very thing that is asked."""
    half = Answer(agent="a", status="incomplete", reason="it met the limit steps", text="the port is closed")
    assert find_why(Contains(all=("closed",)), half) == "the run is incomplete: it met the limit steps"
    assert find_why(Contains(none=("open",)), half) == "the run is incomplete: it met the limit steps"
    assert find_why(Holds(condition="text != ''"), half) == "the run is incomplete: it met the limit steps"
    assert find_why(Holds(condition="status == 'incomplete'"), half) is None


def test_a_judge_sees_shades() -> None:
    """Its score counts, the threshold decides, and no judgement is no pass."""
    case = Case(id="c", request="r", expects=(Judged(rubric="It is kind.", at_least=0.6), Contains(all=("x",))))
    answer = Answer(agent="a", text="x")
    grades = grade(case, answer, {0: Judgement(score=0.8, reason="It is.", run="run-1")})
    assert [one.passed for one in grades] == [True, True]
    assert (average(grades), grades[0].run) == (0.9, "run-1")
    low = grade(case, answer, {0: Judgement(score=0.5, reason="Hardly.")})
    assert (low[0].passed, low[0].why) == (False, "Hardly.")
    assert grade(case, answer)[0].why == "no judgement: nobody judged: name a judge"
    failed = grade(case, answer, {0: Judgement(score=1.0, error="it is down")})
    assert (failed[0].passed, failed[0].score) == (False, 0.0)


def test_a_score_outside_its_range_is_cut() -> None:
    """A judge cannot make up for what fails elsewhere."""
    case = Case(id="c", request="r", expects=(Judged(rubric="x"),))
    assert grade(case, Answer(agent="a"), {0: Judgement(score=900.0)})[0].score == 1.0


def test_long_answers_cost_little() -> None:
    """What would take a usual engine for ever takes this one no time, and only a bounded part is read."""
    answer = Answer(agent="a", text="a" * 5_000 + "\n" + "b" * 10_000_000)
    assert find_why(Matches(pattern="(a+)+$", absent=True), answer) == "a line matches '(a+)+$'"
