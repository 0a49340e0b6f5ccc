"""How is work done by a function: side by side, kept while it takes its time, tried again when it fails?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from quorate.errors import Forbidden, InvalidInput, QuorateError, TooLarge, Unauthenticated, describe_error
from quorate.ports.bus import Bus, Delivery, Message

Do = Callable[[Message], Awaitable[None]]
"""Does a piece of work; it is done once this returns, so it returns after its commit."""
Sleep = Callable[[float], Awaitable[None]]
HOPELESS = (Forbidden, InvalidInput, TooLarge, Unauthenticated)
"""Errors after which trying again changes nothing: the work is put aside at once."""


async def deliver(
    bus: Bus,
    queue: str,
    do: Do,
    *,
    concurrency: int = 16,
    beat_s: float = 10.0,
    stopping: asyncio.Event | None = None,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Do the work of a queue until cancelled, or until `stopping` is set and everything that was begun is answered.

    What fails rests and is given out again as the queue's rule says, in the end as a dead letter with the last error;
    what is hopeless is one at once. What is cancelled is given back.

    Args:
        bus: Over what work comes.
        queue: Which work.
        do: What does a piece.
        concurrency: How many pieces at a time.
        beat_s: How often a piece that is being worked on is said to be; less than half of the rule's `ack_wait_s`.
        stopping: Set when no more work is wanted.
        sleep: What waits between beats.

    Raises:
        InvalidInput: There is no such queue.
    """
    async with asyncio.TaskGroup() as group, bus.work(queue, max_in_flight=concurrency) as work:

        async def stop(event: asyncio.Event) -> None:
            await event.wait()
            await work.drain()

        stopper = group.create_task(stop(stopping)) if stopping is not None else None
        busy: set[asyncio.Task[None]] = set()
        async for delivery in work:
            task = group.create_task(_do_one(delivery, do, beat_s=beat_s, sleep=sleep))
            busy.add(task)
            task.add_done_callback(busy.discard)
        if stopper is not None:
            stopper.cancel()
        if busy:
            await asyncio.wait(busy)


async def _do_one(delivery: Delivery, do: Do, *, beat_s: float, sleep: Sleep) -> None:
    error: Exception | None = None
    async with asyncio.TaskGroup() as group:
        beating = group.create_task(_beat(delivery, beat_s=beat_s, sleep=sleep))
        try:
            await do(delivery.message)
        except Exception as caught:  # whoever does it is anybody's code, and its failure is what is answered
            error = caught
        beating.cancel()
    with suppress(QuorateError):  # where the answer is lost, the work comes again
        if error is None:
            await delivery.ack()
        elif isinstance(error, HOPELESS):
            await delivery.reject(describe_error(error))
        else:
            await delivery.nak(describe_error(error))


async def _beat(delivery: Delivery, *, beat_s: float, sleep: Sleep) -> None:
    while True:
        await sleep(beat_s)
        with suppress(QuorateError):  # the next beat may come through
            await delivery.in_progress()
