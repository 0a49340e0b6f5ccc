"""How does one side do each workload, and is it certain that it did the work?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from benchmarks.measure import count_calls, measure_kib, measure_seconds, read_rss_mib, reset_highest_rss
from benchmarks.script import PROGRESS, TOOLS, Progress, Script, Side, add
from benchmarks.workloads import CROWD, HISTORY, PARALLEL

WINDOW = 10
"""Tool turns a count is the mean of: what the timers of the event loop cost differs a little from turn to turn."""


class WrongWork(Exception):
    """A side did not do what the script says."""


Go = Callable[[], Awaitable[object]]


async def prepare(side: Side, script: Script, *, history: int = 0, lead: bool = False) -> Go:
    """Build an agent for a script and return a go at it, after two goes that were checked."""
    model = side.build_model(script)
    if lead:
        agent = side.build_lead(model, side.build_model(Script()))
    else:
        agent = side.build_agent(model, TOOLS[script.tool] if script.turns else None)
    past = (side.build_history(history),) if history else ()
    for _ in range(2):
        progress = begin()
        check(script, progress, await side.run(agent, *past), lead=lead)

    async def go() -> None:
        begin()
        await side.run(agent, *past)

    return go


def begin() -> Progress:
    progress = Progress()
    PROGRESS.set(progress)
    return progress


def check(script: Script, progress: Progress, answer: str, *, lead: bool = False) -> None:
    """Refuse an answer that was not earned.

    Raises:
        WrongWork: The answer, or the number of model or tool calls, is not the script's.
    """
    replies = script.turns + 1 + (script.turns * script.calls if lead else 0)
    tools = 0 if lead else script.turns * script.calls
    wanted, got = (script.answer, replies, tools), (answer, progress.model_calls, progress.tool_calls)
    if got != wanted:
        raise WrongWork(f"answer, model calls and tool calls are {got!r:.200}, not {wanted!r:.200}")


async def prepare_stream(side: Side, pieces: int) -> Go:
    """Build an agent that streams and return a go at it, after two goes that were checked."""
    script = Script(pieces=pieces)
    agent = side.build_agent(side.build_model(script), None)
    for _ in range(2):
        progress = begin()
        got = [piece async for piece in side.stream(agent)]
        check(script, progress, "".join(got))
        if len(got) != pieces:
            raise WrongWork(f"{len(got)} pieces came of {pieces}")

    async def go() -> None:
        begin()
        async for _ in side.stream(agent):
            pass

    return go


async def count_turns(side: Side, first: int) -> float:
    """Count the calls of a tool turn: the mean of a few turns from the `first` on."""
    shorter = await count_calls(await prepare(side, Script(turns=first - 1)))
    longer = await count_calls(await prepare(side, Script(turns=first - 1 + WINDOW)))
    return (longer - shorter) / WINDOW


async def count_define(side: Side) -> float:
    model = side.build_model(Script(turns=1))

    async def define() -> None:
        side.build_agent(model, add)

    async def nothing() -> None:
        pass

    return await count_calls(define) - await count_calls(nothing)


async def measure_define_kib(side: Side) -> float:
    model = side.build_model(Script(turns=1))
    return measure_kib(lambda: side.build_agent(model, add))


async def count_run(side: Side) -> float:
    return await count_calls(await prepare(side, Script()))


async def count_delta(side: Side) -> float:
    return (
        await count_calls(await prepare_stream(side, 300)) - await count_calls(await prepare_stream(side, 100))
    ) / 200


async def count_hop(side: Side) -> float:
    shorter = await count_calls(await prepare(side, Script(turns=1, tool="sub"), lead=True))
    longer = await count_calls(await prepare(side, Script(turns=1 + WINDOW, tool="sub"), lead=True))
    return (longer - shorter) / WINDOW


async def count_history(side: Side) -> float:
    shorter = await count_calls(await prepare(side, Script(), history=2))
    return (await count_calls(await prepare(side, Script(), history=2 + HISTORY)) - shorter) / HISTORY


async def time_one(side: Side, script: Script, *, history: int = 0) -> float:
    return (await measure_seconds(await prepare(side, script, history=history)))[0]


async def time_turns(side: Side, first: int, last: int) -> float:
    """Time a tool turn: the mean from the `first` to the `last`."""
    works = [await prepare(side, Script(turns=turns)) for turns in (first - 1, last)]
    shorter, longer = await measure_seconds(*works)
    return (longer - shorter) / (last - first + 1) * 1e6


async def time_delta(side: Side) -> float:
    shorter, longer = await measure_seconds(await prepare_stream(side, 100), await prepare_stream(side, 500))
    return (longer - shorter) / 400 * 1e6


async def time_run(side: Side) -> float:
    return await time_one(side, Script()) * 1e6


async def time_parallel(side: Side) -> float:
    return await time_one(side, Script(turns=1, calls=PARALLEL, tool="slow")) * 1e3


async def time_history(side: Side) -> float:
    return await time_one(side, Script(), history=HISTORY) * 1e3


async def time_fresh(side: Side) -> float:
    script = Script(turns=1)
    model = side.build_model(script)
    progress = begin()
    check(script, progress, await side.run(side.build_agent(model, add)))

    async def go() -> None:
        begin()
        await side.run(side.build_agent(model, add))

    return (await measure_seconds(go))[0] * 1e6


async def measure_crowd(side: Side) -> tuple[float, float]:
    """Measure seconds and MiB of many runs at once; in a young process, before memory has grown for other reasons."""
    script = Script(turns=1, delay_s=0.05)
    model = side.build_model(script)
    shared = None if side.AGENT_PER_RUN else side.build_agent(model, add)

    async def go() -> tuple[Progress, str]:
        return begin(), await side.run(side.build_agent(model, add) if shared is None else shared)

    await asyncio.gather(*[go() for _ in range(10)])
    reset_highest_rss()
    before, began = read_rss_mib(), time.perf_counter()
    results = await asyncio.gather(*[go() for _ in range(CROWD)])
    seconds, grown = time.perf_counter() - began, read_rss_mib("VmHWM") - before
    for progress, answer in results:
        check(script, progress, answer)
    return seconds, grown


Measurement = Callable[[Side], Awaitable[float | tuple[float, ...]]]

COUNTED: dict[tuple[str, ...], Measurement] = {
    ("define",): count_define,
    ("define_kib",): measure_define_kib,
    ("run",): count_run,
    ("turn_2",): lambda side: count_turns(side, 2),
    ("turn_40",): lambda side: count_turns(side, 40),
    ("turn_100",): lambda side: count_turns(side, 100),
    ("delta",): count_delta,
    ("hop",): count_hop,
    ("history",): count_history,
}

TIMED: dict[tuple[str, ...], Measurement] = {
    ("crowd_s", "crowd_mib"): measure_crowd,
    ("run_us",): time_run,
    ("turn_us",): lambda side: time_turns(side, 2, 11),
    ("late_turn_us",): lambda side: time_turns(side, 91, 110),
    ("parallel_ms",): time_parallel,
    ("delta_us",): time_delta,
    ("history_ms",): time_history,
    ("fresh_us",): time_fresh,
}
