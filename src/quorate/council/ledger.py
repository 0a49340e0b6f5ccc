"""Where is it kept what came of what members did, so that nothing counts twice and nothing is lost?

Each member has a row for each week, with every outcome of that week under the id of what it is about. A row changes as
a whole and over the revision it was read at, so whatever happens in between, an outcome is in it once or not at all.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Literal, TypeVar
from urllib.parse import quote, unquote
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.council.trust import (
    DAY_S,
    KEPT_HALF_LIVES,
    WINDOW_S,
    Evidence,
    Item,
    TrustReport,
    TrustRules,
    build_item,
    check_evidence,
    check_member,
    check_rules,
    check_topic,
    explain_trust,
    is_member,
    measure_trust,
)
from quorate.errors import Conflict, CorruptState, InvalidInput, Unavailable
from quorate.ports import KeyValue
from quorate.state.rows import Patience

ROOM = "trust"
"""What the keys begin with, before the tenant."""
PAGE = 100
MAX_ITEMS = 3_000
"""How many outcomes of one member are kept of one week; a row has at most 1 MiB."""
AHEAD_S = 3_600.0
"""How far in the future something may have ended, as clocks differ."""
PATIENCE = Patience(attempts=100)
DEFAULT_RULES = TrustRules()
Result = TypeVar("Result")

_decode = msgspec.json.Decoder(tuple[Item, ...]).decode
_encode = msgspec.json.Encoder().encode


class Noted(Struct, frozen=True, kw_only=True):
    """What became of outcomes that were told."""

    counted: int = 0
    """How many are new."""
    corrected: int = 0
    """How many replaced what was said before."""
    known: int = 0
    """How many were known already, and changed nothing."""
    left_out: int = 0
    """How many are too old to matter, or one too many for a week."""


Fate = Literal["counted", "corrected", "known", "left_out"]


class TrustLedger:
    """What is known of the members of a tenant; several processes may use it at once."""

    def __init__(
        self,
        values: KeyValue,
        prefix: str = "",
        *,
        rules: TrustRules = DEFAULT_RULES,
        clock: Clock = SYSTEM_CLOCK,
        patience: Patience = PATIENCE,
    ) -> None:
        """Open it; cheap, and without I/O.

        Args:
            values: Where it is kept.
            prefix: What keys begin with, such as `trust/acme/`; empty where the values are a tenant's own already.
            rules: How trust is reckoned.
            clock: What outcomes fade by.
            patience: How often a change is tried again when others were quicker.

        Raises:
            InvalidInput: The rules do not hold together.
        """
        check_rules(rules)
        self.rules = rules
        self._values = values
        self._members = f"{prefix}member/"
        self._clock = clock
        self._patience = patience
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def note(self, evidence: Iterable[Evidence]) -> Noted:
        """Take what came of something; what is known already changes nothing, so that it may be told again.

        When it fails in between, tell all of it again.

        Raises:
            Forbidden: A member speaks of itself; then nothing of it was taken.
            InvalidInput: Something is no outcome; then nothing of it was taken.
            Unavailable: The store cannot be reached, or others were quicker too often.
        """
        told, now = list(evidence), self._clock.now()
        for one in told:
            check_evidence(one)
            if one.at > now + AHEAD_S:
                raise InvalidInput(f"{one.id!r} ended in the future ({one.at!r}): check the clocks.")
        rows = defaultdict[str, list[Item]](list)
        left_out = 0
        for one in told:
            if one.at < now - self._kept_s:
                left_out += 1
            else:
                rows[self._build_key(one.member, int(one.at // WINDOW_S))].append(build_item(one))
        fates: list[Fate] = []
        for key, items in sorted(rows.items()):

            def merge(known: tuple[Item, ...], items: Sequence[Item] = items) -> tuple[tuple[Item, ...], list[Fate]]:
                return merge_items(known, items)

            fates += await self._change(key, merge)
        return Noted(
            counted=fates.count("counted"),
            corrected=fates.count("corrected"),
            known=fates.count("known"),
            left_out=left_out + fates.count("left_out"),
        )

    async def read(self, member: str, topic: str = "") -> TrustReport:
        """Say how far a member is trusted, and why; as much as the prior when nothing is known of it.

        Raises:
            InvalidInput: The name or the topic is none.
            CorruptState: What is kept does not read.
        """
        items = await self._read_items(check_member(member))
        return explain_trust(self.rules, member, items, now=self._clock.now(), topic=check_topic(topic))

    async def read_weights(self, names: Iterable[str], topic: str = "") -> dict[str, float]:
        """Return how far some members are trusted, all at the same moment, by name; strangers as much as the prior.

        Clocks and what others do in between make it another answer each time: inside a procedure, read it in a tool,
        so that a run that is resumed or replayed goes by what was read the first time.
        """
        now, found = self._clock.now(), dict[str, float]()
        check_topic(topic)
        for name in dict.fromkeys(names):
            items = await self._read_items(name) if is_member(name) else []
            found[name] = round(measure_trust(self.rules, items, now=now, topic=topic).value, 6)
        return found

    async def list_members(self, *, after: str = "", limit: int = PAGE) -> list[str]:
        """List the members of whom something is known, in the order of their keys; those behind `after` only."""
        found: list[str] = []
        last = f"{self._build_prefix(after)}~" if after else ""
        while len(found) < limit:
            entries = await self._values.scan(self._members, after=last, limit=1)
            if not entries:
                break
            name = unquote(entries[0].key.removeprefix(self._members).rpartition("/")[0])
            found.append(name)
            last = f"{self._build_prefix(name)}~"  # behind all of its weeks, which are digits
        return found

    async def forget(self, member: str) -> int:
        """Forget all that is known of a member, and say how many weeks that was."""
        gone = 0
        async for key, _ in self._scan(check_member(member)):
            gone += await self._values.delete(key)
        return gone

    @property
    def _kept_s(self) -> float:
        return KEPT_HALF_LIVES * self.rules.half_life_days * DAY_S

    def _build_prefix(self, member: str) -> str:
        return f"{self._members}{quote(member, safe='@:+')}/"

    def _build_key(self, member: str, week: int) -> str:
        return f"{self._build_prefix(member)}{week:06d}"

    async def _read_items(self, member: str) -> list[Item]:
        return [item async for key, value in self._scan(member) for item in read_row(key, value)]

    async def _scan(self, member: str) -> AsyncGenerator[tuple[str, bytes]]:
        after, prefix = "", self._build_prefix(member)
        while entries := await self._values.scan(prefix, after=after, limit=PAGE):
            for entry in entries:
                yield entry.key, entry.value
            after = entries[-1].key

    async def _change(self, key: str, change: Callable[[tuple[Item, ...]], tuple[tuple[Item, ...], Result]]) -> Result:
        """Change a row over the revision it was read at, again and again while others are quicker."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:  # those of one process wait for each other instead
            for attempt in range(self._patience.attempts):
                entry = await self._values.get(key)
                known = read_row(key, entry.value) if entry is not None else ()
                items, result = change(known)
                if items == known:
                    return result
                revision = entry.revision if entry is not None else 0
                try:
                    await self._values.put(
                        key, _encode(items), if_revision=revision, ttl_s=self._kept_s + WINDOW_S + AHEAD_S
                    )
                except Conflict:
                    await self._patience.wait(attempt)
                else:
                    return result
        raise Unavailable(f"What is known under {key!r} changes too fast: others were quicker each time.")


