"""How do any number of processes deliver webhooks, in order as far as that goes, whoever dies meanwhile?"""

from __future__ import annotations

import asyncio
import logging
import random as random_
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from quorate.errors import (
    Conflict,
    CorruptState,
    Forbidden,
    InvalidInput,
    MissingExtra,
    QuorateError,
    Unauthenticated,
)
from quorate.ports import Entry
from quorate.runtime.acts import noted
from quorate.runtime.runtime import Runtime
from quorate.runtime.schedules.store_time import StoreTime
from quorate.runtime.webhooks.backoff import (
    GONE,
    POLICY,
    Answer,
    Health,
    WebhookPolicy,
    choose_delay,
    choose_next,
    is_claimed,
    is_hopeless,
    is_resting,
    judge,
)
from quorate.runtime.webhooks.delivery import Deliveries, Delivery, read_delivery
from quorate.runtime.webhooks.health import HealthBook
from quorate.runtime.webhooks.payload import build_payload
from quorate.runtime.webhooks.records import Record, Records, Safe
from quorate.runtime.webhooks.send import Sender
from quorate.runtime.webhooks.webhook import Webhook
from quorate.security.secrets import Secret
from quorate.state.webhooks import DUE, build_lane, find_lane, find_page_end, skip_lane

if TYPE_CHECKING:
    from quorate.models.http import Resolve

POLL_S = 1.0
"""How often deliveries are looked for that other processes wrote down."""
LOOK_S = 30.0
"""How old the look at the store's clock may be."""
PAGE = 100
PAGES = 10
"""How many pages of one webhook's deliveries are read at a look; the next look goes on behind them."""
BLOCKED_S = 5.0
"""How long a delivery rests that could not be made because of us."""
SLOW_S = 2.0
"""An endpoint that takes longer than this shares half of the places with others of that kind."""
LEAVE_S = 5.0
"""How long deliveries under way may take to end once the courier is stopped."""
US = "webhooks"
"""Who switches a webhook off that cannot be reached any more."""
_logger = logging.getLogger("quorate.webhooks")

What = Literal["delivered", "failed", "dead", "dropped", "disabled", "blocked"]
Lane = tuple[str, str]
"""Tenant and webhook."""


