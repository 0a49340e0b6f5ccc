"""How is a task parted, each part given to who fits it best, and given on when that one fails?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed, ask_for, list_members
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.council.earned import READ, ReadWeights, build_trust_tool
from quorate.errors import InvalidInput
from quorate.orchestration.patterns.leader import MAX_PARTS, integrate
from quorate.orchestration.patterns.team import Contribution, TeamReport, build_team, read_contribution
from quorate.specs import Limits

LOAD = 0.1
"""What a part that somebody has already takes from their score."""
LEAST = 0.05
"""What somebody is worth who shares no word with a part, so that parts are never left over."""
_WORD = re.compile(r"[a-z0-9]{3,}")


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some of a task."""

    task: str
    needs: str = ""
    """What one must be good at to do it, in words."""


class Parts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a lead answers when it is asked to part a task."""

    parts: tuple[Part, ...]


def hierarchy(
    name: str,
    lead: AnyAgent,
    workers: Sequence[AnyAgent],
    *,
    trust: Mapping[str, float] | ReadWeights | None = None,
    topic: str = "",
    description: str = "",
    limits: Limits = Limits(),
) -> AnyAgent:
    """Build a team with a lead who parts the task and makes the answer, and workers who are chosen part by part.

    A part goes to the worker with the highest capability x trust - load (see `choose_worker`); when that one fails it
    goes to the next best, until nobody is left.

    Args:
        name: Its name.
        lead: Who parts the task and makes the answer.
        workers: Who may do the parts.
        trust: How much each is trusted, 0 to 1, or what reads how much each has earned; wholly when not given.
        topic: In which topic trust is read.
        description: What it is for.
        limits: The bounds of each of its runs.

    Raises:
        InvalidInput: It has no workers, two members have one name, or trust is out of bounds.
    """
    reads = trust if callable(trust) else None
    given: Mapping[str, float] = {} if trust is None or callable(trust) else trust
    known = {worker.name: 1.0 for worker in workers} | dict(given)
    wrong = [worker for worker, value in known.items() if not 0 <= value <= 1]
    if not workers or wrong or len(known) > len(workers):
        raise InvalidInput(
            f"Team {name!r}: give workers, and trust of 0 to 1 in these alone; wrong: {wrong or 'names'}."
        )

    async def work(procedure: Work, task: str) -> TeamReport:
        parts = await _part(procedure, lead, workers, task)
        earned = known if reads is None else await _read_trust(procedure, list(known))
        chosen = assign_parts(parts, workers, earned)
        jobs = [
            _work_on(procedure, f"part-{place}", part, agent, workers=workers, trust=earned)
            for place, (part, agent) in enumerate(zip(parts, chosen, strict=True), 1)
        ]
        tried = await side_by_side(jobs)
        last = [one[-1] for one in tried]
        lost = [part.task for part, one in zip(parts, last, strict=True) if one.status != "completed"]
        every = tuple(one for several in tried for one in several)
        if lost:
            raise TeamFailed(f"Nobody of {name!r} could do: {'; '.join(lost)}"[:4_000])
        answer = await integrate(procedure, lead.name, task, last)
        moved = sum(len(several) - 1 for several in tried)
        why = f"{len(parts)} parts for {len(set(chosen))} workers, {moved} given on"
        return TeamReport(pattern="hierarchy", answer=answer.output, why=why, contributions=(*every, answer))

    members = [lead, *workers]
    tools = None if reads is None else [*members, build_trust_tool(reads, topic=topic)]
    return build_team(name, work, members, tools=tools, description=description, limits=limits)


async def _read_trust(procedure: Work, workers: Sequence[str]) -> dict[str, float]:
    said = await procedure.call("trust", READ, {"names": workers})
    if not said.is_good:
        raise TeamFailed(f"How far the workers are trusted cannot be read: {said.text}"[:4_000])
    return msgspec.convert(said.value, dict[str, float])


def assign_parts(parts: Sequence[Part], workers: Sequence[AnyAgent], trust: Mapping[str, float]) -> list[str]:
    """Choose a worker for each part, in their order."""
    load: Counter[str] = Counter()
    chosen: list[str] = []
    for part in parts:
        best = choose_worker(part, workers, trust, load)
        load[best] += 1
        chosen.append(best)
    return chosen


def choose_worker(
    part: Part,
    workers: Sequence[AnyAgent],
    trust: Mapping[str, float],
    load: Mapping[str, int],
    *,
    without: Collection[str] = (),
) -> str:
    """Choose who does a part: the highest capability x trust - load; of equals, the first.

    Capability is the share of the words that the part needs which the worker's name and description have.

    Raises:
        TeamFailed: Nobody is left.
    """
    words = set(_WORD.findall((part.needs or part.task).lower()))
    scores: dict[str, float] = {}
    for worker in workers:
        if worker.name in without:
            continue
        has = set(_WORD.findall(f"{worker.name} {worker.description}".lower()))
        capability = max(len(words & has) / max(1, len(words)), LEAST)
        scores[worker.name] = capability * trust[worker.name] - LOAD * load.get(worker.name, 0)
    if not scores:
        raise TeamFailed(f"Nobody is left to do {part.task!r:.200}.")
    return max(scores, key=scores.__getitem__)


async def _part(procedure: Work, lead: AnyAgent, workers: Sequence[AnyAgent], task: str) -> tuple[Part, ...]:
    schema = '{"parts": [{"task": "<all that is needed to do it>", "needs": "<what one must be good at>"}]}'
    asked = f"{task}\n\nPart this for the agents below, and answer with JSON alone: {schema}\n{list_members(workers)}"

    def check(found: Parts) -> None:
        if not 1 <= len(found.parts) <= MAX_PARTS:
            raise InvalidInput(f"it has {len(found.parts)} parts; there are 1 to {MAX_PARTS}")

    return (await ask_for(procedure, "part", lead.name, asked, Parts, check=check)).parts


async def _work_on(
    procedure: Work, step: str, part: Part, agent: str, *, workers: Sequence[AnyAgent], trust: Mapping[str, float]
) -> list[Contribution]:
    """Have a part done, by the next best where one fails; return every try."""
    tried: list[Contribution] = []
    while True:
        place = len(tried) + 1
        tried.append(read_contribution(agent, await procedure.ask(f"{step}.{place}", agent, part.task)))
        if tried[-1].status == "completed" or place == len(workers):
            return tried
        agent = choose_worker(part, workers, trust, {}, without=[one.agent for one in tried])
