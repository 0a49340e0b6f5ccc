"""How do many agents fill one board, each adding what the others do not have yet?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.errors import InvalidInput
from quorate.orchestration.patterns.leader import integrate
from quorate.orchestration.patterns.team import (
    Contribution,
    TeamReport,
    build_team,
    list_good,
    read_contribution,
    require_good,
    show_contributions,
    write_output,
)
from quorate.specs import Limits

MAX_ROUNDS = 5
NOTHING = "nothing"
"""What a member says who has nothing to add."""


def collective(
    name: str,
    members: Sequence[AnyAgent],
    *,
    closer: AnyAgent | None = None,
    rounds: int = 3,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team whose members write on a board that all of them read, until nobody has anything to add.

    The idea is the blackboard of Hearsay-II (Erman et al., ACM Computing Surveys 1980).

    Args:
        name: Its name.
        members: Who writes; in each round all of them at once, on the board as the last round left it.
        closer: Who makes one answer of the board; without one the board is the answer.
        rounds: How many rounds there are at most, 1 to 5.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no members, two of one name, or a number of rounds that is out of bounds.
    """
    if not 1 <= rounds <= MAX_ROUNDS:
        raise InvalidInput(f"`rounds` is {rounds!r}: give 1 to {MAX_ROUNDS}.")

    async def work(procedure: Work, task: str) -> TeamReport:
        board: list[Contribution] = []
        every: list[Contribution] = []
        number = 0
        while number < rounds:
            number += 1
            asked = _build_task(task, board)
            jobs = [procedure.ask(f"round-{number}-{place}", one.name, asked) for place, one in enumerate(members, 1)]
            outcomes = await side_by_side(jobs)
            given = [read_contribution(one.name, outcome) for one, outcome in zip(members, outcomes, strict=True)]
            every += given
            require_good(name, given)
            known = {write_output(one.output) for one in board}
            fresh = [one for one in list_good(given) if not _is_nothing(one) and write_output(one.output) not in known]
            board += fresh
            if not fresh:
                break
        why = f"{len(board)} notes of {len({one.agent for one in board})} members in {number} rounds"
        if closer is None:
            answer: object = "\n".join(f"{one.agent}: {write_output(one.output)}" for one in board)
        else:
            closing = await integrate(procedure, closer.name, task, board)
            answer = closing.output
            every.append(closing)
        return TeamReport(pattern="collective", answer=answer, why=why, contributions=tuple(every))

    everyone = members if closer is None else [*members, closer]
    return build_team(name, work, everyone, description=description, limits=limits)


def _build_task(task: str, board: Sequence[Contribution]) -> str:
    if not board:
        return task
    return f"{task}\n\nThis is known; add what is not there, or say `{NOTHING}`:\n{show_contributions(board)}"


def _is_nothing(one: Contribution) -> bool:
    return isinstance(one.output, str) and one.output.strip(" .`").lower() in ("", NOTHING)
