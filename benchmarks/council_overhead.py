"""What does a decision take beside its members' own time, and how long when members fail, ramble or hang?"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from quorate import Agent, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.assembly import open_runtime
from quorate.council.decide import NoDecision, council
from quorate.council.decision import Decision
from quorate.council.plan import Plan
from quorate.errors import UpstreamError
from quorate.models.scripted import After, Answer
from quorate.settings.values import Settings
from quorate.state.backends.sqlite import open_sqlite_store

QUESTION = "Which one?"
OPTIONS = ("restart", "roll back", "wait")
MEMBERS = 7
PROMISED_MS, PROMISED_S = 20.0, 30.0
FAULTY = 0.05
"""Which share of members fails at a decision."""
MODEL_S, DEADLINE_S = 0.05, 2.0
"""How long a member's model takes, and when a vote ends for who has not answered."""
BROKEN: tuple[Answer, ...] = (
    UpstreamError("The provider is down."),
    "I could not possibly say.",
    After(3_600, "too late"),
)
"""What a faulty member's model does: it fails, says nonsense however often it is asked, or hangs."""


@dataclass
class Overhead:
    """Milliseconds by place, one for each decision."""

    added_ms: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    cpu_ms: dict[str, list[float]] = field(default_factory=dict[str, list[float]])


@dataclass
class Faults:
    """How decisions with faulty members ended."""

    seconds: list[float] = field(default_factory=list[float])
    by_vote: int = 0
    by_arbiter: int = 0
    none: int = 0
    wrong: int = 0
    """Decided by vote for what no more than half of the sound members are for."""


def build_members() -> list[AnyAgent]:
    """Build agents of which four of seven want the same, and which answer at once, as often as they are asked."""
    texts = [f'{{"choice": "{OPTIONS[place % 3 == 2]}", "reason": "as scripted"}}' for place in range(MEMBERS)]
    return [Agent(f"member-{place}", model=ScriptedModel(answer_with(text))) for place, text in enumerate(texts)]


def answer_with(answer: Answer) -> Callable[[object], Answer]:
    return lambda _: answer


@asynccontextmanager
async def open_place(place: str, agents: list[AnyAgent]) -> AsyncGenerator[Callable[[AnyAgent], Awaitable[object]]]:
    """Open where runs are kept: nowhere but in this process, or in a fresh SQLite file."""
    if place == "memory":

        async def run(agent: AnyAgent) -> object:
            return (await agent.run(QUESTION)).output

        yield run
        return
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_sqlite_store(Path(folder) / "runs.db") as store,
            open_runtime(Settings(), agents=agents, store=store) as runtime,
        ):

            async def submit(agent: AnyAgent) -> object:
                return (await (await runtime.submit(QUESTION, agent=agent.name)).wait()).output

            yield submit


async def measure_overhead(decisions: int) -> Overhead:
    """Decide again and again, the members' own runs, side by side, in between."""
    found = Overhead()
    members = build_members()
    held = council("board", members, Plan(options=OPTIONS))
    for place in ("memory", "sqlite"):
        added, cpu = found.added_ms.setdefault(place, []), found.cpu_ms.setdefault(place, [])
        async with open_place(place, [held, *members]) as run:
            for number in range(decisions + 3):
                began, used = time.perf_counter(), time.process_time()
                async with asyncio.TaskGroup() as group:
                    for member in members:
                        group.create_task(_await(run(member)))
                alone, used_alone = time.perf_counter() - began, time.process_time() - used
                began, used = time.perf_counter(), time.process_time()
                record = await run(held)
                spent, used_all = time.perf_counter() - began, time.process_time() - used
                if not isinstance(record, Decision) or record.winner != OPTIONS[0]:
                    raise RuntimeError(f"the council decided {record!r:.200}")
                if number >= 3:  # the first ones fill caches
                    added.append((spent - alone) * 1_000)
                    cpu.append((used_all - used_alone) * 1_000)
    return found


async def measure_faults(decisions: int, seed: int) -> Faults:
    """Decide with members of which one in twenty is broken; an arbiter decides what they cannot."""
    chance, found = random.Random(f"faults {seed}"), Faults()
    plan = Plan(options=OPTIONS, deadline_s=DEADLINE_S, fallback=("arbiter:arbiter",))
    for _ in range(decisions):
        wanted = [chance.choices(OPTIONS, (0.7, 0.2, 0.1))[0] for _ in range(MEMBERS)]
        broken = [chance.random() < FAULTY for _ in range(MEMBERS)]
        members = [
            Agent(f"member-{place}", model=ScriptedModel(answer_with(chance.choice(BROKEN) if out else vote(choice))))
            for place, (choice, out) in enumerate(zip(wanted, broken, strict=True))
        ]
        arbiter = Agent("arbiter", model=ScriptedModel(answer_with('{"choice": "wait", "reason": "as scripted"}')))
        began = time.perf_counter()
        try:
            record = (await council("board", members, plan, arbiters=[arbiter]).run(QUESTION)).output
        except NoDecision:
            found.none += 1
        else:
            if not isinstance(record, Decision):
                raise RuntimeError(f"the council decided {record!r:.200}")
            sound = [choice for choice, out in zip(wanted, broken, strict=True) if not out]
            found.by_vote += record.by == "vote"
            found.by_arbiter += record.by == "arbiter"
            found.wrong += record.by == "vote" and sound.count(record.winner or "") * 2 <= len(sound)
        found.seconds.append(time.perf_counter() - began)
    return found


def vote(choice: str) -> Answer:
    """Write a ballot after a while."""
    return After(MODEL_S, f'{{"choice": "{choice}", "reason": "as scripted"}}')


async def _await(work: Awaitable[object]) -> None:
    await work


def find_p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def render(overhead: Overhead, faults: Faults) -> str:
    """For the documentation: what is added, and how decisions with faults ended."""
    lines = [
        "| seven members, kept in | added, ms, p50 | p95 | CPU added, ms | promised, ms |",
        "|---|---:|---:|---:|---:|",
    ]
    missed: list[str] = []
    for place, values in overhead.added_ms.items():
        median, cpu = statistics.median(values), statistics.median(overhead.cpu_ms[place])
        cells = f"{median:.1f} | {find_p95(values):.1f} | {cpu:.1f} | < {PROMISED_MS:g}"
        lines.append(f"| {place} | {cells} |")
        if median >= PROMISED_MS:
            missed.append(f"- MISSED {place}: {median:.1f} ms, promised {PROMISED_MS:g}")
    p95, number = find_p95(faults.seconds), len(faults.seconds)
    if p95 >= PROMISED_S or faults.wrong:
        missed.append(f"- MISSED faults: p95 {p95:.1f} s, {faults.wrong} wrong")
    ends = f"{faults.by_vote} by vote, {faults.by_arbiter} by the arbiter, {faults.none} not at all"
    said = (
        f"With {FAULTY:.0%} of the members broken, {number} decisions took {statistics.median(faults.seconds):.2f} s "
    )
    said += f"(p50), {p95:.2f} s (p95; promised < {PROMISED_S:g} s) and {max(faults.seconds):.2f} s (the longest); "
    said += f"they ended {ends}; for what too few sound members wanted: {faults.wrong}."
    return "\n".join([*lines, "", said, "", *(missed or ["Every promise was kept."])])
