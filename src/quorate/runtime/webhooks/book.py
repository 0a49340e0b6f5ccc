"""What can be done with webhooks: add, show, list, rotate, enable, disable, remove, try out, deliver again?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress

from msgspec import Struct, structs

from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound
from quorate.ids import new_id
from quorate.runtime.acts import noted
from quorate.runtime.runtime import Runtime
from quorate.runtime.schedules.store_time import StoreTime
from quorate.runtime.webhooks.backoff import POLICY, Answer, Health, WebhookPolicy
from quorate.runtime.webhooks.delivery import (
    Deliveries,
    Delivery,
    DeliveryRow,
    Settled,
    Status,
    build_message_id,
    build_row,
)
from quorate.runtime.webhooks.health import HealthBook
from quorate.runtime.webhooks.payload import encode_ping
from quorate.runtime.webhooks.records import Record, Records, Safe
from quorate.runtime.webhooks.send import Sender
from quorate.runtime.webhooks.webhook import Webhook, check_allowed, check_webhook
from quorate.security.secrets import Secret
from quorate.security.webhooks import new_webhook_secret
from quorate.state.webhooks import DONE, DUE, build_delivery_key

MOST_WEBHOOKS = 100
OVERLAP_S = 86_400.0
"""How long the secret that was replaced signs beside the new one."""
LONGEST_OVERLAP_S = 30 * 86_400.0


class Shown(Struct, frozen=True, kw_only=True):
    """A webhook and how it does; its secrets are not in it."""

    webhook: Webhook
    is_sealed: bool
    """Whether its secrets are encrypted where they are kept."""
    secrets: int
    """How many of them sign at the moment."""
    health: Health | None = None
    """How it fails, when its last answer was a failure."""
    revision: int = 0
    """Grows with every change of it."""


class Edit(Struct, frozen=True, kw_only=True):
    """What is to be different about a webhook; what is not given stays."""

    url: str | None = None
    events: tuple[str, ...] | None = None
    agents: tuple[str, ...] | None = None
    content: bool | None = None
    description: str | None = None


class Webhooks:
    """The webhooks of a runtime's tenant; a `WebhookCourier` of any process delivers them."""

    def __init__(self, runtime: Runtime, *, policy: WebhookPolicy = POLICY) -> None:
        values = runtime.store.values
        self._runtime = runtime
        self._allow = check_allowed(runtime.settings.webhooks.allow)
        self._policy = policy
        self._records = Records(values)
        self._deliveries = Deliveries(values)
        self._health = HealthBook(values, policy)
        self._safe = Safe.of(runtime.settings)
        self._time = StoreTime(values, clock=runtime.clock)

    async def add(self, webhook: Webhook, *, by: str = "local") -> tuple[Webhook, Secret]:
        """Keep a webhook; its tenant is the runtime's. Its secret is returned here, and nowhere again.

        Args:
            webhook: Who is to be told of what.
            by: Who adds it.

        Raises:
            Conflict: There is one of that id, or webhooks are switched off in the settings.
            InvalidInput: It cannot be kept; the message says why.
            Forbidden: It is at an address that may not be reached.
        """
        clock, tenant = self._runtime.clock, self._runtime.tenant
        webhook = structs.replace(webhook, tenant=tenant, created=clock.now(), principal=by, disabled_why="")
        async with noted(
            self._runtime.audit, "webhook.add", principal=by, object=f"webhook/{webhook.id[:63]}"
        ) as facts:
            self._check_enabled()
            check_webhook(webhook, allow=self._allow)
            facts |= {"events": " ".join(webhook.events)[:256], "content": str(webhook.content).lower()}
            if len([one async for one in self._records.scan(tenant)]) >= MOST_WEBHOOKS:
                raise Conflict(f"There are {MOST_WEBHOOKS} webhooks already, and no more are kept: remove one.")
            secret = new_webhook_secret()
            try:
                await self._records.put(Record(webhook=webhook, secrets=(self._safe.close(webhook, secret),)))
            except Conflict as error:
                raise Conflict(
                    f"There is a webhook {webhook.id!r} already: choose another id, or remove it first.",
                    webhook=webhook.id,
                ) from error
            await self._health.forget(tenant, webhook.id)
        return webhook, secret

    async def show(self, webhook: str) -> Shown:
        """Return a webhook and how it does.

        Raises:
            NotFound: There is none of that id.
            CorruptState: It does not verify.
        """
        return await self._show(await self._records.get(self._runtime.tenant, webhook))

    async def list_webhooks(self) -> list[Shown | CorruptState]:
        """List all webhooks by id, and for those that do not verify, why."""
        found = self._records.scan(self._runtime.tenant)
        return [one if isinstance(one, CorruptState) else await self._show(one) async for one in found]

    async def change(self, webhook: str, edit: Edit, *, expected: int | None = None, by: str = "local") -> Shown:
        """Change where a webhook is, or what it is told of; its secret stays, and so do deliveries under way.

        Args:
            webhook: Which one.
            edit: What is to be different.
            expected: The revision that is meant; any when not given.
            by: Who wants it.

        Raises:
            NotFound: There is none of that id.
            Conflict: It is another revision than `expected`.
            InvalidInput: It cannot be kept so; the message says why.
            Forbidden: It is at an address that may not be reached.
        """
        given = {name: value for name in edit.__struct_fields__ if (value := getattr(edit, name)) is not None}

        def change(record: Record) -> Record:
            _check_revision(record, expected)
            changed = structs.replace(record.webhook, **given)
            check_webhook(changed, allow=self._allow)
            return record if changed == record.webhook else structs.replace(record, webhook=changed)

        async with self._noted("change", webhook, by=by) as facts:
            facts["fields"] = " ".join(sorted(given))
            record = await self._records.change(self._runtime.tenant, webhook, change)
            if edit.url is not None:
                await self._health.forget(record.webhook.tenant, webhook)
        return await self._show(record)

    async def rotate(self, webhook: str, *, overlap_s: float = OVERLAP_S, by: str = "local") -> Secret:
        """Give a webhook a new secret and return it; for a while, the one before signs too.

        Raises:
            NotFound: There is none of that id.
            InvalidInput: The time is not one.
        """
        if not 0 <= overlap_s <= LONGEST_OVERLAP_S:
            raise InvalidInput(f"`overlap_s` is {overlap_s!r}; it is 0 to {LONGEST_OVERLAP_S:.0f} seconds.")
        secret = new_webhook_secret()
        until = self._runtime.clock.now() + overlap_s

        def change(record: Record) -> Record:
            kept = self._safe.close(record.webhook, secret)
            before = [structs.replace(one, until=until) for one in record.secrets[:1] if overlap_s]
            return structs.replace(record, secrets=(kept, *before))

        async with self._noted("rotate", webhook, by=by):
            await self._records.change(self._runtime.tenant, webhook, change)
        return secret

    async def enable(self, webhook: str, *, by: str = "local") -> Webhook:
        """Tell it of events again, from now on; an endpoint that failed is tried at once.

        Raises:
            NotFound: There is none of that id.
            Conflict: Webhooks are switched off in the settings.
        """
        async with self._noted("enable", webhook, by=by):
            await self._records.get(self._runtime.tenant, webhook)
            self._check_enabled()
            record = await self._switch(webhook, is_on=True)
            await self._health.forget(record.webhook.tenant, webhook)
        return record.webhook

    async def disable(self, webhook: str, *, by: str = "local") -> Webhook:
        """Tell it of nothing more; deliveries that are to be made are given up, and can be made again later.

        Raises:
            NotFound: There is none of that id.
        """
        async with self._noted("disable", webhook, by=by):
            return (await self._switch(webhook, is_on=False)).webhook

    async def remove(self, webhook: str, *, expected: int | None = None, by: str = "local") -> None:
        """Forget a webhook, its secrets, and all its deliveries.

        Raises:
            NotFound: There is none of that id.
            Conflict: It is another revision than `expected`.
        """
        tenant = self._runtime.tenant
        async with self._noted("remove", webhook, by=by):
            if not await self._records.delete(tenant, webhook, expected=expected):
                await self._records.get(tenant, webhook)
            await self._deliveries.clear(tenant, webhook)
            await self._health.forget(tenant, webhook)

    async def test(self, webhook: str, *, by: str = "local") -> Answer:
        """Send a signed `webhook.ping` at once, whether it is switched on or off, and return how it was answered.

        Raises:
            NotFound: There is none of that id.
            CorruptState: Its secret cannot be opened.
        """
        clock = self._runtime.clock
        async with self._noted("test", webhook, by=by) as facts:
            record = await self._records.get(self._runtime.tenant, webhook)
            secrets = self._safe.open_all(record, now=clock.now())
            sender = Sender(allow=self._allow, timeout_s=self._policy.timeout_s, clock=clock)
            try:
                body = encode_ping(record.webhook, now=clock.now())
                message = build_message_id(webhook, new_id("ping"), 0)
                answer = await sender.send(record.webhook, message, body, secrets=secrets)
            finally:
                await sender.aclose()
            facts["answer"] = str(answer.status) if answer.status else answer.reason
        return answer

    async def list_deliveries(
        self, webhook: str, *, status: Status | None = None, after: str = "", limit: int = 100
    ) -> list[DeliveryRow]:
        """List deliveries of a webhook, those that are still to be made first; what is old is not kept.

        Args:
            webhook: Whose.
            status: Only those that stand so.
            after: Only those behind the last one of a page, as `STATUS/RUN/SEQ`.
            limit: How many at most.

        Raises:
            NotFound: There is none of that id.
            InvalidInput: There is no such place.
        """
        tenant = self._runtime.tenant
        await self._records.get(tenant, webhook)
        rows = list[DeliveryRow]()
        room, place = _read_place(tenant, webhook, after) if after else (DUE, "")
        if status in (None, "pending") and room == DUE:
            async for delivery in self._deliveries.scan(tenant, webhook, after=place):
                rows.append(build_row(delivery))
                if len(rows) >= limit:
                    return rows
        if status != "pending":
            async for settled in self._deliveries.scan_settled(tenant, webhook, after=place if room == DONE else ""):
                if status in (None, settled.outcome):
                    rows.append(build_row(settled))
                if len(rows) >= limit:
                    return rows
        return rows

    async def redeliver(self, webhook: str, delivery: str, *, by: str = "local") -> DeliveryRow:
        """Make a delivery again, or at once where it waits to be tried again; its id for the receiver stays the same.

        Args:
            webhook: Whose.
            delivery: `RUN/SEQ`, or the `webhook-id` that the receiver saw.
            by: Who wants it.

        Raises:
            NotFound: There is no such webhook, or nothing is known of such a delivery.
            Conflict: The webhook is switched off.
        """
        async with self._noted("redeliver", webhook, by=by) as facts:
            await self._check_on(webhook)
            found = await self._find(webhook, delivery)
            facts["delivery"] = delivery[:256]
            again = await self._again(found)
            await self._health.forget(self._runtime.tenant, webhook)
        return build_row(again)

    async def redeliver_dead(self, webhook: str, *, by: str = "local") -> int:
        """Make all deliveries again that were given up, and return how many that are.

        Raises:
            NotFound: There is no such webhook.
            Conflict: The webhook is switched off.
        """
        count = 0
        async with self._noted("redeliver", webhook, by=by) as facts:
            await self._check_on(webhook)
            async for settled in self._deliveries.scan_settled(self._runtime.tenant, webhook):
                if settled.outcome == "dead":
                    await self._again(settled)
                    count += 1
            facts["count"] = str(count)
            await self._health.forget(self._runtime.tenant, webhook)
        return count

    async def _again(self, found: Delivery | Settled) -> Delivery:
        if isinstance(found, Delivery):
            with suppress(Conflict):  # it is being made at this moment
                return await self._deliveries.put(structs.replace(found, next=0.0, failures=0, attempts=0))
            return found
        before = found.delivery
        again = Delivery(
            tenant=before.tenant,
            webhook=before.webhook,
            run=before.run,
            seq=before.seq,
            kind=before.kind,
            round=before.round + 1,
            created=self._runtime.clock.now(),
        )
        await self._deliveries.add(again)
        return again

    async def _find(self, webhook: str, delivery: str) -> Delivery | Settled:
        """Find a delivery by what it is about, or by the id that the receiver saw; the one to be made first."""
        run, _, number = delivery.rpartition("/")
        if run and number.isascii() and number.isdigit() and len(number) < 12:
            sought = Delivery(tenant=self._runtime.tenant, webhook=webhook, run=run, seq=int(number), kind="")
            found = await self._deliveries.find(sought) or await self._deliveries.find_settled(sought)
            if found is not None:
                return found
        else:
            async for one in self._scan_all(webhook):
                if (one if isinstance(one, Delivery) else one.delivery).message == delivery:
                    return one
        raise NotFound(
            f"Webhook {webhook!r} has no delivery {delivery!r}, or it is so old that nothing is known of it: list them "
            f"with `quorate webhooks deliveries {webhook}`.",
            webhook=webhook,
        )

    async def _scan_all(self, webhook: str) -> AsyncIterator[Delivery | Settled]:
        async for delivery in self._deliveries.scan(self._runtime.tenant, webhook):
            yield delivery
        async for settled in self._deliveries.scan_settled(self._runtime.tenant, webhook):
            yield settled

    async def _switch(self, webhook: str, *, is_on: bool) -> Record:
        def change(record: Record) -> Record:
            if record.webhook.enabled == is_on and not record.webhook.disabled_why:
                return record
            return structs.replace(record, webhook=structs.replace(record.webhook, enabled=is_on, disabled_why=""))

        return await self._records.change(self._runtime.tenant, webhook, change)

    async def _check_on(self, webhook: str) -> None:
        record = await self._records.get(self._runtime.tenant, webhook)
        if not record.webhook.enabled:
            raise Conflict(
                f"Webhook {webhook!r} is switched off: switch it on first, with `quorate webhooks enable {webhook}`.",
                webhook=webhook,
            )

    def _check_enabled(self) -> None:
        if not self._runtime.settings.webhooks.enabled:
            raise Conflict(
                "Webhooks are switched off: set `webhooks.enabled = true` for all processes of this database, so that "
                "what happens is kept for them."
            )

    async def _show(self, record: Record) -> Shown:
        now, webhook = self._runtime.clock.now(), record.webhook
        signing = sum(kept.until is None or kept.until > now for kept in record.secrets)
        health = await self._health.find(webhook.tenant, webhook.id)
        return Shown(
            webhook=webhook, is_sealed=record.is_sealed, secrets=signing, health=health, revision=record.revision
        )

    def _noted(self, act: str, webhook: str, *, by: str) -> AbstractAsyncContextManager[dict[str, str]]:
        return noted(self._runtime.audit, f"webhook.{act}", principal=by, object=f"webhook/{webhook[:63]}")


def _check_revision(record: Record, expected: int | None) -> None:
    if expected not in (None, record.revision):
        webhook = record.webhook.id
        raise Conflict(f"Webhook {webhook!r} was changed since it was read: read it again.", webhook=webhook)


def _read_place(tenant: str, webhook: str, after: str) -> tuple[str, str]:
    """Read behind which delivery a page begins: the room that it was in, and its key there."""
    status, _, delivery = after.partition("/")
    run, _, number = delivery.rpartition("/")
    if not run or not number.isascii() or not number.isdigit() or len(number) > 12:
        raise InvalidInput(f"{after[:80]!r} is no place in a list of deliveries: use what the page before said.")
    room = DUE if status == "pending" else DONE
    return room, build_delivery_key(room, tenant, webhook, run, int(number))
