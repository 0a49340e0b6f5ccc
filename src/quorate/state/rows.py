"""How is one stored value read and written, so that nobody writes over what they have not seen?"""

from __future__ import annotations

import asyncio
import inspect
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import cast
from weakref import WeakValueDictionary

from msgspec import Struct

from quorate.clock import Clock
from quorate.errors import Conflict, InvalidInput, TooLarge
from quorate.ports import Entry, KeyValue, StateEntry
from quorate.state.leaks import is_like_key
from quorate.state.places import LAYER, ScopeRef, build_key, build_prefix, check_name, check_prefix
from quorate.state.plain import Rules, to_plain
from quorate.state.schemas import ConflictPolicy, Envelope, Schemas, check_not_newer, open_envelope, open_value, seal
from quorate.state.sweeps import PAGE

MAX_NAMES = 10_000
"""The most names of one owner that are looked at in one go."""
MAX_ATTEMPTS = 30
FIRST_WAIT_S, LONGEST_WAIT_S = 0.004, 0.25

Sleep = Callable[[float], Awaitable[None]]
"""Waits for so many seconds; a test gives one that does not."""


class Patience(Struct, frozen=True, kw_only=True):
    """How often, and with which waits, a change is tried again when others were quicker."""

    attempts: int = MAX_ATTEMPTS
    sleep: Sleep = asyncio.sleep
    random: Callable[[], float] = random.random

    async def wait(self, attempt: int) -> None:
        """Wait before another try: longer each time, and spread so that those who collided do not meet again."""
        await self.sleep(self.random() * min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt))


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """A stored value as it is kept."""

    name: str
    where: str
    """What to call it in messages."""
    data: bytes
    revision: int
    updated: float
    expires: float | None

    @property
    def envelope(self) -> Envelope:
        """What it is kept in.

        Raises:
            CorruptState: It does not verify.
        """
        return open_envelope(self.data, where=self.where)


class Sight(Struct, frozen=True, kw_only=True, gc=False):
    """What stands under a name at one moment."""

    row: Row | None = None
    """What is seen there; `None` when nothing is."""
    own: int = 0
    """The revision that a write must replace; another one than that of `row` when what is seen belongs to others."""

    @property
    def revision(self) -> int:
        """The revision that is seen; 0 when nothing is."""
        return self.row.revision if self.row is not None else 0


Look = Callable[[str], Awaitable[Sight]]
"""Looks at what stands under a name, when that is more than one owner's own."""


