"""How does a process of a fleet tell others what is recorded, when its turn comes?"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from quorate.bus.events import Events
from quorate.bus.returning import ReturningBus, open_returning_bus
from quorate.errors import InvalidInput, MissingExtra, QuorateError
from quorate.ports import Store
from quorate.runtime.fleet import find_bus, open_bus
from quorate.runtime.relay.bus_sink import BusSink, build_relay_rules
from quorate.runtime.relay.relay import OUTBOX, Relay
from quorate.runtime.relay.sink import Sink
from quorate.settings import Settings

_logger = logging.getLogger("quorate.relay")


@asynccontextmanager
async def open_event_bus(settings: Settings) -> AsyncGenerator[ReturningBus]:
    """Open the bus that the settings name, with the streams that keep events; while it is away, it is looked for.

    Raises:
        InvalidInput: The settings name no bus, or its settings do not hold together.
        Forbidden: It is on another machine, and there is no login.
        MissingExtra: What speaks to it is not installed.
    """
    check_bus(settings)
    rules = build_relay_rules(settings.bus.tenant)
    async with open_returning_bus(lambda: open_bus(settings, streams=rules)) as bus:
        yield bus


def check_bus(settings: Settings) -> None:
    """Check that there can be a bus; raises what `open_event_bus` does."""
    if not settings.bus.url:
        raise InvalidInput(
            "Events go over a bus, and the settings name none: set `bus.url`, or `QUORATE_BUS_URL`, to a NATS server "
            "with JetStream, such as `nats://127.0.0.1:4222`."
        )
    find_bus(settings)
    if importlib.util.find_spec("nats") is None:
        raise MissingExtra("events over a bus", "nats")


@asynccontextmanager
async def open_events(settings: Settings) -> AsyncGenerator[Events]:
    """Open what publishes and hears events over the bus that the settings name; raises what `open_event_bus` does."""
    async with open_event_bus(settings) as bus:
        yield Events(bus, tenant=settings.bus.tenant)


@asynccontextmanager
async def open_relay(settings: Settings, store: Store, *, sinks: Sequence[Sink] = ()) -> AsyncGenerator[Relay | None]:
    """Tell what is recorded, for a block, to all whom the settings name, whenever it is this process's turn.

    Any number of processes may do so; every one of them is given the same sinks. Nothing is told and `None` is given
    where there is nobody to be told.

    Args:
        settings: Whom: the bus with `bus.events`, webhooks with `webhooks.enabled`.
        store: Opened with an outbox, as `Settings.keeps_notices` says.
        sinks: Who else.

    Raises:
        InvalidInput: `bus.events` is set, and there is no bus.
        Forbidden: The bus is on another machine, and there is no login.
        MissingExtra: What speaks to the bus is not installed.
    """
    async with AsyncExitStack() as stack:
        all_sinks = list(sinks)
        if settings.bus.events:
            bus = await stack.enter_async_context(open_event_bus(settings))
            all_sinks.append(BusSink(bus, store.log, tenant=settings.bus.tenant))
        if settings.webhooks.enabled:
            from quorate.runtime.webhooks.sink import WebhookSink  # most fleets have no webhooks

            all_sinks.append(WebhookSink(store))
        if not all_sinks:
            yield None
            return
        relay = Relay(store, all_sinks, tell=_log)
        await stack.enter_async_context(relay.running())
        yield relay


def _log(sink: str, why: QuorateError | None) -> None:
    if sink == OUTBOX:
        _logger.warning("%s", "The outbox is read again." if why is None else f"Nothing is told for now: {why.message}")
    elif why is None:
        _logger.warning("%r has taken all that was kept for it.", sink)
    else:
        _logger.warning("%r was not told of what happened, which is kept for it: %s", sink, why.message)
