"""How long do state, sessions, artifacts and resuming take?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from benchmarks.record_store import RANDOM, Scripted, build_agent, build_run, find_share, open_bench
from quorate.events import AnyEvent
from quorate.ids import new_id
from quorate.runtime import Runtime
from quorate.state.artifacts import Caller
from quorate.state.scopes import ScopeRef

SESSION_RUNS = 500
ARTIFACT_BYTES = 64_000
Values = dict[str, float]


async def find_p95(work: Callable[[int], Awaitable[object]], times: int) -> float:
    """Return what 19 in 20 of so many goes stay below, in milliseconds."""
    seconds: list[float] = []
    for number in range(times):
        began = time.perf_counter()
        await work(number)
        seconds.append(time.perf_counter() - began)
    return find_share(seconds, 0.95) * 1e3


async def measure_state(runtime: Runtime, size: float) -> Values:
    ref = ScopeRef(scope="session", tenant="default", id="bench")
    value = {"status": "degraded", "hosts": [f"host-{number}" for number in range(10)]}

    async def write(number: int) -> object:
        return await runtime.state.set(ref, f"name-{number % 100}", {**value, "number": number})

    async def read(number: int) -> object:
        return await runtime.state.get(ref, f"name-{number % 100}")

    times = int(1000 * size) + 100
    return {"state_write": await find_p95(write, times), "state_read": await find_p95(read, times)}


async def measure_session(runtime: Runtime, size: float) -> Values:
    session, previous = new_id("session"), ""
    runs: list[list[AnyEvent]] = []
    for number in range(SESSION_RUNS):
        # Turns follow each other: neither their ids nor their times are of one moment.
        await asyncio.sleep(0.001)
        runs.append(build_run(0, session=session, previous=previous, age_s=10.0 * (SESSION_RUNS - number)))
        previous = runs[-1][0].run
    await asyncio.gather(*[runtime.log.append(events[0].run, events, expected=0) for events in runs])

    async def load(_: int) -> object:
        messages = await runtime.sessions.history(session, tenant="default", principal=None)
        if len(messages) != 2 * SESSION_RUNS:
            raise RuntimeError(f"the session has {len(messages)} messages, not {2 * SESSION_RUNS}")
        return messages

    return {"session_load": await find_p95(load, int(30 * size) + 10)}


async def measure_artifacts(runtime: Runtime, size: float) -> Values:
    caller = Caller(tenant="default", run=new_id("run"))
    times = int(150 * size) + 20
    bodies = [RANDOM.randbytes(ARTIFACT_BYTES) for _ in range(times)]
    kept: list[str] = []

    async def save(number: int) -> None:
        kept.append((await runtime.artifacts.save(f"dump-{number}", bodies[number], caller=caller)).id)

    async def load(number: int) -> None:
        if await runtime.artifacts.load(kept[number], caller=caller) != bodies[number]:
            raise RuntimeError("an artifact is not what was saved")

    return {"artifact_save": await find_p95(save, times), "artifact_load": await find_p95(load, times)}


async def measure_stored(side: str, place: str, size: float) -> Values:
    async with open_bench(side, place, [build_agent(Scripted(0))]) as runtime:
        state, session = await measure_state(runtime, size), await measure_session(runtime, size)
        return {**state, **session, **await measure_artifacts(runtime, size)}


async def time_resume(runtime: Runtime, model: Scripted, turns: int) -> float:
    """Return the time from asking to go on with a run until its next model call; what it holds is built before."""
    events = build_run(turns, is_ended=False)
    run = events[0].run
    for begin in range(0, len(events), 1000):
        await runtime.log.append(run, events[begin : begin + 1000], expected=begin)
    del events
    model.asked.clear()
    began = time.perf_counter()
    result = await (await runtime.resume(run)).wait()
    if result.output != "done" or len(model.asked) != 1:
        raise RuntimeError(f"run {run} asked its model {len(model.asked)} times and ended with {result.output!r}")
    return model.asked[0] - began


async def measure_resume(side: str, place: str, size: float) -> Values:
    values: Values = {}
    for count, times in ((1000, 5), (10_000, 2)):
        turns = (count - 2) // 4
        model = Scripted(turns)
        async with open_bench(side, place, [build_agent(model)]) as runtime:
            seconds = [await time_resume(runtime, model, turns) for _ in range(times)]
        values[f"resume_{count}"] = max(seconds) * 1e3
    return values
