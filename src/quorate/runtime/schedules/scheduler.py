"""How do any number of processes submit each moment of each schedule exactly once, whoever dies meanwhile?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, TypeVar

from msgspec import Struct

from quorate.errors import Conflict, CorruptState, MissingExtra, NotFound, QuorateError, UnknownName, describe_error
from quorate.events import Status
from quorate.runtime.accept import KEPT_S
from quorate.runtime.runtime import Runtime
from quorate.runtime.schedules.decide import carry_out, decide, find_time, settle
from quorate.runtime.schedules.records import Record, Records, build_labels, build_submission_key
from quorate.runtime.schedules.store_time import StoreTime

T = TypeVar("T")

POLL_S = 1.0
"""How often new and changed schedules are looked for."""
SHARE = 20
"""Looking for them takes at most one part in so many of the time, however many there are."""
TAKEOVER_S = 5.0
"""After how many seconds somebody else goes on with a moment that was decided and not submitted."""
LEAVE_S = 60.0
"""For how many seconds a schedule is left to others that cannot be opened here."""
LOOK_S = 30.0
FRESH_S = 1.0
"""How old the look at the store's clock may be, when nothing seems to be due and when something does."""
MIN_WAIT_S = 0.02
AT_ONCE = 16
UNDER_WAY: tuple[Status, ...] = ("queued", "running", "waiting")
LOST = "It was decided so long ago that nobody can tell whether it was submitted."

What = Literal["fired", "refused", "missed", "overlapped", "foreign", "blocked"]


