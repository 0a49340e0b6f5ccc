"""Does the bus of one process give out what is due, keep tenants apart, and stay quick?"""

import asyncio

import pytest

from quorate.bus.backends._local_queue import LocalQueue, LocalWork
from quorate.bus.backends._local_shelf import Shelf
from quorate.bus.backends.local import open_local_broker, open_local_bus
from quorate.bus.mailbox import Mailbox
from quorate.errors import InvalidInput, RateLimited, Unavailable
from quorate.ports.bus import Message, Room, StreamRule
from quorate.testing import ManualClock

EVENTS = StreamRule(name="events", subjects=("ai.e.>",), kind="events", max_messages=3)


async def test_tenants_of_one_process_hear_nothing_of_each_other() -> None:
    """Whoever listens to everything gets 0 of 1,000 messages of another tenant."""
    async with (
        open_local_broker() as broker,
        open_local_bus("acme", broker=broker) as acme,
        open_local_bus("beta", broker=broker) as beta,
        acme.subscribe(">") as heard,
    ):
        for _ in range(1000):
            await beta.publish("ai.x.y.beta", b"theirs")
        await acme.publish("ai.x.y.acme", b"ours")
        await heard.drain()
        assert [message.data async for message in heard] == [b"ours"]


async def test_a_bus_that_has_ended_takes_nothing() -> None:
    """Typed, as where a connection is lost."""
    async with open_local_bus("acme") as bus:
        pass
    with pytest.raises(Unavailable, match="closed"):
        await bus.publish("a.b", b"")
    with pytest.raises(Unavailable, match="closed"):
        async with bus.subscribe("a.b"):
            pass


async def test_whoever_publishes_gives_way_to_who_is_behind() -> None:
    """A hundred thousand messages at once, with the default settings: none is dropped."""
    count = 100_000
    async with open_local_bus("acme") as bus, bus.subscribe("ai.x.y.acme.>") as heard, asyncio.TaskGroup() as group:

        async def take() -> int:
            taken = 0
            async for _ in heard:
                taken += 1
                if taken == count:
                    break
            return taken

        taking = group.create_task(take())
        for _ in range(count):
            await bus.publish("ai.x.y.acme.z", b"x" * 256)
        assert await taking == count
        assert heard.dropped == 0


async def test_work_that_failed_rests_as_long_as_it_was_told() -> None:
    """Also longer than it could have been kept by whoever had it, and it is given out once."""
    clock = ManualClock()
    rule = StreamRule(name="jobs", subjects=("ai.j.>",), kind="work", ack_wait_s=30, backoff_s=(120.0,))
    queue = LocalQueue(rule, clock=clock, bury=lambda *_: None)
    work = LocalWork(queue, max_in_flight=8)
    queue.append("ai.j.x", b"1", headers={}, id=None, ttl_s=None)
    first = queue.take(work)
    assert first is not None
    await first.nak("not now")
    for seconds, waits in ((31, True), (88, True), (2, False)):
        clock.advance(seconds)
        queue.look()
        again = queue.take(work)
        assert (again is None) is waits, seconds
    assert again is not None
    assert (again.attempt, queue.take(work)) == (2, None)


async def test_a_mailbox_stays_within_its_bytes() -> None:
    """Also where one message is larger than all of it."""
    box = Mailbox("a", Room(max_bytes=10, overflow="oldest"), leave=lambda: None)
    for size in (4, 4, 4, 11):
        box.put(Message(subject="a", data=b"x" * size))
    assert (len(box), box.dropped) == (2, 2)
    with pytest.raises(InvalidInput, match="no room"):
        Mailbox("a", Room(max_messages=0), leave=lambda: None)


async def test_a_mailbox_of_the_latest_keeps_one_of_each_subject() -> None:
    """The newest of every subject waits, in the order in which they came."""
    box = Mailbox(">", Room(max_messages=2, overflow="latest"), leave=lambda: None)
    for subject, data in (("a", b"1"), ("b", b"1"), ("a", b"2"), ("c", b"1")):
        box.put(Message(subject=subject, data=data))
    box.finish()
    assert [(message.subject, message.data) async for message in box] == [("a", b"2"), ("c", b"1")]
    assert box.dropped == 2


def test_a_shelf_forgets_ids_and_messages_in_time() -> None:
    """An id is known for as long as its rule says, a message for its own time or the stream's."""
    clock = ManualClock()
    rule = StreamRule(name="e", subjects=("e",), kind="events", dedupe_s=10, max_age_s=100)
    shelf = Shelf(rule, clock=clock)

    def append(id: str, ttl_s: float | None = None) -> bool:
        return shelf.append("e", b"x", headers={}, id=id, ttl_s=ttl_s).duplicate

    assert [append("a"), append("a"), append("b", 5.0)] == [False, True, False]
    clock.advance(6)
    assert [message.seq for message in shelf.read(after=0, since=0, limit=9)[0]] == [1]
    clock.advance(5)
    assert append("a") is False
    clock.advance(90)
    assert [message.seq for message in shelf.read(after=0, since=0, limit=9)[0]] == [3]


def test_a_full_shelf_forgets_or_refuses() -> None:
    """What happened gives way to what happens; work never does."""
    clock = ManualClock()
    events = Shelf(EVENTS, clock=clock)
    for _ in range(5):
        events.append("ai.e.x", b"x", headers={}, id=None, ttl_s=None)
    assert [message.seq for message in events.read(after=0, since=0, limit=9)[0]] == [3, 4, 5]
    work = Shelf(StreamRule(name="w", subjects=("w",), kind="work", max_bytes=10), clock=clock)
    work.append("w", b"x" * 8, headers={}, id=None, ttl_s=None)
    with pytest.raises(RateLimited, match="9 of 10 bytes") as caught:
        work.append("w", b"x", headers={}, id=None, ttl_s=None)
    assert caught.value.retry_after_s == 1.0
    assert work.remove(1)
    assert not work.remove(1)
    assert work.append("w", b"x", headers={}, id=None, ttl_s=None).seq == 2
