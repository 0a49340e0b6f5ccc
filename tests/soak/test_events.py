"""Does the memory of one process stay flat while a million events go through it, with retention on? `make soak`."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.soak.test_soak import Forgetful

from quorate import Agent, Limits, Request, Runtime, ScriptedModel, Settings, tool
from quorate.assembly import open_runtime
from quorate.clock import SYSTEM_CLOCK
from quorate.models.scripted import call
from quorate.state.retention import RetentionPolicy, prune_runs
from quorate.testing.postgres_server import open_postgres_server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

EVENTS = int(os.environ.get("SOAK_EVENTS", "1000000"))
AT_ONCE = 32
KEPT = 200
SAMPLES = 40
TURNS, CALLS = 12, 4
MAX_GROWTH = 1.10
"""What the resident memory may be at the end of the last half, beside its beginning."""


def build_agent() -> Agent[None, str]:
    """An agent whose runs have about a hundred and thirty events."""

    @tool(effect="idempotent")
    async def look(name: str) -> str:
        """Look at something."""
        return f"{name} is fine " * 10

    def answer(request: Request) -> object:
        turn = sum(message.role == "assistant" for message in request.messages)
        return [call("look", name=f"{turn}-{n}") for n in range(CALLS)] if turn < TURNS else "done"

    model = ScriptedModel(answer)  # type: ignore[arg-type]
    model.requests = Forgetful()
    return Agent("looker", model=model, tools=[look], limits=Limits(repeated_calls=10_000, seconds=600))


def measure_mib() -> float:
    """Measure the resident memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@asynccontextmanager
async def open_kind(kind: str, folder: Path) -> AsyncIterator[Runtime]:
    """Open a fresh database of a kind."""
    if kind == "sqlite":
        async with open_runtime(Settings(database=str(folder / "quorate.db")), agents=[build_agent()]) as runtime:
            yield runtime
        return
    with open_postgres_server() as server:
        settings = Settings(database=await server.create_database())
        async with open_runtime(settings, agents=[build_agent()]) as runtime:
            yield runtime


async def work(kind: str, folder: Path) -> tuple[list[float], int, int]:
    """Run until so many events went through; return the samples, the events, and the runs that were forgotten."""
    samples: list[float] = []
    events = forgotten = 0
    async with open_kind(kind, folder) as runtime:

        async def one() -> int:
            result = await (await runtime.submit("x", agent="looker")).wait()
            assert result.status == "completed"
            return len(result.events)

        while events < EVENTS:
            events += sum(await asyncio.gather(*(one() for _ in range(AT_ONCE))))
            if events >= EVENTS * len(samples) / SAMPLES:
                policy = RetentionPolicy(max_runs=KEPT)
                report = await prune_runs(runtime.store, policy, clock=SYSTEM_CLOCK, audit=runtime.audit)
                forgotten += len(report.plan.taken)
                samples.append(measure_mib())
        await prune_runs(runtime.store, RetentionPolicy(max_runs=KEPT), clock=SYSTEM_CLOCK)
        assert len(await runtime.list_runs(limit=2 * KEPT)) == KEPT
    return samples, events, forgotten


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_million_events_leave_memory_flat(kind: str, tmp_path: Path) -> None:
    """Over the last half of the events, resident memory grows by less than a tenth."""
    samples, events, forgotten = asyncio.run(work(kind, tmp_path))
    half = samples[len(samples) // 2 :]
    print(
        f"\n{kind}: {events} events, {forgotten} runs forgotten; MiB {', '.join(f'{one:.0f}' for one in samples[::4])}"
        f"; the last half grew by {100 * (half[-1] / half[0] - 1):+.1f} %"
    )
    assert half[-1] < MAX_GROWTH * half[0]