class Happened(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a moment, or why a schedule rests."""

    what: What
    schedule: str
    """Tenant and name."""
    moment: float | None = None
    run: str = ""
    reason: str = ""


class Scheduler:
    """A process that submits what is due, for all tenants; any number of them may share a database.

    A moment is decided first, by whoever writes so over the very revision that was read; then it is submitted under a
    key of its own, which is one run however often that is done; then it is settled. Whoever dies in between leaves
    something that any other may go on with.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        tell: Callable[[Happened], None] = lambda happened: None,
        poll_s: float = POLL_S,
        takeover_s: float = TAKEOVER_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.runtime = runtime
        self._tell = tell
        self._poll_s = poll_s
        self._takeover_s = takeover_s
        self._sleep = sleep
        self._records = Records(runtime.store.values)
        self._time = StoreTime(runtime.store.values, clock=runtime.clock)
        self._known: dict[str, Record] = {}
        self._left: dict[str, float] = {}
        """Schedules that rest here, and until when by our own seconds."""
        self._scan_at = 0.0
        self._is_away = False
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Submit nothing more; what is under way is left to others."""
        self._stopping.set()

    async def run(self) -> None:
        """Submit what is due until `stop` is called; while the database is away, it is waited for."""
        async with asyncio.TaskGroup() as group:
            stopping, working = group.create_task(self._stopping.wait()), group.create_task(self._work())
            await asyncio.wait({stopping, working}, return_when="FIRST_COMPLETED")
            self._stopping.set()
            working.cancel()

    async def _work(self) -> None:
        while True:
            try:
                wait_s = await self.look()
                self._is_away = False
            except QuorateError as error:
                if not self._is_away:
                    self._tell(Happened(what="blocked", schedule="", reason=error.message))
                self._is_away, wait_s = True, self._poll_s
            await self._sleep(wait_s)

    async def look(self) -> float:
        """Submit everything that is due; return after how many seconds to look again.

        Raises:
            Unavailable: The store cannot be reached.
        """
        clock = self.runtime.clock
        await self._time.look(max_age_s=LOOK_S)
        if clock.monotonic() >= self._scan_at:
            await self._scan()
        if self._find_due():
            await self._time.look(max_age_s=FRESH_S)
            turn = asyncio.Semaphore(AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for record in self._find_due():
                    group.create_task(self._serve(record, turn))
        times = [time for record in self._known.values() if (time := self._find_time(record)) is not None]
        next_s = min(times, default=float("inf")) - self._time.now()
        return max(MIN_WAIT_S, min(next_s, self._scan_at - clock.monotonic()))

    async def _scan(self) -> None:
        began, known = self.runtime.clock.monotonic(), dict[str, Record]()
        async for label, found in self._records.scan():
            if isinstance(found, CorruptState):
                self._leave(label, "blocked", found.message)
            else:
                known[label] = found
        now = self.runtime.clock.monotonic()
        self._known, self._scan_at = known, now + max(self._poll_s, SHARE * (now - began))
        self._left = {label: until for label, until in self._left.items() if until > now}

    def _find_due(self) -> list[Record]:
        now = self._time.now()
        return [r for r in self._known.values() if (time := self._find_time(r)) is not None and time <= now]

    def _find_time(self, record: Record) -> float | None:
        if record.label in self._left:
            return None
        return find_time(record, takeover_s=self._takeover_s, now=self._time.now())

    async def _serve(self, record: Record, turn: asyncio.Semaphore) -> None:
        """Do what is due of one schedule; whatever is wrong with it harms no other."""
        label = record.label
        async with turn:
            try:
                following: Record | None = record
                while following is not None and (time := self._find_time(following)) is not None:
                    if time > self._time.now():
                        break
                    following = await self._step(following)
            except Conflict:
                await self._read_anew(label)  # somebody else was quicker
            except (MissingExtra, UnknownName) as error:
                self._leave(label, "foreign", error.message)
            except QuorateError as error:
                self._leave(label, "blocked", error.message)
            except Exception as error:  # an agent is anybody's code: one that cannot be opened harms no other schedule
                self._leave(label, "foreign", describe_error(error))

    def _leave(self, label: str, what: What, reason: str) -> None:
        if label not in self._left:
            self._tell(Happened(what=what, schedule=label, reason=reason))
        for_s = self._takeover_s if what == "blocked" else LEAVE_S
        self._left[label] = self.runtime.clock.monotonic() + for_s

    async def _read_anew(self, label: str) -> None:
        tenant, _, name = label.partition("/")
        record = await self._records.find(tenant, name)
        if record is not None:
            self._known[label] = record
        else:
            self._known.pop(label, None)

    async def _step(self, record: Record) -> Record | None:
        """Decide the next moment and submit it, or go on with one that somebody left behind."""
        runtime = self.runtime.for_tenant(record.schedule.tenant)
        work = record.firing.work if record.firing is not None else record.schedule.work
        if work.agent is not None:
            runtime.find_agent(work.agent, work.model)  # before anything is decided: others may know it
        if record.firing is None:
            decided = await self._decide(record, runtime)
            if decided is None or decided.firing is None:
                return decided
            record = decided
        return await self._submit(record, runtime)

    async def _decide(self, record: Record, runtime: Runtime) -> Record | None:
        now = self._time.now()
        decision = await asyncio.to_thread(decide, record, now=now)
        if decision is None:
            return None
        is_busy = decision.moment is not None and await _is_busy(record, runtime)
        changed = await asyncio.to_thread(carry_out, record, decision, now=now, is_busy=is_busy)
        stored = await self._store(changed)
        if decision.missed:
            self._tell(Happened(what="missed", schedule=record.label, moment=decision.until))
        if changed.overlapped > record.overlapped:
            self._tell(Happened(what="overlapped", schedule=record.label, moment=decision.moment))
        return stored

    async def _submit(self, record: Record, runtime: Runtime) -> Record | None:
        firing = record.firing
        assert firing is not None
        run, refused = "", ""
        if self._time.now() - firing.claimed > KEPT_S / 2:  # its key is forgotten, or will be
            refused = LOST
        else:
            try:
                handle = await runtime.for_tenant(runtime.tenant, payer=firing.payer).submit(
                    firing.work.task,
                    agent=firing.work.agent,
                    model=firing.work.model,
                    session=firing.work.session,
                    limits=firing.work.limits,
                    principal=firing.principal,
                    idempotency_key=build_submission_key(record, firing.moment),
                    start=False,
                    labels=build_labels(record, firing),
                )
                run = handle.id
            except (MissingExtra, UnknownName):
                raise
            except QuorateError as error:
                if error.retryable:
                    raise
                refused = error.message
        what: What = "refused" if refused else "fired"
        happened = Happened(what=what, schedule=record.label, moment=firing.moment, run=run, reason=refused)
        return await self._settle(record, partial(settle, now=self._time.now(), run=run, refused=refused), happened)

    async def _settle(self, record: Record, change: Callable[[Record], Record], happened: Happened) -> Record | None:
        """Write down what became of a moment, and say so, unless somebody else did."""
        assert record.firing is not None
        current: Record | None = record
        while current is not None and current.id == record.id and current.firing == record.firing:
            try:
                current = await self._store(change(current))
            except Conflict:  # it was paused or changed meanwhile
                current = await self._records.find(record.schedule.tenant, record.schedule.name)
            else:
                self._tell(happened)
        return current

    async def _store(self, record: Record) -> Record:
        stored, _ = await self._records.put(record)
        self._known[record.label] = stored
        return stored


async def run_beside(scheduler: Scheduler, work: Awaitable[T]) -> T:
    """Submit what is due for as long as some other work lasts, such as a worker's, and return what that gives."""
    async with asyncio.TaskGroup() as group:
        group.create_task(scheduler.run())
        try:
            return await work
        finally:
            scheduler.stop()


async def _is_busy(record: Record, runtime: Runtime) -> bool:
    """Whether the run of the moment before is under way, where that matters."""
    if record.schedule.policy.overlap == "allow" or record.last is None or not record.last.run:
        return False
    try:
        return (await runtime.show(record.last.run)).status in UNDER_WAY
    except NotFound:
        return False
