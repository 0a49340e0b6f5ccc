"""What is a webhook told of an event: facts by default, and what was said only where that was asked for?"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import cast

import msgspec

from quorate.errors import Conflict
from quorate.events import AnyEvent, RunCreated, get_kind, get_status
from quorate.ports import Log
from quorate.runtime.webhooks.delivery import Delivery
from quorate.runtime.webhooks.webhook import PING, Webhook

MOST_BYTES = 20_000
"""The most a webhook carries, as the Standard Webhooks specification proposes; what was said is left out above it."""
LONGEST_TEXT = 256
LAST_TIME = 253_402_300_799.0
"""The last second of the year 9999."""
FACTS: Mapping[str, tuple[str, ...]] = {
    "run.created": ("deadline", "previous"),
    "run.started": (),
    "run.resumed": ("number",),
    "run.waiting": ("reason", "keys", "wakes", "usage", "cost_usd"),
    "run.completed": ("usage", "cost_usd"),
    "run.failed": ("code", "usage", "cost_usd"),
    "run.cancelled": ("usage", "cost_usd"),
    "run.incomplete": ("limit", "usage", "cost_usd"),
    "approval.decided": ("approved",),
    "cancel.requested": (),
    "input.given": (),
}
"""Which fields of an event are facts; in all others may be what people, tools or models said."""
MOST_KEYS = 32
_encode = msgspec.json.Encoder(order="deterministic").encode


async def build_payload(log: Log, delivery: Delivery, webhook: Webhook) -> bytes | None:
    """Build what is sent for a delivery, the same each time; `None` when its run was deleted.

    Raises:
        CorruptState: The event does not verify.
        Unavailable: The log cannot be read.
    """
    found = await log.read(delivery.run, after=delivery.seq - 1, limit=1)
    first = found if delivery.seq == 1 else await log.read(delivery.run, limit=1)
    if not found or not first or found[0].seq != delivery.seq:
        return None
    created, event = first[0], found[0]
    if not isinstance(created, RunCreated) or created.tenant != delivery.tenant:
        return None
    if get_kind(event) != delivery.kind:
        raise Conflict(f"Event {delivery.seq} of run {delivery.run!r} is another one than the outbox said.")
    return encode_payload(event, created, content=webhook.content)


def encode_payload(event: AnyEvent, created: RunCreated, *, content: bool) -> bytes:
    """Write an event of a run as the body of a webhook.

    Args:
        event: What happened.
        created: How the run began.
        content: Whether the whole event is sent, and not its facts alone.
    """
    kind = get_kind(event)
    # Every field that is sent is named here or in `FACTS`: a new field of an event stays here until somebody lists it.
    data: dict[str, object] = {"run": event.run, "seq": event.seq, "tenant": created.tenant, "agent": created.agent}
    if created.session is not None:
        data["session"] = created.session
    status = get_status(event)
    if status is not None:
        data["status"] = status
    facts = cast("dict[str, object]", msgspec.to_builtins({name: getattr(event, name) for name in FACTS.get(kind, ())}))
    data.update({name: _bound(value) for name, value in facts.items() if value not in (None, "", (), [])})
    whole = {"type": kind, "timestamp": write_time(event.time), "data": data}
    body = _encode(whole)
    if not content:
        return body
    said = msgspec.json.encode(event)
    if len(body) + len(said) + len(b',"event":') > MOST_BYTES:
        data["event_bytes"] = len(said)  # it is read from the run's log, by `run` and `seq`
    else:
        data["event"] = msgspec.Raw(said)
    return _encode(whole)


def encode_ping(webhook: Webhook, *, now: float) -> bytes:
    """Write what tries a webhook out."""
    return _encode({"type": PING, "timestamp": write_time(now), "data": {"webhook": webhook.id}})


def write_time(seconds: float) -> str:
    """Write a moment as ISO 8601 in UTC; one that no calendar has becomes the nearest."""
    known = min(max(seconds, 0.0), LAST_TIME) if not math.isnan(seconds) else 0.0
    moment = datetime.datetime.fromtimestamp(known, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bound(value: object) -> object:
    """Cut what has no bound of its own."""
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    if isinstance(value, tuple):
        return [_bound(item) for item in cast("tuple[object, ...]", value)[:MOST_KEYS]]
    return value