class Rows:
    """Stored values by owner and name, in envelopes."""

    def __init__(self, values: KeyValue, *, clock: Clock, schemas: Schemas, rules: Rules, patience: Patience) -> None:
        self.values = values
        self.clock = clock
        self.schemas = schemas
        self.rules = rules
        self.patience = patience
        self._ahead_s = 0.0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, ref: ScopeRef, name: str) -> Row | None:
        """Find what is kept under a name, also that a delegate forgot it.

        Raises:
            InvalidInput: The name is not one.
        """
        entry = await self.values.get(build_key(ref, name))
        return build_row(ref, name, entry) if entry is not None else None

    async def look(self, ref: ScopeRef, name: str) -> Sight:
        """Look at what an owner has under a name, and at nobody else's."""
        row = await self.find(ref, name)
        if row is None:
            return Sight()
        return Sight(row=None if row.envelope.gone else row, own=row.revision)

    def open(self, row: Row) -> StateEntry:
        """Read a row's value; raises what `open_value` raises."""
        value = open_value(row.envelope, self.schemas.find(row.name), where=row.where)
        return StateEntry(name=row.name, value=value, revision=row.revision, expires=row.expires)

    def seal(self, ref: ScopeRef, name: str, value: object) -> bytes:
        """Write a value into its envelope.

        Raises:
            InvalidInput: It is a secret, holds itself, does not fit its schema, or cannot be written.
            TooLarge: It is over its size.
        """
        if is_like_key(check_name(name)):
            raise InvalidInput("The name of a value looks like a key or a token: secrets are not stored, in no place.")
        where = describe(ref, name)
        data = seal(to_plain(value, name=name, where=where, rules=self.rules), self.schemas.find(name), where=where)
        if len(data) > self.rules.max_bytes:
            raise TooLarge(
                f"{where} has {len(data)} bytes as JSON; at most {self.rules.max_bytes} are kept: save it as an "
                "artifact and store the handle.",
                name=name,
            )
        return data

    async def write(
        self,
        ref: ScopeRef,
        name: str,
        value: object,
        *,
        if_revision: int | None = None,
        ttl_s: float | None = None,
        until: float | None = None,
    ) -> StateEntry:
        """Store a value, for `ttl_s` seconds or `until` a moment of the store's time; raises what `seal` raises.

        Raises:
            Conflict: Another revision is there.
        """
        data = self.seal(ref, name, value)
        try:
            entry = await self.put(build_key(ref, name), data, if_revision=if_revision, ttl_s=ttl_s, until=until)
        except Conflict as error:
            raise build_conflict(describe(ref, name), error.context.get("revision"), if_revision) from error
        return self.open(build_row(ref, name, entry))

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        if_revision: int | None = None,
        ttl_s: float | None = None,
        until: float | None = None,
    ) -> Entry:
        """Store bytes; `until` is a moment of the store's time, which may be ahead of ours or behind."""
        if until is None:
            entry = await self.values.put(key, data, if_revision=if_revision, ttl_s=ttl_s)
            self._ahead_s = entry.updated - self.clock.now()
            return entry
        left_s = max(0.001, until - self.clock.now() - self._ahead_s)
        entry = await self.values.put(key, data, if_revision=if_revision, ttl_s=left_s)
        self._ahead_s = entry.updated - self.clock.now()
        if entry.expires is not None and abs(entry.expires - until) > 1.0:
            with suppress(Conflict):  # somebody has changed it meanwhile: theirs is the later word
                left_s = max(0.001, until - entry.updated)
                entry = await self.values.put(key, data, if_revision=entry.revision, ttl_s=left_s)
        return entry

    async def store(
        self,
        ref: ScopeRef,
        name: str,
        value: object,
        *,
        if_revision: int | None = None,
        ttl_s: float | None = None,
        conflict: ConflictPolicy | None = None,
        look: Look | None = None,
    ) -> StateEntry:
        """Store a value as the policy for conflicts says, its schema's own when none is given.

        Raises:
            Conflict: Another revision is there, and that is refused; the message names both.
        """
        schema = self.schemas.find(check_name(name))
        policy: ConflictPolicy = (
            conflict if conflict is not None else schema.conflict if schema is not None else "refuse"
        )
        check_ttl(ttl_s)
        if look is None and schema is None and not callable(policy):
            expected = None if policy == "last_write" else if_revision
            return await self.write(ref, name, value, if_revision=expected, ttl_s=ttl_s)

        def decide(sight: Sight) -> object:
            if if_revision is not None and sight.revision == if_revision:
                return value
            if callable(policy):
                return value if sight.row is None else policy(self.open(sight.row).value, value)
            if policy == "last_write" or if_revision is None:
                return value
            raise build_conflict(describe(ref, name), sight.revision, if_revision)

        return await self._change(ref, name, decide, look=look, ttl_s=ttl_s)

    async def update(
        self, ref: ScopeRef, name: str, change: Callable[[object], object], *, look: Look | None = None
    ) -> StateEntry:
        """Store what `change` makes of the value that is there, for as long as that would have lasted.

        Raises:
            Conflict: Others were quicker too often.
        """

        def decide(sight: Sight) -> object:
            return apply(change, self.open(sight.row).value if sight.row is not None else None)

        return await self._change(ref, check_name(name), decide, look=look, keep_ttl=True)

    async def _change(
        self,
        ref: ScopeRef,
        name: str,
        decide: Callable[[Sight], object],
        *,
        look: Look | None,
        ttl_s: float | None = None,
        keep_ttl: bool = False,
    ) -> StateEntry:
        """Store what `decide` makes of what is there; it is asked again when somebody else was quicker."""
        schema, seen = self.schemas.find(name), 0
        async with self.hold(build_key(ref, name)):
            for attempt in range(self.patience.attempts):
                sight = await (look(name) if look is not None else self.look(ref, name))
                if schema is not None and sight.row is not None:
                    check_not_newer(sight.row.envelope, schema, where=sight.row.where)
                value, seen = decide(sight), sight.revision
                until = sight.row.expires if keep_ttl and sight.row is not None else None
                try:
                    return await self.write(ref, name, value, if_revision=sight.own, ttl_s=ttl_s, until=until)
                except Conflict:
                    await self.patience.wait(attempt)
        raise Conflict(
            f"{describe(ref, name)} was changed by others {self.patience.attempts} times while it was to be changed "
            f"here (seen last: revision {seen}): try again later, or change it less often.",
            name=name,
            revision=seen,
        )

    async def delete(self, ref: ScopeRef, name: str, *, if_revision: int | None = None) -> bool:
        """Forget a value and say whether it was there.

        Raises:
            Conflict: Another revision is there.
        """
        try:
            return await self.values.delete(build_key(ref, name), if_revision=if_revision)
        except Conflict as error:
            raise build_conflict(describe(ref, name), error.context.get("revision"), if_revision) from error

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncGenerator[None]:
        """Let those in this process who change one value do so one after another; others may still be quicker."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        async with lock:
            yield

    async def scan(self, ref: ScopeRef, *, prefix: str = "", after: str = "", limit: int = PAGE) -> list[Row]:
        """Return an owner's rows in order of their names, those of its delegates left out."""
        begin = build_prefix(ref)
        entries = await self.values.scan(
            begin + check_prefix(prefix), after=begin + check_name(after) if after else "", limit=limit
        )
        names = [(entry.key[len(begin) :], entry) for entry in entries]
        return [build_row(ref, name, entry) for name, entry in names if not name.startswith(LAYER)]

    async def scan_all(self, ref: ScopeRef, *, prefix: str = "") -> list[Row]:
        """Return all rows of an owner whose names begin with `prefix`.

        Raises:
            TooLarge: There are more than can be looked at in one go.
        """
        found: list[Row] = []
        while True:
            page = await self.scan(ref, prefix=prefix, after=found[-1].name if found else "")
            found += page
            if len(page) < PAGE:
                return found
            if len(found) > MAX_NAMES:
                raise TooLarge(
                    f"{ref.describe()} has more than {MAX_NAMES} values that begin with {prefix!r}: give a longer "
                    "beginning, or read them page by page."
                )


