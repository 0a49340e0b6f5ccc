"""How does one process measure one side's graphs? Prints one line of JSON; a figure that fails says why.

Used as `python -m benchmarks.workflow_work SIDE KIND SIZE [WORK …]`, from the repository's root.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, cast

from benchmarks.measure import count_calls, measure_seconds, read_rss_mib, reset_highest_rss
from benchmarks.worker import TIMEOUT_S, explain
from benchmarks.workflow_graphs import Go, Graph, Side, WrongWork, build_chain, build_twenty, build_wide

Values = dict[str, float]
Measure = Callable[[Side, float], Awaitable[Values]]
Open = Callable[[int], AbstractAsyncContextManager[Go]]
Kind = Literal["count", "time"]

CHAIN, WIDE, AGENTS, HOPS = (10, 30), (10, 110), (2, 12), (2, 12)
"""Two sizes of each: what one more of it costs is the difference, divided by how many more there are."""
LONG = (100, 300)
ITEMS = 10_000
RUNS = 20


async def prepare(graph: Graph, go: Go) -> Go:
    """Return a go, after two that were checked."""
    for _ in range(2):
        graph.check(await go())
    return go


async def compare(shorter: Go, longer: Go, more: int, name: str, kind: Kind) -> Values:
    if kind == "count":
        return {f"{name}_calls": (await count_calls(longer) - await count_calls(shorter)) / more}
    one, other = await measure_seconds(shorter, longer)
    return {f"{name}_us": (other - one) / more * 1e6}


async def measure_graphs(
    side: Side, build: Callable[[int], Graph], sizes: tuple[int, int], name: str, kind: Kind
) -> Values:
    """Measure what one more node costs, in memory."""
    graphs = [build(size) for size in sizes]
    async with side.open_graph(graphs[0]) as one, side.open_graph(graphs[1]) as other:
        shorter, longer = [await prepare(graph, go) for graph, go in zip(graphs, (one, other), strict=True)]
        return await compare(shorter, longer, sizes[1] - sizes[0], name, kind)


async def measure_hops(open_hops: Open, sizes: tuple[int, int], name: str, kind: Kind) -> Values:
    """Measure what one more agent costs."""
    async with open_hops(sizes[0]) as shorter, open_hops(sizes[1]) as longer:
        for go, size in zip((shorter, longer), sizes, strict=True):
            if (asked := await go()) != size:
                raise WrongWork(f"models were asked {asked} times, not {size}")
        return await compare(shorter, longer, sizes[1] - sizes[0], name, kind)


def build_both(name: str, build: Callable[[int], Graph], sizes: tuple[int, int], kind: Kind) -> Measure:
    async def measure(side: Side, size: float) -> Values:
        return await measure_graphs(side, build, sizes, name, kind)

    return measure


def build_hops(name: str, opener: str, sizes: tuple[int, int], kind: Kind) -> Measure:
    async def measure(side: Side, size: float) -> Values:
        if not hasattr(side, opener):
            return {}
        return await measure_hops(getattr(side, opener), sizes, name, kind)

    return measure


async def measure_durable(side: Side, size: float) -> Values:
    """Measure the graph of 20 nodes, each run recorded before the next begins, and a node of a chain of 20."""
    values: Values = {}
    runs = max(2, int(RUNS * size))
    with tempfile.TemporaryDirectory() as place:
        for name, graph in (("graph", build_twenty()), ("line", build_chain(20))):
            spent: list[float] = []
            gaps: list[float] = []
            async with side.open_graph(graph, place) as go:
                await prepare(graph, go)
                cpu = time.process_time()
                for _ in range(runs):
                    began = time.perf_counter()
                    graph.check(await go())
                    spent.append(time.perf_counter() - began)
                    gaps += [late - early for early, late in zip(graph.at, graph.at[1:], strict=False)]
                used = time.process_time() - cpu
            values |= {f"{name}_ms": statistics.median(spent) * 1e3, f"{name}_cpu_ms": used / runs * 1e3}
            if name == "line":
                values["durable_step_ms"] = statistics.median(gaps) * 1e3
    return values


async def measure_map(side: Side, size: float) -> Values:
    """Measure time and memory of a step that is made for each of many items; `tracemalloc` in a go of its own."""
    open_map = cast("Open | None", getattr(side, "open_map", None))
    if open_map is None:
        return {}
    count = max(100, int(ITEMS * size))
    async with open_map(100) as small, open_map(count) as go:
        await small()
        reset_highest_rss()
        before, began, cpu = read_rss_mib(), time.perf_counter(), time.process_time()
        if (found := await go()) != count:
            raise WrongWork(f"{found} of {count} items were worked on")
        spent, used, grown = (
            time.perf_counter() - began,
            time.process_time() - cpu,
            read_rss_mib("VmHWM") - before,
        )
        tracemalloc.start()
        await go()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return {
        "map_s": spent,
        "map_cpu_us": used / count * 1e6,
        "map_mib": grown,
        "map_traced_mib": peak / (1 << 20),
    }


def build_measures(kind: Kind) -> dict[str, Measure]:
    measures = {
        "chain": build_both("chain", build_chain, CHAIN, kind),
        "long": build_both("long", build_chain, LONG, kind),
        "wide": build_both("wide", build_wide, WIDE, kind),
        "agents": build_hops("agents", "open_agents", AGENTS, kind),
        "stage": build_hops("stage", "open_pipeline", HOPS, kind),
        "handoff": build_hops("handoff", "open_handoff", HOPS, kind),
    }
    return measures if kind == "count" else {**measures, "durable": measure_durable, "map": measure_map}


async def measure(side: Side, kind: Kind, size: float, only: list[str]) -> tuple[Values, dict[str, str]]:
    values: Values = {}
    failed: dict[str, str] = {}
    for name, one in build_measures(kind).items():
        if only and name not in only:
            continue
        try:
            async with asyncio.timeout(TIMEOUT_S):
                values |= await one(side, size)
        except Exception as error:  # a side that cannot do one work still does the others
            failed[name] = explain(error)
    return values, failed


def main() -> None:
    name, kind, size, *only = sys.argv[1:]
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    # What a side prints is not the result.
    out, sys.stdout = sys.stdout, sys.stderr
    side = cast("Side", importlib.import_module(f"benchmarks.workflow_sides.{name}"))
    values, failed = asyncio.run(measure(side, cast("Kind", kind), float(size), only))
    print(json.dumps({"values": values, "failed": failed}), file=out, flush=True)
    # A framework's own threads and exit handlers are none of the measurement.
    os._exit(0)


if __name__ == "__main__":
    main()
