"""Are events dealt with side by side, and those of one key in order?"""

import asyncio

import pytest

from quorate.bus.backends.local import open_local_bus
from quorate.bus.event_service import AHEAD, serve_events
from quorate.bus.event_subjects import read_data
from quorate.bus.events import Events
from quorate.errors import Incomplete, InvalidInput
from quorate.ports.bus import Room
from quorate.ports.happening import Happening


async def test_at_least_one_is_dealt_with_at_a_time() -> None:
    """With none, it would wait for ever."""
    async with open_local_bus() as bus, Events(bus).subscribe("host.told") as heard:
        with pytest.raises(InvalidInput, match="`concurrency` is 0"):
            await serve_events(heard, do_nothing, concurrency=0)


async def do_nothing(event: Happening) -> None:
    pass


async def test_different_keys_go_side_by_side_and_one_key_in_order() -> None:
    """Three at a time; no two of one key, and each key's numbers only grow."""
    done: dict[str, list[int]] = {}
    busy: list[str] = []
    most = 0

    async def do(event: Happening) -> None:
        nonlocal most
        assert event.key not in busy
        busy.append(event.key)
        most = max(most, len(busy))
        for _ in range(read_data(event, int) % 3):
            await asyncio.sleep(0)
        busy.remove(event.key)
        done.setdefault(event.key, []).append(read_data(event, int))

    async with open_local_bus() as bus:
        events = Events(bus)
        async with events.subscribe("host.told") as heard:
            for number in range(100):
                await events.publish("host.told", number, key=f"host-{number % 7}")
            await heard.drain()
            await serve_events(heard, do, concurrency=3)
    assert done == {f"host-{key}": list(range(key, 100, 7)) for key in range(7)}
    assert most == 3


async def test_what_is_not_dealt_with_waits_where_it_may_give_way() -> None:
    """While nothing ends, a bounded number is taken; events without a key wait for no other."""
    began: list[int] = []
    may_end = asyncio.Event()

    async def do(event: Happening) -> None:
        began.append(read_data(event, int))
        await may_end.wait()

    async with open_local_bus() as bus:
        events = Events(bus)
        room = Room(max_messages=1000, overflow="oldest")
        async with events.subscribe("host.told", room=room) as heard, asyncio.TaskGroup() as group:
            serving = group.create_task(serve_events(heard, do, concurrency=2))
            for number in range(2000):
                await events.publish("host.told", number)
            async with asyncio.timeout(30):
                while len(began) < 2:
                    await asyncio.sleep(0)
            assert began == [0, 1]
            assert 2000 - 1000 - AHEAD * 2 - 1 <= heard.dropped <= 1000
            await heard.drain()
            may_end.set()
            await serving
    assert began == [*range(len(began) - 1000), *range(1000, 2000)]


async def test_an_error_ends_it_and_so_does_a_subscription_that_ends() -> None:
    """Both come out; nothing goes on behind them."""

    async def fail(event: Happening) -> None:
        raise KeyError(event.kind)

    async def wait(event: Happening) -> None:
        await asyncio.sleep(0)

    async with open_local_bus() as bus:
        events = Events(bus)
        async with events.subscribe("host.told") as heard:
            await events.publish("host.told", key="a")
            with pytest.raises(KeyError, match=r"host\.told"):
                await serve_events(heard, fail)
        async with events.subscribe("host.told", room=Room(max_messages=1, overflow="end")) as heard:
            await events.publish("host.told")
            await events.publish("host.told")
            with pytest.raises(Incomplete):
                await serve_events(heard, wait)
