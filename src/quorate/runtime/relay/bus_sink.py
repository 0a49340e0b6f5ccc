"""How does what an outbox notes become events that a bus keeps?"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence

from msgspec import structs

from quorate.bus.event_subjects import build_event_subject
from quorate.bus.events import Events, build_event_rules
from quorate.bus.headers import build_dead_headers
from quorate.bus.subjects import build_dead_subject
from quorate.codec.json import encode
from quorate.errors import CorruptState, InvalidInput, QuorateError
from quorate.events import AnyEvent, RunWaiting
from quorate.ids import PATTERN
from quorate.ports import Log, Notice
from quorate.ports.bus import Bus, StreamRule
from quorate.runtime.relay.facts import Beginning, RunFacts, bound_keys, build_beginning, build_facts

NAME = "bus"
QUEUE = "runs"
"""Under which name runs that were put aside are dead letters."""
MAX_KNOWN = 10_000
"""Of how many runs it is remembered how they began."""
AT_ONCE = 32
"""Of how many runs events are sent side by side."""
MAX_LETTERS = 10_000
LONGEST_NOTE = 2000
"""How many characters of why a run was put aside are told."""


class BusSink:
    """A `Sink` that publishes a kept event for each notice, under an id that is the same each time it is told.

    A run that was put aside is a dead letter as well.
    """

    def __init__(self, bus: Bus, log: Log, *, tenant: str = "default") -> None:
        """Build it.

        Args:
            bus: Opened with `build_relay_rules`.
            log: Where what the notices are about is read.
            tenant: The bus's tenant.
        """
        self.name = NAME
        self.passed_over = 0
        """How many notices were about nothing any more, or about nobody's run."""
        self._bus = bus
        self._events = Events(bus, tenant=tenant)
        self._tenant = tenant
        self._log = log
        self._known: dict[str, Beginning] = {}

    async def take(self, notices: Sequence[Notice]) -> None:
        """Publish them; see `Sink`. Those of one run one after another, those of different runs side by side."""
        runs: dict[str, list[Notice]] = {}
        for notice in notices:
            runs.setdefault(notice.run, []).append(notice)
        turn, failures = asyncio.Semaphore(AT_ONCE), list[QuorateError]()

        async def tell(own: Iterable[Notice]) -> None:
            async with turn:
                try:
                    for notice in own:
                        if failures:
                            return  # all of them come again
                        await self._tell(notice)
                except QuorateError as error:
                    failures.append(error)

        async with asyncio.TaskGroup() as group:
            for own in runs.values():
                group.create_task(tell(own))
        if failures:
            raise failures[0]

    async def _tell(self, notice: Notice) -> None:
        try:
            found = await self._log.read(notice.run, after=notice.seq - 1, limit=1)
            event = found[0] if found else None
            beginning = await self._find_beginning(notice, event)
        except CorruptState:
            event, beginning = None, None  # that it happened is known, and what it was is not
        else:
            if event is None:
                self.passed_over += 1  # the run is gone
                return
        try:
            build_event_subject("kept", self._tenant, tenant=notice.tenant, kind=notice.kind, key=notice.run)
        except InvalidInput:  # what no subject can name is told by nobody, and keeps nobody waiting
            self.passed_over += 1
            return
        facts = RunFacts() if event is None or beginning is None else build_facts(event, beginning)
        await self._events.publish(
            notice.kind,
            facts,
            key=notice.run,
            run=notice.run,
            seq=notice.seq,
            tenant=notice.tenant,
            id=build_id(notice),
            time=event.time if event is not None else None,
            kept=True,
        )
        if isinstance(event, RunWaiting) and event.reason == "parked":
            await self._bury(notice, event)

    async def _find_beginning(self, notice: Notice, event: AnyEvent | None) -> Beginning:
        known = self._known.get(notice.run)
        if known is None:
            first = [event] if notice.seq == 1 else await self._log.read(notice.run, limit=1)
            known = build_beginning(first[0] if first else None)
            if len(self._known) >= MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[notice.run] = known
        return known

    async def _bury(self, notice: Notice, event: RunWaiting) -> None:
        headers = build_dead_headers({}, queue=QUEUE, subject=notice.kind, attempts=0, reason=event.note)
        subject = build_dead_subject(QUEUE, self._tenant)
        letter = structs.replace(event, keys=bound_keys(event.keys), note=event.note[:LONGEST_NOTE])
        await self._bus.enqueue(subject, encode(letter), id=build_id(notice), headers=headers)


def build_id(notice: Notice) -> str:
    """Build the id under which a notice is told, whoever tells it."""
    if PATTERN.fullmatch(notice.run) is not None:
        return f"{notice.run}/{notice.seq}"
    return f"{hashlib.sha256(notice.run.encode('utf-8', 'replace')).hexdigest()}/{notice.seq}"


def build_relay_rules(tenant: str = "default") -> tuple[StreamRule, ...]:
    """Build the streams that keep events, and those runs that were put aside."""
    letters = StreamRule(
        name="parked-runs",
        subjects=(build_dead_subject(QUEUE, tenant),),
        kind="events",
        max_messages=MAX_LETTERS,
        dedupe_s=86_400.0,
    )
    return (*build_event_rules(tenant), letters)
