"""How do events and values become rows of a database, and how is every row verified when it is read?"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

from quorate.codec.json import decode_event, encode
from quorate.errors import CorruptState, InvalidInput, TooLarge
from quorate.events import ATTEMPTS, NOTICES, AnyEvent, get_kind
from quorate.ports import Entry

MAX_BODY_BYTES = 64 << 20
"""The most bytes one event may have; what is larger belongs into an artifact."""

CHANGING = frozenset((*NOTICES, *ATTEMPTS))
"""Events that change more of a run's line than position and time."""

EventRow = tuple[int, str, int, object]
"""The `seq`, version, checksum and body of an event."""

EntryRow = tuple[str, int, float, float | None, int, object]
"""Key, revision, updated, expires, checksum and value."""


def encode_event(run: str, seq: int, event: AnyEvent) -> tuple[AnyEvent, bytes]:
    """Return an event's bytes, and the event as it will be read: what cannot be read must not be recorded.

    Raises:
        InvalidInput: It bears another place, or cannot be written.
        TooLarge: It has too many bytes.
    """
    if event.run != run or event.seq != seq:
        raise InvalidInput(
            f"event {get_kind(event)!r} bears run {event.run!r} seq {event.seq}, but is appended as run {run!r} "
            f"seq {seq}."
        )
    try:
        body = encode(event)
        # JSON has no NaN and no lone surrogates, and a struct may be built with fields of wrong types.
        readable = decode_event(body)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError, CorruptState) as error:
        raise InvalidInput(
            f"event {get_kind(event)!r} of run {run!r} with key {event.key!r} cannot be written as JSON: {error}.",
            run=run,
        ) from error
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(
            f"event {get_kind(event)!r} of run {run!r} has {len(body)} bytes; at most {MAX_BODY_BYTES} are kept. "
            "Save it as an artifact and record the handle.",
            run=run,
        )
    return readable, body


def verify_events(run: str, rows: Sequence[EventRow], *, last: int, after: int, limit: int | None) -> list[AnyEvent]:
    """Build events from the rows of a run in their order, each of which is whole and none of which is missing.

    Raises:
        CorruptState: One is not; the message says which.
    """
    expected = range(after + 1, last + 1)[:limit]
    events = [_verify_event(run, seq, row) for seq, row in zip(expected, rows, strict=False)]
    if len(rows) != len(expected):
        seq = after + min(len(rows), len(expected)) + 1
        raise _build_corrupt(run, seq, f"is missing: {last} events were written")
    return events


def _verify_event(run: str, expected: int, row: EventRow) -> AnyEvent:
    seq, version, checksum, body = row
    if seq != expected:
        raise _build_corrupt(run, expected, "is missing")
    if not isinstance(body, bytes) or crc32(body) != checksum:
        raise _build_corrupt(run, seq, "has another checksum than when it was written")
    event = decode_event(body, where=f"run {run!r} seq {seq}", version=version)
    if event.run != run or event.seq != seq:
        raise _build_corrupt(run, seq, f"holds the event of run {event.run!r} seq {event.seq}")
    return event


def _build_corrupt(run: str, seq: int, what: str) -> CorruptState:
    return CorruptState(
        f"run {run!r} seq {seq} {what}. The run is parked, others are unharmed; restore the row from a backup.",
        run=run,
        seq=seq,
    )


def build_corrupt_line(run: str, what: str) -> CorruptState:
    """Build the error for a row of `runs` that does not verify."""
    return CorruptState(
        f"the line of run {run!r} in table `runs` does not verify: {what}. Restore it from a backup.", run=run
    )


def sum_entry(key: str, value: bytes) -> int:
    """Sum up a value with its key, so that a value at another key is found out, too."""
    return crc32(value, crc32(key.encode()))


def verify_entry(row: EntryRow) -> Entry:
    """Build an entry from its row.

    Raises:
        CorruptState: It is not what was written.
    """
    key, revision, updated, expires, checksum, value = row
    if not isinstance(value, bytes) or sum_entry(key, value) != checksum:
        raise CorruptState(
            f"the value of key {key!r} has another checksum than when it was written. Others are unharmed; restore "
            "it from a backup, or delete it.",
            key=key,
        )
    return Entry(key=key, value=value, revision=revision, updated=updated, expires=expires)
