"""How does what was recorded become deliveries, each once, before anybody forgets it?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import CorruptState
from quorate.events import RunCreated
from quorate.ids import PATTERN
from quorate.ports import Notice, Store
from quorate.runtime.webhooks.delivery import Deliveries, Delivery
from quorate.runtime.webhooks.records import Records
from quorate.runtime.webhooks.webhook import Webhook

AT_ONCE = 32
"""Of how many runs deliveries are written side by side, so that a store can commit them together."""


class WebhookSink:
    """Takes notices of the outbox: once `take` returns, there is a delivery for each webhook that wants the event.

    A delivery is known by webhook, run and number, so that a notice that comes again makes no second one.

    Args:
        store: Where the notices come from, and where webhooks and deliveries are kept.
        wake: Is called when there is something to deliver.
        clock: What deliveries are dated by.
    """

    def __init__(self, store: Store, *, wake: Callable[[], None] = lambda: None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._store = store
        self._wake = wake
        self._records = Records(store.values)
        self._deliveries = Deliveries(store.values)

    @property
    def name(self) -> str:
        """What this sink is called."""
        return "webhooks"

    async def take(self, notices: Sequence[Notice]) -> None:
        """Keep a delivery for each notice and each webhook that wants it.

        Raises:
            Unavailable: The store cannot be reached: give the same notices again.
            StorageFull: There is no room: give the same notices again.
        """
        # Whoever has no proper id has no webhooks either.
        tenants = {notice.tenant for notice in notices if PATTERN.fullmatch(notice.tenant)}
        hooks = {tenant: await self._list_hooks(tenant) for tenant in tenants}
        listeners: dict[tuple[str, str], list[Webhook]] = {}
        agents: dict[str, str] = {}
        made: dict[tuple[str, str], list[Delivery]] = {}
        for notice in notices:
            place = notice.tenant, notice.kind
            if place not in listeners:  # patterns are compared once for all notices of a kind
                listeners[place] = [hook for hook in hooks.get(notice.tenant, ()) if hook.wants(notice.kind)]
            for hook in listeners[place]:
                if await self._is_of(notice, hook, agents):
                    made.setdefault((hook.id, notice.run), []).append(_build(notice, hook, now=self._clock.now()))
        groups = list(made.values())
        for first in range(0, len(groups), AT_ONCE):
            await self._keep(groups[first : first + AT_ONCE])
        if made:
            self._wake()

    async def _keep(self, groups: Sequence[Sequence[Delivery]]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for deliveries in groups:
                    group.create_task(self._keep_run(deliveries))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _keep_run(self, deliveries: Sequence[Delivery]) -> None:
        """Keep deliveries about one run one after the other, so that nobody finds a later one alone."""
        for delivery in deliveries:
            await self._deliveries.add(delivery)

    async def _list_hooks(self, tenant: str) -> list[Webhook]:
        found = self._records.scan(tenant)
        # One that cannot be read is shown where webhooks are listed, and holds up no other.
        return [one.webhook async for one in found if not isinstance(one, CorruptState)]

    async def _is_of(self, notice: Notice, hook: Webhook, agents: dict[str, str]) -> bool:
        """Whether a notice is of a run of one of the agents that a webhook is about."""
        if not hook.agents:
            return True
        if notice.run not in agents:
            agents[notice.run] = await self._find_agent(notice.run)
        return agents[notice.run] in hook.agents

    async def _find_agent(self, run: str) -> str:
        try:
            events = await self._store.log.read(run, limit=1)
        except CorruptState:
            return ""
        return events[0].agent if events and isinstance(events[0], RunCreated) else ""


def _build(notice: Notice, hook: Webhook, *, now: float) -> Delivery:
    return Delivery(
        tenant=notice.tenant, webhook=hook.id, run=notice.run, seq=notice.seq, kind=notice.kind, created=now
    )
