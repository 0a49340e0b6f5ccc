"""What does one way of calling a model cost? Prints one line of JSON.

Used as `python -m benchmarks.gateway_program SIDE URL SIZE`, in the environment of that side.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from itertools import count, islice
from typing import Protocol

from benchmarks.gateway_server import PIECES, WORDS

CALLS, AT_ONCE = 600, 100
QUESTIONS = (f"Why is the service slow? {number}" for number in count())
"""Each is asked once, so that no cache answers it."""
Ask = Callable[[str], Awaitable[str]]


class Side(Protocol):
    """One way of calling a model."""

    async def ask(self, question: str) -> str:
        """Return the answer's words."""
        ...

    async def stream(self, question: str) -> int:
        """Return how many pieces of words came."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


async def measure_calls(ask: Ask, *, calls: int, at_once: int) -> tuple[float, float, list[float]]:
    """Return CPU and wall seconds of a call, and how long each took."""
    times: list[float] = []
    questions = iter(list(islice(QUESTIONS, calls)))

    async def go() -> None:
        for question in questions:
            began = time.perf_counter()
            if await ask(question) != WORDS:
                raise RuntimeError("the answer is not the server's")
            times.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[go() for _ in range(at_once)])
    return (time.process_time() - cpu) / calls, (time.perf_counter() - began) / calls, times


async def measure_chunk(side: Side, *, streams: int) -> float:
    """Return the CPU seconds of a piece of a stream, what a call costs included."""
    cpu = time.process_time()
    for question in islice(QUESTIONS, streams):
        if await side.stream(question) != PIECES:
            raise RuntimeError("the stream is not the server's")
    return (time.process_time() - cpu) / (streams * PIECES)


async def measure(name: str, url: str, size: float) -> dict[str, float]:
    before, cpu = set(sys.modules), time.process_time()
    module = import_module(f"benchmarks.gateway_sides.{name}")
    side: Side = module.open_side(f"{url}/v1")
    calls = max(AT_ONCE, int(CALLS * size))
    values: dict[str, float] = {}
    try:
        await measure_calls(side.ask, calls=AT_ONCE, at_once=AT_ONCE)  # opens the connections
        values["ready_ms"] = (time.process_time() - cpu) * 1e3
        values["modules"] = len(set(sys.modules) - before)
        for at_once in (1, AT_ONCE):
            used, _, _ = await measure_calls(side.ask, calls=calls, at_once=at_once)
            values[f"call_{at_once}"] = used * 1e6
        if hasattr(side, "stream"):
            await measure_chunk(side, streams=1)
            values["chunk"] = await measure_chunk(side, streams=max(1, int(20 * size))) * 1e6
        if hasattr(side, "hit"):
            await side.hit("Why?")
            began = time.perf_counter()
            for _ in range(calls):
                await side.hit("Why?")
            values["hit"] = (time.perf_counter() - began) / calls * 1e6
    finally:
        await side.aclose()
    late: Side = module.open_side(f"{url}/20ms/v1")
    try:
        await measure_calls(late.ask, calls=AT_ONCE, at_once=AT_ONCE)
        _, _, times = await measure_calls(late.ask, calls=2 * calls, at_once=AT_ONCE)
        times.sort()
        values["late_p50"] = times[len(times) // 2] * 1e3
        values["late_p99"] = times[int(len(times) * 0.99)] * 1e3
    finally:
        await late.aclose()
    return values


def main() -> None:
    name, url, size = sys.argv[1:]
    print(json.dumps({"values": asyncio.run(measure(name, url, float(size)))}), flush=True)


if __name__ == "__main__":
    main()
