"""How does a process deliver webhooks beside whatever else it does?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from quorate.runtime.runtime import Runtime
from quorate.runtime.webhooks.backoff import POLICY, WebhookPolicy
from quorate.runtime.webhooks.courier import Carried, WebhookCourier


@asynccontextmanager
async def open_webhooks(
    runtime: Runtime,
    *,
    policy: WebhookPolicy = POLICY,
    tell: Callable[[Carried], None] = lambda carried: None,
) -> AsyncGenerator[WebhookCourier]:
    """Deliver webhooks while a block works; at its end, what is under way has a few seconds to end.

    Deliveries are made of what the outbox notes by a relay with a `WebhookSink`, in this process or another one.

    Args:
        runtime: Whose store it is, and what is allowed.
        policy: How patient, how fast and how many at once.
        tell: Is told what became of each try.
    """
    watching = runtime.watching

    def note(carried: Carried) -> None:
        if watching is not None:
            watching.count("webhooks", outcome=carried.what)
        tell(carried)

    courier = WebhookCourier(runtime, policy=policy, tell=note)
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        group.create_task(courier.run())
        try:
            yield courier
        except BaseException as error:
            failure = error  # kept until the group has ended, which would wrap it
        courier.stop()
    if failure is not None:
        raise failure
