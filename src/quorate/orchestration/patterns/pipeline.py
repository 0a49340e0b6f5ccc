"""How do agents work one after another, each on what those before it gave?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.procedure.work import Work
from quorate.orchestration.patterns.team import (
    Contribution,
    TeamReport,
    build_team,
    read_contribution,
    show_contributions,
)
from quorate.specs import Limits


def pipeline(name: str, stages: Sequence[AnyAgent], *, description: str = "", limits: Limits = Limits()) -> AnyAgent:
    """Build a team whose members work one after another; what the last one gives is the answer.

    Each is shown the task and everything that those before it gave. Where one fails, the ones behind it are not asked,
    and the team fails.

    Args:
        name: Its name.
        stages: Who works, in this order.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no members, or two of one name.
    """

    async def work(procedure: Work, task: str) -> TeamReport:
        given: list[Contribution] = []
        for stage in stages:
            asked = f"{task}\n\nWhat was done before you:\n{show_contributions(given)}" if given else task
            one = read_contribution(stage.name, await procedure.ask(f"stage-{len(given) + 1}", stage.name, asked))
            given.append(one)
            if one.status != "completed":
                raise TeamFailed(
                    f"Stage {len(given)} of {name!r}, {stage.name!r}, failed: {one.reason}", stage=stage.name
                )
        return TeamReport(pattern="pipeline", answer=given[-1].output, contributions=tuple(given))

    return build_team(name, work, stages, description=description, limits=limits)
