"""Is work that a function does kept while it takes its time, tried again, put aside, and given back?"""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from tests.contract.test_bus import Time

from quorate.bus.backends.local import LocalBus, open_local_bus
from quorate.bus.deliver import deliver
from quorate.errors import InvalidInput, Unavailable
from quorate.ports.bus import Message, StreamRule

TASKS = StreamRule(name="tasks", subjects=("ai.t.>",), kind="work", ack_wait_s=60, max_deliver=3, backoff_s=(0.01,))
TASK, DEAD = "ai.t.x.acme", "ai.dead.tasks.acme"


@pytest.fixture
async def bus() -> AsyncGenerator[LocalBus]:
    async with open_local_bus("acme", streams=[TASKS]) as bus:
        yield bus


async def read_dead(bus: LocalBus, count: int) -> list[Message]:
    found: list[Message] = []
    async with bus.subscribe(DEAD, after=0) as letters, asyncio.timeout(30):
        async for letter in letters:
            found.append(letter)
            if len(found) == count:
                break
    return found


async def test_failed_work_is_tried_again_and_put_aside(bus: LocalBus) -> None:
    """The last error and the number of attempts are in the letter; the hopeless one was tried once."""
    tried: list[bytes] = []
    stopping = asyncio.Event()

    async def do(message: Message) -> None:
        tried.append(message.data)
        if message.data == b"broken":
            raise ValueError("no\nluck")
        if message.data == b"hopeless":
            raise InvalidInput("not a task")
        if message.data == b"once" and tried.count(b"once") == 1:
            raise Unavailable("not now")

    for data in (b"broken", b"hopeless", b"once", b"good"):
        await bus.enqueue(TASK, data)
    async with asyncio.TaskGroup() as group:
        group.create_task(deliver(bus, "tasks", do, stopping=stopping))
        letters = {letter.data: letter.headers for letter in await read_dead(bus, 2)}
        stopping.set()
    assert letters[b"broken"]["Quorate-Reason"] == "ValueError: no luck"
    assert letters[b"broken"]["Quorate-Attempts"] == "3"
    assert letters[b"hopeless"]["Quorate-Attempts"] == "1"
    assert {data: tried.count(data) for data in tried} == {b"broken": 3, b"hopeless": 1, b"once": 2, b"good": 1}


async def test_slow_work_is_kept() -> None:
    """It says that it is under way, and nobody else is given it; stopping waits for it."""
    time = Time()
    begun: list[bytes] = []
    stopping, enough = asyncio.Event(), asyncio.Event()

    async def do(message: Message) -> None:
        begun.append(message.data)
        await enough.wait()

    async with asyncio.timeout(30), open_local_bus("acme", streams=[TASKS], clock=time.clock, sleep=time.sleep) as bus:
        await bus.enqueue(TASK, b"slow")
        async with asyncio.TaskGroup() as group:
            work = group.create_task(deliver(bus, "tasks", do, stopping=stopping, beat_s=20, sleep=time.sleep))
            await time.move(3 * TASKS.ack_wait_s)
            stopping.set()
            await time.move(3 * TASKS.ack_wait_s)
            assert begun == [b"slow"]
            assert not work.done()
            enough.set()
        async with bus.work("tasks") as left:
            waiting = asyncio.ensure_future(anext(aiter(left)))
            await time.move(3 * TASKS.ack_wait_s)
            assert not waiting.done(), "it is done"
            waiting.cancel()


async def test_cancelled_work_is_given_back(bus: LocalBus) -> None:
    """The next worker need not wait for a silence."""
    started = asyncio.Event()

    async def do(message: Message) -> None:
        started.set()
        await asyncio.Event().wait()

    await bus.enqueue(TASK, b"x")
    worker = asyncio.ensure_future(deliver(bus, "tasks", do))
    await started.wait()
    worker.cancel()
    await asyncio.wait({worker})
    async with bus.work("tasks") as pieces, asyncio.timeout(30):
        piece = await anext(aiter(pieces))
    assert (piece.message.data, piece.attempt) == (b"x", 2)


async def test_no_more_at_a_time_than_there_may_be(bus: LocalBus) -> None:
    """Thirty pieces, four at a time."""
    now, most, done = 0, 0, 0
    stopping = asyncio.Event()

    async def do(message: Message) -> None:
        nonlocal now, most, done
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        done += 1
        if done == 30:
            stopping.set()

    for _ in range(30):
        await bus.enqueue(TASK, b"x")
    async with asyncio.timeout(30):
        await deliver(bus, "tasks", do, concurrency=4, stopping=stopping)
    assert most == 4
