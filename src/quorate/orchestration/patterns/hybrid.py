"""How is work planned, done as planned, and looked at by somebody else before it counts?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed, ask_for, list_members
from quorate.agent.procedure.work import Work
from quorate.errors import InvalidInput
from quorate.orchestration.patterns.leader import Assignments, check_assignments
from quorate.orchestration.patterns.team import (
    Contribution,
    TeamReport,
    build_team,
    read_contribution,
    show_contributions,
)
from quorate.specs import Limits

MAX_REWORK = 5


class Verdict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a validator answers."""

    ok: bool
    problems: tuple[str, ...] = ()
    """What is not as it must be; empty when it is."""


def hybrid(
    name: str,
    planner: AnyAgent,
    workers: Sequence[AnyAgent],
    validator: AnyAgent,
    *,
    rework: int = 2,
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team that plans, executes and validates.

    The plan constrains what is done: its steps, by the agents that it names, in its order, and nothing else. What a
    step gave passes the validator's gate, or is done again with what was found wrong, a bounded number of times; then
    the team fails, and says what is wrong.

    Args:
        name: Its name.
        planner: Who says which steps there are and who does them.
        workers: Who may do them.
        validator: Who looks at what each step gave.
        rework: How often a step may be done again, 0 to 5.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no workers, two members have one name, or `rework` is out of bounds.
    """
    if not workers or not 0 <= rework <= MAX_REWORK:
        raise InvalidInput(f"Team {name!r}: give workers, and `rework` of 0 to {MAX_REWORK}, not {rework!r}.")

    async def work(procedure: Work, task: str) -> TeamReport:
        schema = '{"parts": [{"agent": "<name>", "task": "<what this step does>"}]}'
        asked = f"{task}\n\nPlan the steps, and answer with JSON alone: {schema}\n{list_members(workers)}"
        names = [worker.name for worker in workers]
        plan = await ask_for(
            procedure, "plan", planner.name, asked, Assignments, check=lambda said: check_assignments(said, names)
        )
        given: list[Contribution] = []
        done: list[Contribution] = []
        for place, part in enumerate(plan.parts, 1):
            so_far = f"\n\nWhat was done before you:\n{show_contributions(done)}" if done else ""
            tries = await _pass_gate(
                procedure, f"step-{place}", part.agent, f"{part.task}{so_far}", validator=validator.name, rework=rework
            )
            given += tries
            done.append(tries[-1])
        why = f"{len(done)} steps passed {validator.name}, {len(given) - len(done)} were done again"
        return TeamReport(pattern="hybrid", answer=done[-1].output, why=why, contributions=tuple(given))

    return build_team(name, work, [planner, *workers, validator], description=description, limits=limits)


async def _pass_gate(
    procedure: Work, step: str, agent: str, task: str, *, validator: str, rework: int
) -> list[Contribution]:
    """Have a step done until it passes the gate; return every try.

    Raises:
        TeamFailed: It never passed.
    """
    tries: list[Contribution] = []
    problems = ""
    for number in range(1, rework + 2):
        asked = f"{task}\n\nThis was wrong with your last try: {problems}" if problems else task
        one = read_contribution(agent, await procedure.ask(f"{step}.{number}", agent, asked))
        tries.append(one)
        if one.status != "completed":
            problems = one.reason
            continue
        schema = '{"ok": true, "problems": []}'
        done = f"The task: {task}\n{show_contributions([one])}"
        look = f"Was this done as it must be? Answer with JSON alone: {schema}\n\n{done}"
        verdict = await ask_for(procedure, f"{step}.{number}.gate", validator, look, Verdict)
        if verdict.ok:
            return tries
        problems = "; ".join(verdict.problems) or "the validator did not say what"
    raise TeamFailed(
        f"{step} by {agent!r} did not pass after {rework} times of rework: {problems}"[:4_000], agent=agent
    )
