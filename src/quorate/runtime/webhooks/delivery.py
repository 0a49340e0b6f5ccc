"""How is it kept that a webhook is to be told of an event, and what became of that?"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct, structs

from quorate.codec.json import decode, encode
from quorate.errors import Conflict, CorruptState, InvalidInput, TooLarge
from quorate.events import AnyEvent, get_kind
from quorate.ports import Entry, KeyValue, Log
from quorate.state.webhooks import DONE, DUE, build_delivery_key, build_lane, find_event, find_lane

Outcome = Literal["delivered", "dead"]
"""What became of a delivery: it was taken, or it was given up."""
Status = Literal["pending", "delivered", "dead"]
PAGE = 200
DAY_S = 86_400.0
KEPT_S: dict[Outcome, float] = {"delivered": 3 * DAY_S, "dead": 30 * DAY_S}
"""How long it is kept what became of a delivery."""
MOST = 10**12
Count = Annotated[int, Meta(ge=0, lt=MOST)]


class Delivery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a webhook is to be told of an event; what the event says is in the run's log alone."""

    tenant: str
    webhook: str
    run: str
    seq: Count
    kind: str
    round: Count = 1
    """Grows each time that somebody wants it to be made again."""
    attempts: Count = 0
    """How often it was begun, in this round."""
    failures: Count = 0
    """How often it failed, in this round; what nobody lived to tell of is not among them."""
    next: float = 0.0
    """From when on it may be tried, by the store's time."""
    claimed_until: float = 0.0
    """Until when somebody is at it, by the store's time."""
    reason: str = ""
    """Why it failed the last time."""
    status: int = 0
    """What the endpoint answered the last time; 0 for nothing."""
    created: float = 0.0
    revision: int = 0

    @property
    def key(self) -> str:
        """Where it is kept while it is to be made."""
        return build_delivery_key(DUE, self.tenant, self.webhook, self.run, self.seq)

    @property
    def done_key(self) -> str:
        """Where it is kept what became of it."""
        return build_delivery_key(DONE, self.tenant, self.webhook, self.run, self.seq)

    @property
    def message(self) -> str:
        """Its id for the receiver: the same each time that it is sent."""
        return build_message_id(self.webhook, self.run, self.seq)


