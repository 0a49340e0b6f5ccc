"""Do memory, tasks, threads and open files stay flat while agents work for minutes? `make soak`."""

import asyncio
import gc
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
from msgspec import Struct

from quorate import Agent, Limits, RunContext, RunOptions, ScriptedModel, open_sqlite_log, tool
from quorate.errors import Fenced
from quorate.messages import TextDelta
from quorate.models.scripted import After, call
from quorate.state.backends.sqlite import SqliteLog

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
AT_ONCE = 8
SAMPLES = 60
BOUNDED = Limits(seconds=30)
MAX_SLOPE_MIB_PER_H = 8.0
MAX_NOISE_MIB = 1.0
"""What the resident memory of a process may move by itself, whatever the length of the test."""


class Sample(Struct, frozen=True):
    """What the process holds at one moment at which nothing runs."""

    seconds: float
    rounds: int
    rss_mib: float
    tasks: int
    threads: int
    files: int
    objects: int


def measure(began: float, rounds: int) -> Sample:
    """Look at this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        time.monotonic() - began,
        rounds,
        pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20),
        len(asyncio.all_tasks()),
        threading.active_count(),
        len(os.listdir("/proc/self/fd")),
        len(gc.get_objects()),
    )


def build_agent(name: str, turns: Sequence[object], *, limits: Limits = BOUNDED) -> Agent[None, str]:
    """An agent that answers by how far the conversation is, so that it serves any number of runs."""

    @tool(effect="idempotent")
    async def look(name: str) -> str:
        """Look at something."""
        await asyncio.sleep(0)
        return f"{name} is fine " * 20

    @tool(effect="idempotent")
    def compute(name: str) -> str:
        """Compute something, in a thread."""
        return f"{name} is 7 " * 20

    @tool(effect="idempotent", timeout_s=0.01)
    async def slow() -> str:
        """Take longer than the tool may."""
        await asyncio.sleep(5)
        return ""

    @tool(effect="idempotent", timeout_s=0.01)
    def stuck() -> str:
        """Take longer than the tool may, in a thread."""
        time.sleep(0.03)
        return ""

    @tool(effect="idempotent")
    async def stop(context: RunContext[None]) -> str:
        """Stop the run."""
        context.emit("stopping")
        context.cancel("enough")
        return "stopped"

    @tool(effect="idempotent")
    async def crash() -> str:
        """Break."""
        raise ValueError("broken " * 50)

    clerk = None if name == "clerk" else build_agent("clerk", (call("look", name="x"), "the clerk is done"))
    model = ScriptedModel(
        lambda request: turns[sum(message.role == "assistant" for message in request.messages)]  # type: ignore[arg-type, return-value]
    )
    model.requests = Forgetful()
    tools: list[object] = [look, compute, slow, stuck, stop, crash, *([clerk] if clerk is not None else [])]
    return Agent(name, model=model, tools=tools, limits=limits)


class Forgetful(list):  # type: ignore[type-arg]
    """A scripted model keeps its requests for tests to look at; here that would be the leak."""

    def append(self, _: object) -> None:
        """Keep nothing."""


Scenario = Callable[[SqliteLog], Awaitable[str]]


def scenarios() -> list[Scenario]:
    """Everything a run can go through, each as something that can be done again and again."""
    plain = build_agent("plain", ([call("look", name="a"), call("compute", name="b"), call("crash")], "done"))
    team = build_agent("team", ([call("clerk", task="t"), call("clerk", task="u")], call("clerk", task="v"), "done"))
    late = build_agent("late", ([call("slow"), call("stuck"), call("look", name="a")], "done"))
    stopped = build_agent("stopped", ([call("stop"), call("slow")], "done"))
    hanging = build_agent("hanging", (call("look", name="a"), After(5, "late")), limits=Limits(seconds=0.02))
    cut = build_agent("cut", (call("look", name="a"), After(5, "late")))
    failing = build_agent("failing", (call("look", name="a"), call("look", name="a")), limits=Limits(steps=2))
    words = build_agent("words", (call("look", name="a"), "a long answer " * 20))

    def run(agent: Agent[None, str]) -> Scenario:
        async def scenario(log: SqliteLog) -> str:
            return (await agent.run("x", log=log)).status

        return scenario

    async def cancelled(log: SqliteLog) -> str:
        task = asyncio.create_task(cut.run("x", log=log))
        await asyncio.wait((task,), timeout=0.02)
        task.cancel()
        await asyncio.wait((task,))
        return "cancelled outside"

    async def abandoned(log: SqliteLog) -> str:
        async with aclosing(words.run_stream("x", log=log)) as items:  # type: ignore[type-var]
            async for item in items:
                if isinstance(item, TextDelta):
                    break
        return "abandoned"

    async def dropped(log: SqliteLog) -> str:
        async for _ in words.run_stream("x", log=log):
            break
        return "dropped"

    async def resumed(log: SqliteLog) -> str:
        opened = plain.open_run("x", options=RunOptions(log=log))
        await opened.journal.commit()
        opened.scope.close()
        first, second = await asyncio.gather(
            plain.resume(opened.info.run, log=log), plain.resume(opened.info.run, log=log), return_exceptions=True
        )
        outcomes = [one for one in (first, second) if not isinstance(one, Fenced)]
        assert not any(isinstance(one, BaseException) for one in outcomes), outcomes
        return "resumed"

    return [*map(run, (plain, team, late, stopped, hanging, failing, words)), cancelled, abandoned, dropped, resumed]


def get_slope(samples: Sequence[Sample]) -> float:
    """How much the resident memory grows, in MiB an hour, by a straight line through the samples."""
    line = statistics.linear_regression([one.seconds for one in samples], [one.rss_mib for one in samples])
    return line.slope * 3600


async def work(folder: Path, seconds: float) -> tuple[list[Sample], Counter[str]]:
    """Go through all scenarios, many at once, and look at the process every now and then."""
    samples: list[Sample] = []
    outcomes: Counter[str] = Counter()
    began, rounds = time.monotonic(), 0
    every = seconds / SAMPLES
    async with open_sqlite_log(folder / "log.db") as log:
        made = scenarios()
        while (passed := time.monotonic() - began) < seconds:
            results = await asyncio.gather(*(one(log) for one in made for _ in range(AT_ONCE)))
            outcomes.update(results)
            rounds += 1
            if passed >= every * len(samples):
                await asyncio.sleep(0.1)  # threads that were left behind come to their end
                samples.append(measure(began, rounds))
    return samples, outcomes


def show(samples: Sequence[Sample]) -> str:
    """A line for every sixth sample."""
    lines = [f"{'s':>7} {'rounds':>7} {'MiB':>8} {'tasks':>5} {'threads':>7} {'files':>5} {'objects':>8}"]
    lines += [
        f"{s.seconds:7.0f} {s.rounds:7d} {s.rss_mib:8.2f} {s.tasks:5d} {s.threads:7d} {s.files:5d} {s.objects:8d}"
        for s in (*samples[::6], samples[-1])
    ]
    return "\n".join(lines)


def test_memory_tasks_threads_and_files_stay_flat(tmp_path: Path) -> None:
    """Over the last half, resident memory grows by no more than 8 MiB an hour (and the noise), and nothing else grows."""
    samples, outcomes = asyncio.run(work(tmp_path, SECONDS))
    half = samples[len(samples) // 2 :]
    slope, first, last = get_slope(half), half[0], half[-1]
    print(
        f"\n{show(samples)}\n{sum(outcomes.values())} runs: {dict(outcomes)}\nslope of the last half: {slope:+.2f} MiB/h"
    )
    assert set(outcomes) >= {
        "completed",
        "cancelled",
        "incomplete",
        "abandoned",
        "dropped",
        "resumed",
        "cancelled outside",
    }
    assert len(half) >= 5, f"too few samples: SOAK_SECONDS={SECONDS:g} is too short"
    grown = slope * (last.seconds - first.seconds) / 3600
    assert grown <= MAX_SLOPE_MIB_PER_H * (last.seconds - first.seconds) / 3600 + MAX_NOISE_MIB, f"{slope:+.1f} MiB/h"
    assert {one.tasks for one in samples} == {1}, "tasks were left behind"
    assert max(one.threads for one in half) <= max(one.threads for one in samples[: len(samples) // 2]) + 2
    assert max(one.files for one in half) <= max(one.files for one in samples[: len(samples) // 2])
    assert statistics.median(one.objects for one in half[-5:]) <= 1.02 * statistics.median(
        one.objects for one in half[:5]
    )
