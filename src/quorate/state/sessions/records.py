"""How is a session's record kept, so that of two who change it at once neither undoes the other?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec
from msgspec import structs

from quorate.codec.json import encode
from quorate.errors import Conflict, CorruptState, NotFound
from quorate.ids import check_id
from quorate.ports import Entry, KeyValue
from quorate.state.sessions.session import Session

MAX_TRIES = 50
PAGE = 500
_decode = msgspec.json.Decoder(
    Session
).decode  # its depth was checked when it was kept: to look again takes twice as long


def build_absent(session: str) -> NotFound:
    """Build the error for a session that is not there, or not for whoever asks: in the same words."""
    return NotFound(f"There is no session {session!r}: list them with `quorate sessions list`.", session=session)


def build_changed(record: Session, expected: int) -> Conflict:
    """Build the error for a session that another revision was expected of."""
    return Conflict(
        f"Session {record.id!r} has revision {record.revision}, not {expected}: somebody else changed it. "
        "Look at it again and decide anew.",
        session=record.id,
        revision=record.revision,
    )


class Records:
    """The records of sessions; each is one value."""

    def __init__(self, values: KeyValue) -> None:
        self._values = values

    async def find(self, tenant: str, session: str) -> Session | None:
        """Find a record.

        Raises:
            CorruptState: It does not verify.
        """
        entry = await self._values.get(_key(tenant, session))
        return _read(entry) if entry is not None else None

    async def put(self, record: Session) -> Session:
        """Store a record over the very revision it was read at (0: where there is none), and return it as stored.

        Raises:
            Conflict: Somebody else was quicker.
        """
        body = encode(structs.replace(record, revision=0))
        entry = await self._values.put(_key(record.tenant, record.id), body, if_revision=record.revision)
        return structs.replace(record, revision=entry.revision)

    async def replace(self, record: Session) -> Session:
        """Store a record over whatever is there, such as one that cannot be read."""
        body = encode(structs.replace(record, revision=0))
        entry = await self._values.put(_key(record.tenant, record.id), body)
        return structs.replace(record, revision=entry.revision)

    async def change(
        self, tenant: str, session: str, change: Callable[[Session], Session], *, if_revision: int | None = None
    ) -> Session:
        """Store what `change` makes of a record; it is called again when somebody else was quicker.

        Raises:
            NotFound: There is none.
            Conflict: It has another revision than `if_revision`, or others were quicker too often.
        """
        for _ in range(MAX_TRIES):
            record = await self.find(tenant, session)
            if record is None:
                raise build_absent(session)
            if if_revision is not None and record.revision != if_revision:
                raise build_changed(record, if_revision)
            changed = change(record)
            if changed is record:
                return record
            try:
                return await self.put(changed)
            except Conflict:
                continue
        raise Conflict(f"Session {session!r} was changed by others {MAX_TRIES} times meanwhile: try again.")

    async def delete(self, tenant: str, session: str) -> bool:
        """Forget a record and say whether it was there."""
        return await self._values.delete(_key(tenant, session))

    async def scan(self, tenant: str, *, after: str = "") -> AsyncIterator[tuple[str, Session | None]]:
        """Yield the ids and records of a tenant in order, those behind `after`; `None` for one that cannot be read."""
        prefix = f"session/{check_id(tenant, 'tenant')}/"
        place = prefix + after if after else ""
        while True:
            entries = await self._values.scan(prefix, after=place, limit=PAGE)
            for entry in entries:
                try:
                    yield entry.key.removeprefix(prefix), _read(entry)
                except CorruptState:
                    yield entry.key.removeprefix(prefix), None
            if len(entries) < PAGE:
                return
            place = entries[-1].key


def _key(tenant: str, session: str) -> str:
    return f"session/{check_id(tenant, 'tenant')}/{check_id(session, 'session')}"


def _read(entry: Entry) -> Session:
    try:
        record = _decode(entry.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptState(
            f"The record of a session does not verify: {entry.key} is not valid: {error} `quorate sessions recover` "
            "builds it again."
        ) from error
    return structs.replace(record, revision=entry.revision)
