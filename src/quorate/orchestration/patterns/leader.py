"""How does one agent lead others: say what each does, and make one answer of what they did?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed, ask_for, list_members
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.errors import InvalidInput
from quorate.orchestration.patterns.team import (
    Contribution,
    TeamReport,
    build_team,
    read_contribution,
    require_good,
    show_contributions,
)
from quorate.specs import Limits

MAX_PARTS = 50


class Assignment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one follower is to do."""

    agent: str
    task: str


class Assignments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a leader answers when it is asked who does what."""

    parts: tuple[Assignment, ...]


def leader_follower(
    name: str,
    leader: AnyAgent,
    followers: Sequence[AnyAgent],
    *,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team one of whose members leads: it parts the task, its followers work at once, and it makes the answer.

    Args:
        name: Its name.
        leader: Who parts the task and makes the answer.
        followers: Who does the parts.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no followers, or two members have one name.
    """
    if not followers:
        raise InvalidInput(f"Team {name!r} has nobody to lead: give followers.")

    async def work(procedure: Work, task: str) -> TeamReport:
        parts = await assign(procedure, leader.name, followers, task)
        jobs = [procedure.ask(f"part-{place}", part.agent, part.task) for place, part in enumerate(parts, 1)]
        outcomes = await side_by_side(jobs)
        given = [read_contribution(part.agent, one) for part, one in zip(parts, outcomes, strict=True)]
        require_good(name, given)
        answer = await integrate(procedure, leader.name, task, given)
        return TeamReport(
            pattern="leader_follower",
            answer=answer.output,
            why=f"{leader.name} made it of {len(given)} parts",
            contributions=(*given, answer),
        )

    return build_team(name, work, [leader, *followers], description=description, limits=limits)


async def assign(
    procedure: Work, leader: str, followers: Sequence[AnyAgent], task: str, *, step: str = "assign"
) -> tuple[Assignment, ...]:
    """Have a leader say who does what, and check it; it is told what does not hold, a bounded number of times.

    Raises:
        TeamFailed: The leader failed, or its assignments never held.
    """
    names = [one.name for one in followers]
    schema = '{"parts": [{"agent": "<name>", "task": "<all that is needed to do it>"}]}'
    asked = (
        f"{task}\n\nPart this among the agents below, and answer with JSON alone: {schema}\n{list_members(followers)}"
    )
    found = await ask_for(
        procedure, step, leader, asked, Assignments, check=lambda said: check_assignments(said, names)
    )
    return found.parts


def check_assignments(assignments: Assignments, followers: Sequence[str]) -> None:
    """Return if it is said well who does what.

    Raises:
        InvalidInput: There are no parts, too many, or some for strangers.
    """
    count = len(assignments.parts)
    if not 1 <= count <= MAX_PARTS:
        raise InvalidInput(f"it has {count} parts; there are 1 to {MAX_PARTS}")
    strangers = sorted({part.agent for part in assignments.parts} - set(followers))
    if strangers:
        raise InvalidInput(f"there is no agent {', '.join(strangers)}; there are {', '.join(followers)}")


async def integrate(procedure: Work, leader: str, task: str, given: Sequence[Contribution]) -> Contribution:
    """Have a leader make one answer of several.

    Raises:
        TeamFailed: It failed.
    """
    asked = f"{task}\n\nMake one answer of what the others did:\n{show_contributions(given)}"
    answer = read_contribution(leader, await procedure.ask("integrate", leader, asked))
    if answer.status != "completed":
        raise TeamFailed(f"The leader {leader!r} failed to make one answer: {answer.reason}", agent=leader)
    return answer
