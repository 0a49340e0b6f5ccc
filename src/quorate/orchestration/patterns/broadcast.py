"""How do agents work on the same task side by side, and how does one answer come of theirs?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast, get_args

import msgspec

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.procedure.together import AT_ONCE, side_by_side
from quorate.agent.procedure.work import Work
from quorate.errors import UnknownName
from quorate.orchestration.patterns.team import (
    Contribution,
    TeamReport,
    build_team,
    read_contribution,
    require_good,
    write_output,
)
from quorate.specs import Limits

Aggregation = Literal["first_success", "majority", "concat", "merge", "average"]
Combine = Callable[[Sequence[Contribution]], tuple[object, str]]
"""Makes an answer of what members gave, and says why it is the one; it must do the same each time."""


def broadcast(
    name: str,
    members: Sequence[AnyAgent],
    *,
    combine: Aggregation | Combine = "concat",
    at_once: int = AT_ONCE,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team all of whose members do the same task at once.

    One that fails costs its own answer only; the team fails when there is none at all, or when what there is does not
    make an answer.

    Args:
        name: Its name.
        members: Who works; their answers are kept in this order.
        combine: What is made of the answers. `first_success`: that of the first member, in their order, who has one;
            `majority`: the one that more than half of all members gave; `concat`: all of them, as text; `merge`: one
            object with the fields of all, where they do not differ; `average`: the mean of numbers, field by field.
        at_once: How many work at a time.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no members, or two of one name.
        UnknownName: There is no such way to combine answers.
    """
    if isinstance(combine, str) and combine not in COMBINERS:
        raise UnknownName("aggregation", combine, get_args(Aggregation))
    chosen = COMBINERS[combine] if isinstance(combine, str) else combine

    async def work(procedure: Work, task: str) -> TeamReport:
        jobs = [procedure.ask(f"member-{place}", member.name, task) for place, member in enumerate(members, 1)]
        outcomes = await side_by_side(jobs, at_once=at_once)
        given = tuple(read_contribution(member.name, one) for member, one in zip(members, outcomes, strict=True))
        require_good(name, given)
        answer, why = chosen(given)
        return TeamReport(pattern="broadcast", answer=answer, why=why, contributions=given)

    return build_team(name, work, members, description=description, limits=limits)


def take_first(given: Sequence[Contribution]) -> tuple[object, str]:
    """Take the first answer there is."""
    one = next(one for one in given if one.status == "completed")
    return one.output, f"{one.agent} is the first who has an answer"


def take_majority(given: Sequence[Contribution]) -> tuple[object, str]:
    """Take the answer that more than half of all members gave, those counted who gave none.

    Raises:
        TeamFailed: There is none; ties are told as such.
    """
    votes = Counter(_normalize(one.output) for one in given if one.status == "completed")
    (best, count), *others = votes.most_common()
    if 2 * count <= len(given):
        tied = [text for text, number in others if number == count]
        said = (
            f"{len(tied) + 1} answers have {count} votes each" if tied else f"the most that one answer has is {count}"
        )
        raise TeamFailed(f"There is no majority among {len(given)} members: {said}.")
    answer = next(one.output for one in given if one.status == "completed" and _normalize(one.output) == best)
    return answer, f"{count} of {len(given)} members gave it"


def concatenate(given: Sequence[Contribution]) -> tuple[object, str]:
    """Put all answers one behind the other, each under the name of who gave it."""
    good = [one for one in given if one.status == "completed"]
    return "\n\n".join(f"{one.agent}: {write_output(one.output)}" for one in good), f"{len(good)} answers"


def merge(given: Sequence[Contribution]) -> tuple[object, str]:
    """Make one object of objects.

    Raises:
        TeamFailed: One is no object, or two give one field different values.
    """
    merged: dict[str, object] = {}
    owners: dict[str, str] = {}
    for one in given:
        if one.status != "completed":
            continue
        if not isinstance(one.output, dict):
            raise TeamFailed(f"What {one.agent!r} gave is no object and cannot be merged: {one.output!r:.200}")
        for field, value in cast("dict[str, object]", one.output).items():
            if field in merged and merged[field] != value:
                said = f"{owners[field]!r} gave {merged[field]!r:.100}, {one.agent!r} gave {value!r:.100}"
                raise TeamFailed(f"Answers differ in {field!r}: {said}.")
            merged.setdefault(field, value)
            owners.setdefault(field, one.agent)
    return merged, ", ".join(f"{field} from {owner}" for field, owner in owners.items())


def average(given: Sequence[Contribution]) -> tuple[object, str]:
    """Take the mean of numbers, or of each field of objects of numbers.

    Raises:
        TeamFailed: One is neither, or objects have different fields.
    """
    rows = [_read_numbers(one) for one in given if one.status == "completed"]
    fields = rows[0].keys()
    if any(row.keys() != fields for row in rows):
        raise TeamFailed("Answers have different fields, so that there is no mean of them.")
    means = {field: math.fsum(row[field] for row in rows) / len(rows) for field in fields}
    answer: object = means.get("", means)
    return answer, f"the mean of {len(rows)} answers"


COMBINERS: Mapping[str, Combine] = {
    "first_success": take_first,
    "majority": take_majority,
    "concat": concatenate,
    "merge": merge,
    "average": average,
}
"""What makes one answer of several, by name."""


def _normalize(output: object) -> str:
    """Write an answer so that what is meant alike is written alike: objects by their keys, text without its case."""
    if isinstance(output, str):
        return " ".join(output.casefold().split()).rstrip(".!")
    return msgspec.json.encode(output, order="sorted").decode()


def _read_numbers(one: Contribution) -> dict[str, float]:
    output: object = one.output
    if isinstance(output, str):
        try:
            output = float(output)
        except ValueError:
            output = None
    found = cast("dict[str, object]", output) if isinstance(output, dict) else {"": output}
    numbers = {
        field: float(value)
        for field, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    if len(numbers) < len(found) or not numbers:
        raise TeamFailed(f"What {one.agent!r} gave is no number: {one.output!r:.200}")
    return numbers
