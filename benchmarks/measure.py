"""How are calls, bytes, seconds and resident memory measured?"""

from __future__ import annotations

import gc
import sys
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

BATCHES = 5
BATCH_S = 0.05


async def count_calls(work: Callable[[], Awaitable[object]]) -> int:
    """Count the calls of Python and C functions, on every thread, that one go at `work` makes.

    Three goes before it fill the caches; the garbage collector is off, as its moment is not `work`'s choice.
    """
    for _ in range(3):
        await work()
    calls = 0

    def see(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    gc.collect()
    gc.disable()
    threading.setprofile(see)
    sys.setprofile(see)
    try:
        await work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        gc.enable()
    return calls


def measure_kib(work: Callable[[], object], *, times: int = 500) -> float:
    """Measure what one result of `work` keeps allocated."""
    kept = [work()]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept += [work() for _ in range(times)]
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / times / 1024


async def measure_seconds(*works: Callable[[], Awaitable[object]]) -> list[float]:
    """Measure how long each work takes: the quickest of a few batches, each long enough for the clock.

    Their batches take turns, so that the difference of two works is one of the works and not of the moment.
    """
    counts: list[int] = []
    for work in works:
        began = time.perf_counter()
        await work()
        counts.append(max(1, min(10_000, int(BATCH_S / (time.perf_counter() - began)))))
    gc.collect()
    batches = [
        [await _measure_batch(work, times) for work, times in zip(works, counts, strict=True)] for _ in range(BATCHES)
    ]
    return [min(batch) for batch in zip(*batches, strict=True)]


async def _measure_batch(work: Callable[[], Awaitable[object]], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        await work()
    return (time.perf_counter() - began) / times


def read_rss_mib(field: str = "VmRSS") -> float:
    """Read this process's resident memory now (`VmRSS`) or at its highest (`VmHWM`); Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {field}")


def reset_highest_rss() -> None:
    """Let `VmHWM` begin again from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