class Settled(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a delivery."""

    delivery: Delivery
    outcome: Outcome
    finished: float
    revision: int = 0


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """A delivery as it is shown."""

    id: str
    """`RUN/SEQ`, by which it is made again."""
    message: str
    """The `webhook-id` that the receiver sees."""
    webhook: str
    kind: str
    status: Status
    attempts: int
    reason: str
    answered: int
    """The last status that the endpoint answered; 0 for none."""
    created: float
    next: float | None = None
    finished: float | None = None


def build_message_id(webhook: str, run: str, seq: int) -> str:
    """Build the id that the receiver tells deliveries apart by; it has no dot, as what is signed is parted by dots."""
    digest = hashlib.sha256(f"{webhook}\0{run}\0{seq}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"msg_{digest[:32]}"


def build_row(found: Delivery | Settled) -> DeliveryRow:
    """Show a delivery."""
    delivery = found if isinstance(found, Delivery) else found.delivery
    is_pending = isinstance(found, Delivery)
    return DeliveryRow(
        id=f"{delivery.run}/{delivery.seq}",
        message=delivery.message,
        webhook=delivery.webhook,
        kind=delivery.kind,
        status="pending" if isinstance(found, Delivery) else found.outcome,
        attempts=delivery.attempts,
        reason=delivery.reason,
        answered=delivery.status,
        created=delivery.created,
        next=delivery.next if is_pending else None,
        finished=None if isinstance(found, Delivery) else found.finished,
    )


Found = TypeVar("Found", Delivery, Settled)


class Deliveries:
    """The deliveries of a store; each is one value, under one key while it is to be made and another one after."""

    def __init__(self, values: KeyValue) -> None:
        self._values = values

    async def add(self, delivery: Delivery) -> bool:
        """Keep that a delivery is to be made, unless it is kept already; say whether it was not."""
        try:
            await self._values.put(delivery.key, encode(delivery), if_revision=0)
        except Conflict:
            return False
        return True

    async def put(self, delivery: Delivery) -> Delivery:
        """Store a delivery over the very revision it was read at.

        Raises:
            Conflict: Somebody else was quicker.
        """
        body = encode(structs.replace(delivery, revision=0))
        entry = await self._values.put(delivery.key, body, if_revision=delivery.revision)
        return structs.replace(delivery, revision=entry.revision)

    async def drop(self, delivery: Delivery) -> None:
        """Forget that a delivery is to be made, as it was read; one that changed since stays."""
        try:
            await self._values.delete(delivery.key, if_revision=delivery.revision)
        except Conflict:
            return

    async def settle(self, delivery: Delivery, outcome: Outcome, *, now: float) -> None:
        """Write down what became of a delivery, and then forget that it is to be made.

        A delivery that was given up does not stand in the way of one that was made meanwhile, and one that is kept no
        more leaves nothing: somebody else settled it, or its run was erased.
        """
        if await self.find(delivery) is None:
            return
        settled = Settled(delivery=structs.replace(delivery, revision=0), outcome=outcome, finished=now)
        revision = None
        if outcome == "dead":
            entry = await self._get_done(delivery.done_key)
            before = _read_if_sound(entry, read_settled) if entry is not None else None
            if before is not None and before.delivery.round >= delivery.round:
                await self.drop(delivery)
                return
            revision = entry.revision if entry is not None else 0
        try:
            await self._values.put(delivery.done_key, encode(settled), if_revision=revision, ttl_s=KEPT_S[outcome])
        except Conflict:
            return  # somebody else settles it at this moment
        await self.drop(delivery)

    async def find(self, delivery: Delivery) -> Delivery | None:
        """Find a delivery that is to be made, by what it is about; a row that does not verify is none."""
        try:
            entry = await self._values.get(delivery.key)
        except CorruptState:  # whoever looks for what is due mends it
            return None
        return _read_if_sound(entry, read_delivery) if entry is not None else None

    async def find_settled(self, delivery: Delivery) -> Settled | None:
        """Find what became of a delivery; a row that does not verify says nothing."""
        entry = await self._get_done(delivery.done_key)
        return _read_if_sound(entry, read_settled) if entry is not None else None

    async def mend(self, key: str, log: Log) -> None:
        """Write a delivery anew whose row is damaged: key and log say what it was, but for how often it was tried."""
        tenant, webhook = find_lane(key)
        run, seq = find_event(key)
        found = list[AnyEvent]()
        if 0 < seq < MOST:
            with suppress(CorruptState):
                found = await log.read(run, after=seq - 1, limit=1)
        for event in found:
            again = Delivery(tenant=tenant, webhook=webhook, run=run, seq=seq, kind=get_kind(event))
            if again.key == key:
                await self._values.put(key, encode(again))
                return
        await self._values.delete(key)

    async def _get_done(self, key: str) -> Entry | None:
        try:
            return await self._values.get(key)
        except CorruptState:  # it is damaged where it is kept, says nothing, and stands in the way
            await self._values.delete(key)
            return None

    async def scan(self, tenant: str, webhook: str, *, after: str = "") -> AsyncIterator[Delivery]:
        """Yield the deliveries of a webhook that are to be made, behind a key, as far as they verify."""
        async for entry in self._scan(build_lane(DUE, tenant, webhook), after):
            if (found := _read_if_sound(entry, read_delivery)) is not None:
                yield found

    async def scan_settled(self, tenant: str, webhook: str, *, after: str = "") -> AsyncIterator[Settled]:
        """Yield what became of deliveries of a webhook, behind a key, as far as that verifies."""
        async for entry in self._scan(build_lane(DONE, tenant, webhook), after):
            if (found := _read_if_sound(entry, read_settled)) is not None:
                yield found

    async def clear(self, tenant: str, webhook: str) -> None:
        """Forget all deliveries of a webhook."""
        for room in (DUE, DONE):
            async for entry in self._scan(build_lane(room, tenant, webhook)):
                await self._values.delete(entry.key)

    async def _scan(self, prefix: str, place: str = "") -> AsyncIterator[Entry]:
        while entries := await self._values.scan(prefix, after=place, limit=PAGE):
            for entry in entries:
                yield entry
            place = entries[-1].key


def read_delivery(entry: Entry) -> Delivery:
    """Read a delivery that is to be made.

    Raises:
        CorruptState: It does not verify, or is another one than its key says.
    """
    found = structs.replace(_read(entry, Delivery), revision=entry.revision)
    return _check_place(entry, found, found.key)


def read_settled(entry: Entry) -> Settled:
    """Read what became of a delivery.

    Raises:
        CorruptState: It does not verify, or is another one than its key says.
    """
    found = structs.replace(_read(entry, Settled), revision=entry.revision)
    return _check_place(entry, found, found.delivery.done_key)


def _read_if_sound(entry: Entry, read: Callable[[Entry], Found]) -> Found | None:
    """Read a row; `None` where it does not verify, since one that is broken harms no other."""
    try:
        return read(entry)
    except CorruptState:
        return None


def _check_place(entry: Entry, found: Found, key: str) -> Found:
    # Whose event goes where is read from the key: a row of one webhook is never sent to another one.
    if key != entry.key:
        raise CorruptState(f"The delivery {entry.key!r} does not verify: it is that of {key!r}.")
    return found


def _read(entry: Entry, kind: type[Found]) -> Found:
    try:
        return decode(entry.value, kind, what=entry.key)
    except (InvalidInput, TooLarge) as error:
        raise CorruptState(f"The delivery {entry.key!r} does not verify: {error.message}") from error
