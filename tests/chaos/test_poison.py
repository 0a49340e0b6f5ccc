"""Does work that fails every time hold up the rest? `make chaos`."""

import asyncio
import statistics
import time
from collections import Counter

import pytest

from quorate.bus.backends.nats import open_nats_bus
from quorate.bus.deliver import deliver
from quorate.bus.subjects import build_dead_subject, build_subject
from quorate.ports.bus import Bus, Message, StreamRule
from quorate.testing.nats_server import open_nats_server

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

WORK, POISON, ROUNDS = 1000, 10, 3
LEAST = 0.9
"""At what part of its rate other work goes on."""
SUBJECT = build_subject("agent", "tasks", "acme", "any")
RULE = StreamRule(name="tasks", subjects=(SUBJECT,), kind="work", backoff_s=(0.05, 0.1, 0.2, 0.4))


async def measure(bus: Bus, *, poison: int) -> tuple[float, Counter[bytes]]:
    """Do much work, some of which fails every time; return how much of the other a second, and what was tried."""
    for number in range(WORK):
        if poison and number % (WORK // poison) == 0:
            await bus.enqueue(SUBJECT, b"poison-%d" % number)
        await bus.enqueue(SUBJECT, b"good")
    tried: Counter[bytes] = Counter()
    ended, stopping = asyncio.Event(), asyncio.Event()

    async def do(message: Message) -> None:
        tried[message.data] += 1
        await asyncio.sleep(0.005)
        if message.data != b"good":
            raise RuntimeError("it bit me")
        if tried[b"good"] == WORK:
            ended.set()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(deliver(bus, "tasks", do, concurrency=16, stopping=stopping))
        await ended.wait()
        seconds = time.perf_counter() - began
        while sum(tried.values()) < WORK + poison * RULE.max_deliver:
            await asyncio.sleep(0.02)
        stopping.set()
    return WORK / seconds, tried


async def test_poison_holds_up_nobody() -> None:
    """One in a hundred fails every time: each of them is a dead letter after five times, and the rest goes on at nine
    tenths of its rate at least."""
    with open_nats_server() as server:
        async with open_nats_bus(server.url, tenant="acme", streams=[RULE]) as bus:
            await measure(bus, poison=0)
            shares: list[float] = []
            for _ in range(ROUNDS):
                clean, _ = await measure(bus, poison=0)
                poisoned, tried = await measure(bus, poison=POISON)
                shares.append(poisoned / clean)
                assert [times for data, times in tried.items() if data != b"good"] == [RULE.max_deliver] * POISON
            async with bus.subscribe(build_dead_subject("tasks", "acme"), after=0) as dead, asyncio.timeout(30):
                letters = [await anext(aiter(dead)) for _ in range(ROUNDS * POISON)]
    assert all("it bit me" in letter.headers["Quorate-Reason"] for letter in letters)
    share = statistics.median(shares)
    print(f"\n{POISON} of {WORK} fail every time: the rest is done at {share:.2f} of its rate")
    assert share >= LEAST
