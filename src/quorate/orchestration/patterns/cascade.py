"""How is a task tried by the cheapest agent first, and by stronger ones only where that is not good enough?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.procedure.work import Work
from quorate.orchestration.patterns.competitive import Accept, accept_all
from quorate.orchestration.patterns.team import (
    Contribution,
    TeamReport,
    build_team,
    read_contribution,
    show_contributions,
)
from quorate.specs import Limits


def cascade(
    name: str,
    members: Sequence[AnyAgent],
    *,
    accept: Accept = accept_all,
    shows: bool = False,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team whose members are asked one after another, until an answer is good enough.

    The idea is that of FrugalGPT (Chen, Zaharia and Zou, 2023): most tasks never reach the costly ones.

    Args:
        name: Its name.
        members: Who is asked, the cheapest first.
        accept: Whether an answer is good enough.
        shows: Whether those asked later see what was not good enough.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no members, or two of one name.
    """

    async def work(procedure: Work, task: str) -> TeamReport:
        given: list[Contribution] = []
        for place, member in enumerate(members, 1):
            asked = f"{task}\n\nThis was not good enough:\n{show_contributions(given)}" if shows and given else task
            one = read_contribution(member.name, await procedure.ask(f"rung-{place}", member.name, asked))
            given.append(one)
            if one.status == "completed" and accept(one.output):
                why = f"{member.name} is the first of {len(members)} whose answer is good enough"
                return TeamReport(pattern="cascade", answer=one.output, why=why, contributions=tuple(given))
        said = "; ".join(f"{one.agent}: {one.reason or 'not good enough'}" for one in given)
        raise TeamFailed(f"No answer of {name!r} is good enough: {said}"[:4_000])

    return build_team(name, work, members, description=description, limits=limits)