def add_noted(one: Noted, other: Noted) -> Noted:
    """Add up what became of outcomes."""
    return Noted(
        counted=one.counted + other.counted,
        corrected=one.corrected + other.corrected,
        known=one.known + other.known,
        left_out=one.left_out + other.left_out,
    )


def merge_items(known: tuple[Item, ...], told: Sequence[Item]) -> tuple[tuple[Item, ...], list[Fate]]:
    """Put outcomes to those of the same week that are known, and say what became of each.

    Of two with one id the one that was corrected more often stays; of two alike, the one that was there.
    """
    items, fates = {item.id: item for item in known}, list[Fate]()
    for item in told:
        before = items.get(item.id)
        if before is None and len(items) >= MAX_ITEMS:
            fates.append("left_out")
            continue
        if before is not None and item.version <= before.version:
            fates.append("known")
            continue
        items[item.id] = item
        fates.append("counted" if before is None else "corrected")
    return tuple(items[name] for name in sorted(items)), fates


def read_row(key: str, value: bytes) -> tuple[Item, ...]:
    """Read a week of a member.

    Raises:
        CorruptState: It does not read.
    """
    try:
        return _decode(value)
    except msgspec.DecodeError as error:
        raise CorruptState(f"What is known under {key!r} does not read: {error}") from error
