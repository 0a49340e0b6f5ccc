"""How are events dealt with side by side, and those of one key one after another?"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from quorate.bus.events import EventSubscription
from quorate.errors import InvalidInput
from quorate.ports.happening import Happening

AHEAD = 4
"""How many events are taken for each one that may be dealt with at a time."""


async def serve_events(
    subscription: EventSubscription, do: Callable[[Happening], Awaitable[None]], *, concurrency: int = 16
) -> None:
    """Call a function for each event until the subscription ends, those of one key in order.

    Events without a key wait for no other. What is taken is bounded: the rest waits in the subscription's room, where
    its overflow policy says what gives way.

    Args:
        subscription: What comes.
        do: Deals with one event; what it raises ends all of it, so that whatever may fail is caught there.
        concurrency: How many events at a time.

    Raises:
        Incomplete: The subscription ended because it was too slow.
        InvalidInput: `concurrency` is no number of events.
    """
    if concurrency < 1:
        raise InvalidInput(f"`concurrency` is {concurrency!r}; at least 1 event is dealt with at a time.")
    room, turn = asyncio.Semaphore(AHEAD * concurrency), asyncio.Semaphore(concurrency)
    waiting: dict[str, deque[Happening]] = {}

    async def work(key: str, own: deque[Happening]) -> None:
        while own:
            async with turn:
                await do(own.popleft())
            room.release()
        if key:
            del waiting[key]

    try:
        async with asyncio.TaskGroup() as group:
            async for event in subscription:
                await room.acquire()
                own = waiting.get(event.key) if event.key else None
                if own is not None:
                    own.append(event)
                    continue
                own = deque([event])
                if event.key:
                    waiting[event.key] = own
                group.create_task(work(event.key, own))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several
