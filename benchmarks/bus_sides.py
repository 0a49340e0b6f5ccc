"""How do our bus and bare `nats-py` do the same work, and how long does it take them?"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import nats

from benchmarks.bus_figures import BATCH, IN_FLIGHT, Took
from quorate.bus.backends.nats import open_nats_bus
from quorate.ports.bus import Bus, Message, StreamRule, Subscription

HEADERS = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
SUBJECT = "ai.bench.told.acme.one"
TASK = "ai.bench.tasks.acme"
TASKS = StreamRule(name="bench", subjects=(TASK,), kind="work", max_messages=1_000_000)
WAIT_S = 120.0


async def count_rate(count: int, work: Callable[[], Awaitable[object]]) -> Took:
    """Say how many a second were done."""
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.timeout(WAIT_S):
        await work()
    return Took(count / (time.perf_counter() - began), (time.process_time() - cpu) / count * 1e6)


async def take(heard: Subscription, count: int) -> None:
    taken = 0
    async for _ in heard:
        taken += 1
        if taken == count:
            return


async def tell(bus: Bus, count: int, size: int) -> Took:
    """Publish to a subscriber of the same process."""
    data = b"x" * size

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(take(heard, count))
            for _ in range(count):
                await bus.publish(SUBJECT, data, headers=HEADERS)

    async with bus.subscribe(SUBJECT) as heard:
        rate = await count_rate(count, work)
        assert heard.dropped == 0
    return rate


async def tell_bare(url: str, count: int, size: int) -> Took:
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
    rate = await count_rate(count, work)
    await client.close()
    return rate


async def ask_alone(ask: Callable[[], Awaitable[object]], count: int) -> Took:
    """Say how long a request takes at the median, in microseconds."""
    took: list[float] = []

    async def work() -> None:
        for _ in range(count):
            began = time.perf_counter()
            await ask()
            took.append(time.perf_counter() - began)

    done = await count_rate(count, work)
    return Took(statistics.median(took) * 1e6, done.cpu_us)


async def ask_together(ask: Callable[[], Awaitable[object]], count: int) -> Took:
    """Say how many requests a second there are with some in flight."""

    async def ask_on() -> None:
        for _ in range(count // IN_FLIGHT):
            await ask()

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(ask_on())

    return await count_rate(count // IN_FLIGHT * IN_FLIGHT, work)


async def ask(bus: Bus, count: int) -> tuple[Took, Took]:
    """Ask somebody in the same process."""

    async def answer() -> None:
        async for question in questions:
            await bus.publish(question.reply, question.data, headers=HEADERS)

    async def ask_bus() -> Message:
        return await bus.request(SUBJECT, b"x" * 256, headers=HEADERS, timeout_s=10)

    async with bus.subscribe(SUBJECT) as questions, asyncio.TaskGroup() as group:
        task = group.create_task(answer())
        found = await ask_alone(ask_bus, count), await ask_together(ask_bus, count * 8)
        task.cancel()
    return found


async def ask_bare(url: str, count: int) -> tuple[Took, Took]:
    """The same with the bare client."""
    client = await nats.connect(url)

    async def answer(question: nats.aio.msg.Msg) -> None:
        await client.publish(question.reply, question.data)

    async def ask_client() -> object:
        return await client.request("bench.raw", b"x" * 256, timeout=10)

    await client.subscribe("bench.raw", cb=answer)
    await client.flush()
    found = await ask_alone(ask_client, count), await ask_together(ask_client, count * 8)
    await client.close()
    return found


async def queue(url: str, count: int) -> tuple[Took, Took]:
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

        return await count_rate(count, fill), await count_rate(count, empty)


async def queue_bare(url: str, count: int) -> tuple[Took, Took]:
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

    found = await count_rate(count, fill), await count_rate(count, empty)
    await stream.delete_stream("RAW")
    await client.close()
    return found
