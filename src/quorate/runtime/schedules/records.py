"""How is it kept what a schedule is, which of its moments are decided, and which one is being submitted?"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from itertools import islice
from typing import Literal

from msgspec import Struct, structs

from quorate.codec.json import decode, encode
from quorate.errors import CorruptState, InvalidInput
from quorate.ids import check_id
from quorate.ports import Entry, KeyValue
from quorate.runtime.schedules.schedule import Schedule, Work, list_moments

Standing = Literal["active", "paused", "over"]
PREFIX = "schedule/"
PAGE = 500


class Firing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a moment was decided to be submitted, and nobody has said yet that it was."""

    moment: float
    claimed: float
    """When, by the store's time."""
    work: Work
    """What was to be done then: whoever goes on with it submits the same, whatever the schedule says by now."""
    principal: str = "local"
    payer: str = ""


class Fired(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the last moment that was submitted."""

    moment: float
    time: float
    """When it was, by the store's time."""
    run: str = ""
    refused: str = ""
    """Why there is no run."""


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule and how far it is."""

    schedule: Schedule
    id: str
    """Another one when a schedule was deleted and made again, so that the moments of the two are told apart."""
    decided: float
    """Up to which moment it is decided what becomes of it; it only grows."""
    next: float | None = None
    """The first moment behind that; `None` when there is none any more."""
    firing: Firing | None = None
    last: Fired | None = None
    fired: int = 0
    """How many moments were submitted."""
    missed: int = 0
    """How many moments, at least, were passed over because nobody was there in time."""
    overlapped: int = 0
    """How many moments were passed over because the run before was under way."""
    revision: int = 0

    @property
    def key(self) -> str:
        """Where it is kept."""
        return build_key(self.schedule.tenant, self.schedule.name)

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.schedule.tenant}/{self.schedule.name}"


def list_next(record: Record, *, now: float, count: int) -> list[float]:
    """List the next moments as they would come if nothing was late; none for a schedule that is paused.

    It reads files, so a program that serves others does it in a thread.
    """
    if record.schedule.paused or record.next is None:
        return []
    return list(islice(list_moments(record.schedule, after=max(record.decided, now)), count))


def get_standing(record: Record) -> Standing:
    """Say in one word how a schedule stands."""
    if record.schedule.paused:
        return "paused"
    return "active" if record.next is not None else "over"


def build_key(tenant: str, name: str) -> str:
    """Return where a schedule is kept.

    Raises:
        InvalidInput: One of the names is not one.
    """
    return f"{PREFIX}{check_id(tenant, 'tenant')}/{check_id(name, 'schedule')}"


def build_submission_key(record: Record, moment: float) -> str:
    """Return the idempotency key of a moment: it is one run, whoever submits it."""
    return f"schedule/{record.schedule.name}/{record.id}/{moment:.3f}"


def build_labels(record: Record, firing: Firing) -> dict[str, str]:
    """Return the labels of a moment's run."""
    moment = datetime.datetime.fromtimestamp(firing.moment, datetime.UTC)
    ours = {"schedule": record.schedule.name, "schedule.moment": moment.isoformat().replace("+00:00", "Z")}
    return {**firing.work.labels, **ours}


class Records:
    """The schedules of a store; each is one value."""

    def __init__(self, values: KeyValue) -> None:
        self._values = values

    async def find(self, tenant: str, name: str) -> Record | None:
        """Find a schedule.

        Raises:
            CorruptState: It does not verify.
        """
        entry = await self._values.get(build_key(tenant, name))
        return _read(entry) if entry is not None else None

    async def put(self, record: Record) -> tuple[Record, float]:
        """Store a record over the very revision it was read at (0: where there is none).

        Returns the record as it is stored, and the store's time.

        Raises:
            Conflict: Somebody else was quicker.
        """
        body = encode(structs.replace(record, revision=0))
        entry = await self._values.put(record.key, body, if_revision=record.revision)
        return structs.replace(record, revision=entry.revision), entry.updated

    async def delete(self, tenant: str, name: str, *, expected: int | None = None) -> bool:
        """Forget a schedule and say whether it was there.

        Raises:
            Conflict: It is another revision than `expected`.
        """
        return await self._values.delete(build_key(tenant, name), if_revision=expected)

    async def scan(
        self, tenant: str | None = None, *, after: str = ""
    ) -> AsyncIterator[tuple[str, Record | CorruptState]]:
        """Yield `tenant/name` of the schedules of a tenant, or of all, with their records or why there is none.

        Args:
            tenant: Whose; everybody's when not given.
            after: Only those behind this name of the tenant's.
        """
        prefix = PREFIX if tenant is None else f"{PREFIX}{check_id(tenant, 'tenant')}/"
        place = f"{prefix}{check_id(after, 'schedule')}" if after else ""
        while True:
            entries = await self._values.scan(prefix, after=place, limit=PAGE)
            for entry in entries:
                label = entry.key.removeprefix(PREFIX)
                try:
                    yield label, _read(entry)
                except CorruptState as error:
                    yield label, error
            if len(entries) < PAGE:
                return
            place = entries[-1].key


def _read(entry: Entry) -> Record:
    try:
        record = decode(entry.value, Record, what=entry.key)
    except InvalidInput as error:
        name = entry.key.rpartition("/")[2]
        raise CorruptState(
            f"Schedule {name!r} does not verify: {error.message} Delete it with `quorate schedules delete {name}`, and "
            "add it again."
        ) from error
    return structs.replace(record, revision=entry.revision)
