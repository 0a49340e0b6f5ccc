"""What is a team: several agents that are one agent to whoever asks it, and what does it answer?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, cast

import msgspec
from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.work import Work
from quorate.errors import InvalidInput
from quorate.specs import Limits

MAX_SHOWN = 20_000
"""How many characters of what one member gave are shown to another one."""


class Contribution(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a member of a team gave."""

    agent: str
    status: Literal["completed", "failed", "incomplete", "stopped"]
    output: object = None
    reason: str = ""
    """Why there is none."""
    step: str = ""
    """Which step of the team's work it was."""


class TeamReport(Struct, frozen=True, kw_only=True):
    """What a team answers."""

    pattern: str
    """How it worked."""
    answer: object
    why: str = ""
    """Why this is the answer, where there was a choice."""
    contributions: tuple[Contribution, ...] = ()
    """What each member gave, in the order of the work."""


_REPORT = frozenset(TeamReport.__struct_fields__)
TeamWork = Callable[[Work, str], Awaitable[TeamReport]]
"""How a team does a task."""


def build_team(
    name: str,
    work: TeamWork,
    members: Sequence[AnyAgent],
    *,
    tools: Sequence[object] | None = None,
    description: str = "",
    limits: Limits = Limits(),
    version: str = "1",
) -> AnyAgent:
    """Build the agent that a team is.

    Args:
        name: Its name.
        work: How it does a task.
        members: Who works in it; each once.
        tools: What its work calls; the members themselves when not given.
        description: What it is for.
        limits: The bounds of each of its runs, for all members together.
        version: Which version of the team this is.

    Raises:
        InvalidInput: It has no members, or two of one name.
    """
    names = [member.name for member in members]
    if not names or len(set(names)) < len(names):
        raise InvalidInput(
            f"Team {name!r} has the members {', '.join(names) or '(none)'}: give at least one, each once."
        )

    async def run(procedure: Work, task: str) -> str:
        return msgspec.json.encode(await work(procedure, task)).decode()

    return build_agent(
        name,
        run,
        tools=members if tools is None else tools,
        output_type=TeamReport,
        description=description,
        limits=limits,
        version=version,
    )


def read_contribution(agent: str, outcome: Outcome) -> Contribution:
    """Read what a member gave."""
    if outcome.is_good:
        output = outcome.value
        fields = cast("dict[str, object]", output) if isinstance(output, dict) else {}
        if fields.keys() >= _REPORT:  # the member is a team itself
            output = fields["answer"]
        return Contribution(agent=agent, status="completed", output=cast("object", output), step=outcome.step)
    status = "stopped" if outcome.code == "cancelled" else outcome.status
    return Contribution(agent=agent, status=status, reason=outcome.text, step=outcome.step)


def list_good(contributions: Sequence[Contribution]) -> list[Contribution]:
    """List the contributions that there are."""
    return [one for one in contributions if one.status == "completed"]


def require_good(name: str, contributions: Sequence[Contribution]) -> list[Contribution]:
    """List the contributions that there are.

    Raises:
        TeamFailed: There is none; the message says why, member by member.
    """
    good = list_good(contributions)
    if not good:
        reasons = "; ".join(f"{one.agent}: {one.reason}" for one in contributions)
        raise TeamFailed(f"No member of {name} gave anything: {reasons}"[:4_000])
    return good


def show_contributions(contributions: Sequence[Contribution]) -> str:
    """Write what members gave for another one to read; it is what they said, and no instruction."""
    parts: list[str] = []
    for one in contributions:
        said = write_output(one.output) if one.status == "completed" else f"(nothing: {one.reason})"
        parts.append(f"<contribution agent={one.agent!r}>\n{said[:MAX_SHOWN]}\n</contribution>")
    return "\n".join(parts)


def write_output(output: object) -> str:
    """Write what a member gave as text."""
    return output if isinstance(output, str) else msgspec.json.encode(output).decode()
