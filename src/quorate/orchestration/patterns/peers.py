"""How do agents of equal standing come to one answer by showing each other what they have?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.errors import InvalidInput
from quorate.orchestration.patterns.broadcast import COMBINERS, Aggregation, Combine
from quorate.orchestration.patterns.team import (
    Contribution,
    TeamReport,
    build_team,
    read_contribution,
    require_good,
    show_contributions,
    write_output,
)
from quorate.specs import Limits

MAX_ROUNDS = 5


def peers(
    name: str,
    members: Sequence[AnyAgent],
    *,
    rounds: int = 2,
    combine: Aggregation | Combine = "majority",
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team whose members answer, read each other's answers, and answer again, a bounded number of rounds.

    It ends early when all of them say the same. The idea is that of multi-agent debate (Du et al., ICML 2024).

    Args:
        name: Its name.
        members: Who takes part.
        rounds: How many rounds there are at most, 1 to 5.
        combine: What is made of the answers of the last round, as `broadcast` does.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no members, two of one name, or a number of rounds that is out of bounds.
    """
    if not 1 <= rounds <= MAX_ROUNDS:
        raise InvalidInput(f"`rounds` is {rounds!r}: give 1 to {MAX_ROUNDS}.")
    chosen = COMBINERS[combine] if isinstance(combine, str) else combine

    async def work(procedure: Work, task: str) -> TeamReport:
        every: list[Contribution] = []
        last: list[Contribution] = []
        for number in range(1, rounds + 1):
            jobs = [
                procedure.ask(f"round-{number}-{place}", member.name, _build_task(task, member.name, last))
                for place, member in enumerate(members, 1)
            ]
            outcomes = await side_by_side(jobs)
            last = [read_contribution(member.name, one) for member, one in zip(members, outcomes, strict=True)]
            every += last
            good = require_good(name, last)
            if len(good) == len(members) and len({write_output(one.output) for one in good}) == 1:
                why = f"all {len(members)} say the same after {number} of {rounds} rounds"
                return TeamReport(pattern="peers", answer=good[0].output, why=why, contributions=tuple(every))
        answer, why = chosen(last)
        return TeamReport(pattern="peers", answer=answer, why=f"{why} in the last round", contributions=tuple(every))

    return build_team(name, work, members, description=description, limits=limits)


def _build_task(task: str, member: str, last: Sequence[Contribution]) -> str:
    others = [one for one in last if one.agent != member]
    if not others:
        return task
    said = show_contributions(others)
    return f"{task}\n\nThis is what the others answered; say your answer again, or a better one:\n{said}"
