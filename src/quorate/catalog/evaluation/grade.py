"""Does an answer hold what is expected of it, and if not, why not?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from quorate.catalog.evaluation.answer import MOST_READ, NAMES, Answer, Verdict, build_variables, read_value
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
from quorate.conditions import compile_condition
from quorate.errors import InvalidInput, QuorateError, TooLarge
from quorate.models.guards.answers import AnswerSchema
from quorate.tools.builtin.files.regex import LinearPattern

MOST_SHOWN = 120
"""Characters of a value in a reason."""


class Judgement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a judge says of an answer."""

    score: float
    """From 0, it does not meet the rubric, to 1."""
    reason: str = ""
    run: str = ""
    """The judge's own run."""
    cost_usd: float | None = None
    error: str = ""
    """Why there is no judgement; the score then says nothing."""


class Grade(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an answer did in one respect."""

    grader: str
    passed: bool
    score: float
    """1 or 0, but for judges, who see shades."""
    why: str = ""
    """Why it does not hold; for a judge, its reason."""
    run: str = ""
    """The judge's run, where one judged."""


def grade(case: Case, answer: Answer, judgements: Mapping[int, Judgement] = {}) -> tuple[Grade, ...]:
    """Hold an answer against all that is expected; the same answer always gets the same grades.

    A run that did not complete holds nothing, unless a condition asks for its `status`.

    Args:
        case: What is expected.
        answer: What came.
        judgements: What judges said, by the number of the expectation.
    """
    if not answer.is_whole and not any(_reads_status(one) for one in case.expects):
        why = f"the run is {answer.status}" + (f": {_cut(answer.reason)}" if answer.reason else "")
        return tuple(_build(one, why) for one in case.expects)
    return tuple(
        _grade_judged(one, judgements.get(number))
        if isinstance(one, Judged)
        else _build(one, _find_fault(one, answer, case.request))
        for number, one in enumerate(case.expects)
    )


def average(grades: Sequence[Grade]) -> float:
    """Return the mean of some grades' scores; 0 where there are none."""
    return sum(one.score for one in grades) / len(grades) if grades else 0.0


def get_name(grader: Grader) -> str:
    """Return what a grader is called in files."""
    return str(type(grader).__struct_config__.tag)


def _find_fault(grader: Grader, answer: Answer, request: str) -> str:
    """Say why an answer does not hold; empty when it does."""
    if isinstance(grader, Exact):
        return _compare(grader, answer)
    if isinstance(grader, Contains):
        return _look_for_words(grader, answer.text[:MOST_READ])
    if isinstance(grader, Matches):
        return _look_for_pattern(grader, answer.text[:MOST_READ])
    if isinstance(grader, Fits):
        value = read_value(answer)
        text = answer.text if isinstance(value, str) else msgspec.json.encode(value).decode()
        return AnswerSchema(grader.schema).find_fault(text) or ""
    if isinstance(grader, Holds):
        return _look_at_condition(grader, build_variables(answer, request))
    if isinstance(grader, Routed):
        return _compare_route(grader, answer.route)
    assert isinstance(grader, Decided)
    return _compare_decision(grader, answer.decision)


def _compare(grader: Exact, answer: Answer) -> str:
    wanted = grader.equals
    if isinstance(wanted, str):
        given = answer.value if isinstance(answer.value, str) else answer.text
        left, right = wanted.strip(), given.strip()
        same = left.casefold() == right.casefold() if grader.ignore_case else left == right
        return "" if same else f"it is {_show(given)}, not {_show(wanted)}"
    value = read_value(answer)
    if isinstance(value, str):  # a number or a truth on its own is JSON too
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return f"it is the text {_show(value)}, not {_show(wanted)}"
    return "" if _is_same(value, wanted) else f"it is {_show(value)}, not {_show(wanted)}"


def _is_same(one: object, other: object) -> bool:
    """Whether two plain values are the same; true is not 1 here."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        left, right = cast("dict[str, object]", one), cast("dict[str, object]", other)
        return left.keys() == right.keys() and all(_is_same(left[key], right[key]) for key in left)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        first, second = cast("Sequence[object]", one), cast("Sequence[object]", other)
        return len(first) == len(second) and all(map(_is_same, first, second))
    return one == other


def _look_for_words(grader: Contains, text: str) -> str:
    def holds(words: str) -> bool:
        return words.casefold() in folded if grader.ignore_case else words in text

    folded = text.casefold() if grader.ignore_case else ""
    missing = [words for words in grader.all if not holds(words)]
    if missing:
        return f"it lacks {', '.join(map(repr, missing))}"
    if grader.any and not any(map(holds, grader.any)):
        return f"it holds none of {', '.join(map(repr, grader.any))}"
    unwanted = [words for words in grader.none if holds(words)]
    return f"it holds {', '.join(map(repr, unwanted))}" if unwanted else ""


def _look_for_pattern(grader: Matches, text: str) -> str:
    pattern = LinearPattern(grader.pattern, ignore_case=grader.ignore_case)
    found = any(pattern.search(line) for line in text.splitlines() or [""])
    if found == (not grader.absent):
        return ""
    return f"a line matches {grader.pattern!r}" if grader.absent else f"no line matches {grader.pattern!r}"


def _look_at_condition(grader: Holds, variables: Mapping[str, object]) -> str:
    try:
        holds = compile_condition(grader.condition, names=NAMES).holds(variables)
    except (InvalidInput, TooLarge) as error:
        return error.message
    return "" if holds else f"{grader.condition!r} does not hold"


def _compare_route(grader: Routed, route: Sequence[str]) -> str:
    if not grader.agents:
        return f"it goes to {route[0]!r}, not to nobody" if route else ""
    if not route:
        return f"it goes to nobody, not to {' or '.join(map(repr, grader.agents))}"
    best = route[: grader.top]
    if set(best) & set(grader.agents):
        return ""
    return f"it goes to {', '.join(map(repr, best))}, not to {' or '.join(map(repr, grader.agents))}"


def _compare_decision(grader: Decided, decision: Verdict | None) -> str:
    if decision is None:
        return "there is no decision"
    if grader.status is not None and decision.status != grader.status:
        return f"it is {decision.status!r}, not {grader.status!r}" + (f": {decision.why}" if decision.why else "")
    if grader.winner is not None and decision.winner != grader.winner:
        won = f"the winner is {decision.winner!r}" if decision.winner is not None else f"it is {decision.status!r}"
        return f"{won}, not {grader.winner!r}" + (f": {decision.why}" if decision.why else "")
    return ""


def _grade_judged(grader: Judged, judgement: Judgement | None) -> Grade:
    if judgement is None or judgement.error:
        why = judgement.error if judgement is not None else "nobody judged: name a judge"
        return Grade(grader="judge", passed=False, score=0.0, why=f"no judgement: {why}")
    score = min(1.0, max(0.0, judgement.score))
    return Grade(grader="judge", passed=score >= grader.at_least, score=score, why=judgement.reason, run=judgement.run)


def _build(grader: Grader, fault: str) -> Grade:
    return Grade(grader=get_name(grader), passed=not fault, score=0.0 if fault else 1.0, why=fault)


def _reads_status(grader: Grader) -> bool:
    if not isinstance(grader, Holds):
        return False
    try:
        return "status" in compile_condition(grader.condition, names=NAMES).names
    except QuorateError:
        return False


def _show(value: object) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"
