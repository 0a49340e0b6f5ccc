"""Who takes over a task that an agent cannot do: the specialist above it, and the lead above that one?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.work import Work
from quorate.catalog.load import Catalog
from quorate.specs import Limits

MOST_RUNGS = 3
"""How many agents a task is given to at most: that of the task, a specialist and a lead."""
MOST_HANDED_ON = 4000
"""Characters of an answer that the next one is shown."""
NEEDS_MORE = "needs_escalation"
"""The field of an answer by which an agent says that the task is for the one above it."""


def find_escalations(catalog: Catalog, name: str) -> tuple[str, ...]:
    """List whom a task goes to, one after the other: the agent itself, and those above it.

    Raises:
        UnknownName: There is no such agent.
    """
    chain = [catalog.look_at(name)]
    while len(chain) < MOST_RUNGS and chain[-1].escalates_to in catalog:
        above = catalog.look_at(chain[-1].escalates_to)
        if above in chain:
            break
        chain.append(above)
    return tuple(entry.name for entry in chain)


def build_escalating(
    name: str, chain: Sequence[str], *, find_agent: Callable[[str], AnyAgent], limits: Limits = Limits()
) -> AnyAgent:
    """Build an agent that gives a task to the first of a chain, and to the next one where that one cannot do it.

    One cannot do a task when its run fails or meets a limit, when it says that the task is none for it (`applies` is
    false), or when it says that somebody above is needed (`needs_escalation` is true). The next one is told what came
    of it. All of it is in the log of one run.

    Args:
        name: Its name.
        chain: Whom to ask, as `find_escalations` lists them.
        find_agent: Finds them.
        limits: The bounds of each of its runs.
    """

    async def climb(work: Work, task: str) -> str:
        asked, reasons = task, list[str]()
        for rung, member in enumerate(chain, 1):
            outcome = await work.ask(f"rung-{rung}", member, asked)
            reason = find_reason(outcome)
            if not reason:
                return outcome.text
            reasons.append(f"{member}: {reason}")
            told = outcome.text[:MOST_HANDED_ON]
            asked = (
                f"{task}\n\nThis was given to {member!r} before, and goes up to you because {reason}. It said:\n{told}"
            )
        raise TeamFailed(f"Nobody of {', '.join(chain)} could do it: {'; '.join(reasons)}"[:MOST_HANDED_ON])

    return build_agent(
        name,
        climb,
        tools=[find_agent(member) for member in chain],
        description=f"Does what {chain[0]} does, and asks those above it where that is not enough.",
        limits=limits,
    )


def find_reason(outcome: Outcome) -> str:
    """Say why a task goes up after what came of it; empty when it does not."""
    if not outcome.is_good:
        return "it met a limit" if outcome.status == "incomplete" else f"it failed ({outcome.code})"
    value = outcome.value
    if not isinstance(value, dict):
        return ""
    said = cast("dict[str, object]", value)  # JSON, whose keys are text
    if said.get("applies") is False:
        return "it says that the task is none for it"
    return "it says that somebody above is needed" if said.get(NEEDS_MORE) is True else ""