def build_row(ref: ScopeRef, name: str, entry: Entry) -> Row:
    """Say of a stored value whose and which it is."""
    return Row(
        name=name,
        where=describe(ref, name),
        data=entry.value,
        revision=entry.revision,
        updated=entry.updated,
        expires=entry.expires,
    )


def describe(ref: ScopeRef, name: str) -> str:
    """Say which value it is: `state 'cart' of session 's-1'`."""
    return f"state {name!r} of {ref.describe()}"


def build_conflict(where: str, found: object, expected: int | None) -> Conflict:
    """Build the error for a value that another revision was expected of."""
    stands = f"has revision {found}" if found else "is not there"
    wanted = f"not {expected}" if expected else "and nothing was expected there"
    return Conflict(
        f"{where} {stands}, {wanted}: somebody else wrote first. Read it again and decide anew.",
        revision=found,
        expected=expected,
    )


def check_ttl(ttl_s: float | None) -> float | None:
    """Return how long a value lasts, or raise `InvalidInput` when that is no time."""
    if ttl_s is not None and not (math.isfinite(ttl_s) and ttl_s > 0):
        raise InvalidInput(f"`ttl_s` is {ttl_s!r}: give seconds above 0, or `None` for ever.")
    return ttl_s


def apply(change: Callable[[object], object], value: object) -> object:
    """Call a change, which must be a plain function.

    Raises:
        InvalidInput: It is a coroutine function: others would write while it waits.
    """
    changed = change(value)
    if inspect.isawaitable(changed):
        if inspect.iscoroutine(changed):
            cast("Coroutine[object, object, object]", changed).close()
        raise InvalidInput("`update` takes a plain function: get what you wait for first, then change the value.")
    return changed
