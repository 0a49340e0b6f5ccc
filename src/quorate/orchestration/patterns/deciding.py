"""How does a team answer by a decision of its members?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.work import Work
from quorate.council.chair import describe_choice
from quorate.council.decide import Backing, Charter, check_council, hold, read_seat
from quorate.council.plan import Plan
from quorate.council.registrar import build_registrar
from quorate.council.voter import answer_in_words
from quorate.orchestration.patterns.team import Contribution, TeamReport, build_team
from quorate.specs import Limits


def deciding(
    name: str,
    members: Sequence[AnyAgent],
    plan: Plan,
    *,
    arbiters: Sequence[AnyAgent] = (),
    backing: Backing = Backing(),
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team that decides what it is asked by vote: a council whose answer is a `TeamReport`.

    Args:
        name: Its name.
        members: Who votes.
        plan: How they decide.
        arbiters: Agents that fallbacks name and that do not vote.
        backing: What vouches for ballots and tells trust.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It does not hold together; all that is wrong is told at once.
    """
    roll = tuple(member.name for member in members)
    asked = [*roll, *(arbiter.name for arbiter in arbiters)]
    plan = check_council(name, [read_seat(seat) for seat in roll], plan, agents=asked, backing=backing)
    charter = Charter(plan=plan, roll=roll)

    async def work(procedure: Work, task: str) -> TeamReport:
        record = await hold(procedure, task, charter, is_sealing=backing.seal is not None)
        given = {one.voter: one for one in record.last.ballots}
        absent = {one.voter: f"{one.why}: {one.detail}" for one in record.last.refused}
        contributions = [
            Contribution(agent=seat, status="completed", output=describe_choice(given[seat].ballot))
            if seat in given
            else Contribution(agent=seat, status="failed", reason=absent.get(seat, "cast no ballot"))
            for seat in roll
        ]
        why = f"{record.why} (decision {record.id})"
        return TeamReport(pattern="council", answer=record.winner, why=why, contributions=tuple(contributions))

    voters = [answer_in_words(agent) for agent in (*members, *arbiters)]
    tools = [*voters, *build_registrar(backing.seal, backing.read_weights if plan.by_trust else None)]
    return build_team(name, work, members, tools=tools, description=description, limits=limits)
