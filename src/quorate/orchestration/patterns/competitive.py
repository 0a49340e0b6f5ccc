"""How do agents compete, so that the first good answer wins and nothing more is spent on the others?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.together import Candidate, race
from quorate.agent.procedure.work import Work
from quorate.orchestration.patterns.team import TeamReport, build_team, read_contribution
from quorate.specs import Limits

Accept = Callable[[object], bool]
"""Whether an answer will do; it must say the same each time."""


def accept_all(answer: object) -> bool:
    """Take whatever is an answer."""
    return True


def competitive(
    name: str,
    members: Sequence[AnyAgent],
    *,
    accept: Accept = accept_all,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team whose members do the same task at once; the first acceptable answer wins, the others are stopped.

    Args:
        name: Its name.
        members: Who competes.
        accept: Whether an answer will do.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no members, or two of one name.
    """

    async def will_do(outcome: Outcome) -> bool:
        return outcome.is_good and accept(outcome.value)

    async def work(procedure: Work, task: str) -> TeamReport:
        steps = {f"runner-{place}": member.name for place, member in enumerate(members, 1)}
        runners = [Candidate(step=step, agent=agent, task=task) for step, agent in steps.items()]
        winner, came = await race(procedure, runners, will_do)
        given = tuple(read_contribution(steps[one.step], one) for one in came)
        if winner is None:
            said = "; ".join(f"{one.agent}: {one.reason or 'not acceptable'}" for one in given)
            raise TeamFailed(f"No member of {name!r} gave an acceptable answer: {said}"[:4_000])
        why = f"{steps[winner.step]} was the first with an acceptable answer"
        return TeamReport(pattern="competitive", answer=winner.value, why=why, contributions=given)

    return build_team(name, work, members, description=description, limits=limits)