class Carried(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a try to deliver."""

    what: What
    webhook: str
    """Tenant and id."""
    delivery: str = ""
    """Run and number."""
    reason: str = ""


class WebhookCourier:
    """Makes deliveries for all tenants; any number of processes may do so over one database.

    A delivery is claimed first, by whoever writes so over the very revision that was read; then it is sent; then it is
    settled. Whoever dies in between leaves something that another one goes on with, which sends it again under the same
    id: at least once, and a receiver that keeps ids deals with each once.

    Args:
        runtime: Whose store it is, and what is allowed.
        policy: How patient, how fast and how many at once.
        tell: Is told what became of each try.
        poll_s: How often new deliveries are looked for.
        random: Gives numbers from 0 to 1, which spread the waits.
        resolve: Gives the addresses of a name; the machine's own resolver when nothing is said.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        policy: WebhookPolicy = POLICY,
        tell: Callable[[Carried], None] = lambda carried: None,
        poll_s: float = POLL_S,
        random: Callable[[], float] = random_.random,
        resolve: Resolve | None = None,
    ) -> None:
        values, clock = runtime.store.values, runtime.clock
        self.runtime = runtime
        self._policy = policy
        self._tell = tell
        self._poll_s = poll_s
        self._random = random
        self._records = Records(values)
        self._deliveries = Deliveries(values)
        self._health = HealthBook(values, policy)
        self._safe = Safe.of(runtime.settings)
        self._time = StoreTime(values, clock=clock)
        self._sender = Sender(
            allow=runtime.settings.webhooks.allow, timeout_s=policy.timeout_s, clock=clock, resolve=resolve
        )
        self._busy: dict[str, Lane] = {}
        """What is under way here, by key."""
        self._under_way = set[asyncio.Task[None]]()
        self._begin = ""
        """Where the next look begins, when the last one ran out of room."""
        self._slow = set[Lane]()
        """Webhooks whose endpoints took their time for the last answer."""
        self._held = set[str]()
        """What is under way to slow or failing ones, by key."""
        self._places: dict[Lane, str] = {}
        """Behind which key the next look goes on, where there was more than one look could read."""
        self._blocked = set[str]()
        """Webhooks whose secrets cannot be opened here."""
        self._is_away = False
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for deliveries at once."""
        self._woken.set()

    def stop(self) -> None:
        """Begin no further delivery; what is under way may end."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Deliver until `stop` is called; while the database is away, it is waited for."""
        try:
            async with asyncio.TaskGroup() as group:
                while not self._stopping.is_set():
                    self._woken.clear()
                    await self._look_patiently(group)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._poll_s):
                            await self._woken.wait()
                if self._under_way:
                    await asyncio.wait(self._under_way, timeout=LEAVE_S)
                for task in self._under_way:
                    task.cancel()
        finally:
            await self._sender.aclose()

    async def deliver_due(self) -> None:
        """Deliver everything that is due now, and return when it was tried; for programs that look themselves.

        Raises:
            Unavailable: The store cannot be reached.
        """
        while True:
            async with asyncio.TaskGroup() as group:
                begun = await self.look(group)
            if not begun and not self._places:
                await self._sender.aclose()
                return

    async def look(self, group: asyncio.TaskGroup) -> int:
        """Begin whatever is due and there is room for; return how many deliveries were begun.

        Raises:
            Unavailable: The store cannot be reached.
        """
        begun, begin = 0, self._begin
        self._begin = ""
        places, self._places = self._places, {}  # of webhooks that have nothing to deliver now, none is kept
        await self._time.look(max_age_s=LOOK_S)
        async for lane, entries, is_more in self._scan_lanes(begin):
            room = self._policy.at_once - len(self._busy)
            if room <= 0:
                self._begin = build_lane(DUE, *lane)
                self._places = {**places, **self._places}
                break
            record = await self._find_open(lane, entries)
            if record is None or not await self._may_work(lane[0]):
                continue
            health = await self._health.find(*lane)
            if health is not None and is_resting(health, now=self._time.now()):
                continue
            secrets = self._open_secrets(record)
            free = min(room, self._count_free(lane, health))
            if secrets is None or free <= 0:
                continue
            behind = places.get(lane, find_page_end([entry.key for entry in entries])) if is_more else None
            for delivery in await self._choose(lane, entries, behind, most=free):
                claimed = await self._claim(delivery)
                if claimed is not None:
                    self._busy[claimed.key] = lane
                    if self._is_slow(lane, health):
                        self._held.add(claimed.key)
                    task = group.create_task(self._carry(record.webhook, claimed, secrets))
                    self._under_way.add(task)
                    task.add_done_callback(partial(self._end, claimed.key))
                    begun += 1
        return begun

    def _count_free(self, lane: Lane, health: Health | None) -> int:
        """Count the places that a webhook may take now: a failing one has one, and all that are slow share half."""
        most = 1 if health is not None else self._policy.per_endpoint
        free = most - Counter(self._busy.values())[lane]
        if free <= 0 or not self._is_slow(lane, health):
            return free
        left = max(1, self._policy.at_once // 2) - len(self._held)
        if left <= 0:
            self._begin = self._begin or build_lane(DUE, *lane)  # its turn comes first at the next look
        return min(free, left)

    def _is_slow(self, lane: Lane, health: Health | None) -> bool:
        return health is not None or lane in self._slow

    async def _look_patiently(self, group: asyncio.TaskGroup) -> None:
        try:
            await self._look_over_damage(group)
        except QuorateError as error:
            if not self._is_away:
                self._note_blocked("", error)
            self._is_away = True
        else:
            self._is_away = False

    async def _look_over_damage(self, group: asyncio.TaskGroup) -> None:
        """Look; where a row of a delivery is damaged, mend it, so that it holds up no other at the next look."""
        try:
            await self.look(group)
        except CorruptState as error:
            key = error.context.get("key")
            if not isinstance(key, str) or not key.startswith(DUE):
                raise
            self._note_blocked("/".join(find_lane(key)), error)
            await self._deliveries.mend(key, self.runtime.store.log)
            self._woken.set()

    def _note_blocked(self, webhook: str, error: QuorateError) -> None:
        _logger.warning("webhook.blocked", extra={"webhook": webhook, "error": error.message})
        self._tell(Carried(what="blocked", webhook=webhook, reason=error.message))

    async def _scan_lanes(self, begin: str) -> AsyncIterator[tuple[Lane, list[Entry], bool]]:
        """Yield the first deliveries of each webhook, all the way round from a place, and whether there are more."""
        for first, end in ((begin, ""), ("", begin)) if begin else (("", ""),):
            place = first
            while entries := await self.runtime.store.values.scan(DUE, after=place, limit=PAGE):
                is_full = len(entries) == PAGE
                last = find_lane(entries[-1].key)
                for lane, group in groupby(entries, key=lambda entry: find_lane(entry.key)):
                    if end and build_lane(DUE, *lane) >= end:
                        return
                    yield lane, list(group), is_full and lane == last
                if not is_full:
                    break
                place = skip_lane(DUE, *last)

    async def _find_open(self, lane: Lane, entries: Sequence[Entry]) -> Record | None:
        """Find the webhook of a lane; where it is gone or switched off, its deliveries are ended."""
        try:
            record = await self._records.find(*lane)
        except (CorruptState, InvalidInput):
            return None  # its deliveries wait: somebody has to remove it; or those are no names at all
        if record is not None and record.webhook.enabled:
            return record
        self._slow.discard(lane)
        if record is None:
            await self._drop_all(entries)
            return None
        for delivery in self._read(entries):
            if not is_claimed(delivery, self._policy, now=self._time.now()):
                ended = structs.replace(delivery, reason="the webhook is switched off")
                await self._deliveries.settle(ended, "dead", now=self._time.now())
        return None

    async def _may_work(self, tenant: str) -> bool:
        """Whether anything is done for a tenant at the moment; else its deliveries wait."""
        try:
            await self.runtime.check_tenant(tenant)
        except (Forbidden, Unauthenticated):
            return False
        return True

    async def _drop_all(self, entries: Sequence[Entry]) -> None:
        """Forget deliveries of a webhook that is gone, those that cannot be read, too."""
        for entry in entries:
            with suppress(Conflict):
                await self.runtime.store.values.delete(entry.key, if_revision=entry.revision)

    def _open_secrets(self, record: Record) -> list[Secret] | None:
        """Open what a webhook's deliveries are signed with; where that cannot be done here, they are left to others."""
        place = f"{record.webhook.tenant}/{record.webhook.id}"
        try:
            secrets = self._safe.open_all(record, now=self.runtime.clock.now())
        except (CorruptState, MissingExtra) as error:
            if place not in self._blocked:
                self._blocked.add(place)
                self._note_blocked(place, error)
            return None
        self._blocked.discard(place)
        return secrets

    def _read(self, entries: Sequence[Entry]) -> Iterator[Delivery]:
        for entry in entries:
            with suppress(CorruptState):  # it goes with its webhook
                yield read_delivery(entry)

    async def _choose(self, lane: Lane, entries: list[Entry], behind: str | None, *, most: int) -> list[Delivery]:
        """Choose what is made next of one webhook; where all of `entries` wait to be tried again, look further.

        Args:
            lane: Which webhook.
            entries: Its first deliveries.
            behind: Behind which key to look for more; nowhere when those are all.
            most: How many to choose at most.
        """
        now, place = self._time.now(), behind
        chosen = self._choose_idle(entries, now=now, most=most)
        if chosen or place is None:
            return chosen
        for _ in range(PAGES):
            page = await self.runtime.store.values.scan(build_lane(DUE, *lane), after=place, limit=PAGE)
            chosen = self._choose_idle(page, now=now, most=most)
            if chosen:
                break
            if len(page) < PAGE:
                return []  # the next look begins anew
            place = find_page_end([entry.key for entry in page])
        self._places[lane] = place
        return chosen

    def _choose_idle(self, entries: Sequence[Entry], *, now: float, most: int) -> list[Delivery]:
        chosen = choose_next(self._read(entries), self._policy, now=now, most=most)
        return [delivery for delivery in chosen if delivery.key not in self._busy]

    async def _claim(self, delivery: Delivery) -> Delivery | None:
        until = self._time.now() + self._policy.lease_s
        claimed = structs.replace(delivery, attempts=delivery.attempts + 1, claimed_until=until)
        try:
            return await self._deliveries.put(claimed)
        except Conflict:  # somebody else was quicker
            return None

    async def _carry(self, webhook: Webhook, delivery: Delivery, secrets: Sequence[Secret]) -> None:
        """Make one delivery that was claimed; where the store goes away meanwhile, its claim runs out by itself."""
        try:
            await self._try(webhook, delivery, secrets)
        except QuorateError as error:
            self._say("blocked", delivery, error.message)
            back = structs.replace(
                delivery, attempts=delivery.attempts - 1, claimed_until=0.0, next=self._time.now() + BLOCKED_S
            )
            with suppress(QuorateError):
                await self._deliveries.put(back)

    def _end(self, key: str, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._busy.pop(key, None)
        self._held.discard(key)
        self._woken.set()  # there is room again

    async def _try(self, webhook: Webhook, delivery: Delivery, secrets: Sequence[Secret]) -> None:
        settled = await self._deliveries.find_settled(delivery)
        if settled is not None and settled.delivery.round >= delivery.round:
            await self._deliveries.drop(delivery)  # whoever settled it died before it was done with it
            return
        if delivery.attempts - delivery.failures > self._policy.crashes + 1:
            await self._give_up(delivery, "whoever sent it died of it, again and again")
            return
        try:
            body = await build_payload(self.runtime.store.log, delivery, webhook)
        except (Conflict, CorruptState) as error:
            await self._give_up(delivery, error.code)
            return
        if body is None:  # its run was deleted, and what is known of it goes too
            await self._deliveries.drop(delivery)
            self._say("dropped", delivery, "its run was deleted")
            return
        if self._time.now() >= delivery.claimed_until:  # we stalled, and somebody else may be at it
            return
        answer = await self._sender.send(webhook, delivery.message, body, secrets=secrets)
        lane = webhook.tenant, webhook.id
        (self._slow.add if answer.took_s > SLOW_S else self._slow.discard)(lane)
        await self._settle(webhook, structs.replace(delivery, status=answer.status, reason=judge(answer)), answer)

    async def _settle(self, webhook: Webhook, delivery: Delivery, answer: Answer) -> None:
        now = self._time.now()
        if answer.is_taken:
            await self._deliveries.settle(delivery, "delivered", now=now)
            self._say("delivered", delivery)
            if await self._health.find(webhook.tenant, webhook.id) is not None:
                await self._health.forget(webhook.tenant, webhook.id)
            return
        failed = structs.replace(delivery, failures=delivery.failures + 1, claimed_until=0.0)
        wait_s = choose_delay(failed, answer, self._policy, random=self._random)
        if wait_s is None:
            await self._give_up(failed, failed.reason)
        else:
            with suppress(Conflict):  # the claim was over, and somebody else is at it
                await self._deliveries.put(structs.replace(failed, next=now + wait_s))
            self._say("failed", delivery, failed.reason)
        health = await self._health.note_failure(webhook.tenant, webhook.id, answer, now=now)
        await self._check_hope(webhook, health, answer, now=now)

    async def _give_up(self, delivery: Delivery, reason: str) -> None:
        ended = structs.replace(delivery, reason=reason, claimed_until=0.0)
        await self._deliveries.settle(ended, "dead", now=self._time.now())
        self._say("dead", delivery, reason)

    async def _check_hope(self, webhook: Webhook, health: Health, answer: Answer, *, now: float) -> None:
        """Switch a webhook off that does not want to be told any more, or has failed for days."""
        if answer.status == GONE:
            why = f"it answered {GONE}: it wants to be told of nothing more"
        elif is_hopeless(health, self._policy, now=now):
            why = f"it failed {health.failures} times in a row, for {(now - health.since) / 86_400:.1f} days"
        else:
            return
        place, audit = f"webhook/{webhook.id}", self.runtime.for_tenant(webhook.tenant).audit

        def switch_off(record: Record) -> Record:
            if not record.webhook.enabled or record.webhook.url != webhook.url:
                return record
            return structs.replace(record, webhook=structs.replace(record.webhook, enabled=False, disabled_why=why))

        before = await self._records.find(webhook.tenant, webhook.id)
        if before is None or not before.webhook.enabled:
            return
        async with noted(audit, "webhook.disable", principal=US, object=place, reason=why):
            await self._records.change(webhook.tenant, webhook.id, switch_off)
        facts = {"tenant": webhook.tenant, "webhook": webhook.id, "failures": health.failures}
        _logger.warning("webhook.disabled", extra=facts)
        self._tell(Carried(what="disabled", webhook=f"{webhook.tenant}/{webhook.id}", reason=why))

    def _say(self, what: What, delivery: Delivery, reason: str = "") -> None:
        place = f"{delivery.tenant}/{delivery.webhook}"
        self._tell(Carried(what=what, webhook=place, delivery=f"{delivery.run}/{delivery.seq}", reason=reason))
