"""How do processes share the runs of one database, each taking what nobody works on?"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing, contextmanager
from typing import TypeVar

from quorate.errors import Forbidden, QuorateError, StorageFull, Unauthenticated, Unavailable, describe_error
from quorate.events import RunSummary
from quorate.ids import new_id
from quorate.runtime.barred import Barred
from quorate.runtime.handle import RunHandle
from quorate.runtime.memory import MemoryGate, MemoryRoom, find_memory_limit_mb
from quorate.runtime.placement import Placement, build_placement
from quorate.runtime.registry import MAX_OFFERED, Presence, WorkerRecord
from quorate.runtime.runtime import Runtime

T = TypeVar("T")

POLL_S = 0.1
"""How often the database is asked for work, at least."""
MAX_FOREIGN = 10_000
MANY_FOREIGN = 100
"""From how many runs that cannot be opened here on only those of agents that can be are looked for."""
RETRY_S = 5.0
"""After how many seconds a run whose record broke off is taken up again."""
PAUSES = 4
LONGEST_S = 1.0
"""Between two looks there are so many times as many seconds as the last one took, up to a longest pause."""

Tell = Callable[[str, RunHandle | RunSummary, QuorateError | None], None]
"""Told what happens: `taken`, `ended`, `foreign` or `blocked`, the run, and why."""


class Worker:
    """A process that works on queued runs, on runs that may go on, and on those whose owner died.

    Nothing is handed out: whoever appends the next attempt to a run's log has it, and everybody else is refused there.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        concurrency: int | None = None,
        tell: Tell = lambda what, run, why: None,
        poll_s: float = POLL_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        placement: Placement | None = None,
        memory: MemoryGate | None = None,
        grace_s: float | None = None,
    ) -> None:
        """Build a worker; what is not given is as the settings say (`worker.*`).

        Args:
            runtime: What opens agents, and records.
            concurrency: How many runs at once.
            tell: Told what happens.
            poll_s: How often the database is asked for work.
            sleep: Waits between two looks.
            placement: Whose runs it takes; see `quorate.runtime.placement`.
            memory: Whether there is memory for more; see `quorate.runtime.memory`.
            grace_s: How long runs may still end by themselves when it is told to stop.

        Raises:
            UnknownName: The settings name an agent that there is not.
            InvalidInput: They name what cannot be done here.
        """
        chosen = runtime.settings.worker
        self.id = new_id("worker")
        """Its name in the registry."""
        self.runtime = runtime
        self.concurrency = concurrency or chosen.concurrency
        self.placement = placement or build_placement(runtime)
        """Whose runs it takes."""
        gate = memory or MemoryGate(find_memory_limit_mb(chosen.max_memory_mb, chosen.max_memory_share))
        self._grace_s = chosen.grace_s if grace_s is None else grace_s
        self._tell = tell
        self._poll_s = poll_s
        self._sleep = sleep
        self._foreign: dict[str, None] = {}
        """Runs that cannot be opened here, the first of them first."""
        self._active: dict[str, RunHandle] = {}
        self._followed: set[RunHandle] = set()
        """Runs that others do and that somebody follows for as long as it works."""
        self._opening = 0
        """How many runs room is kept for, as they are being opened."""
        self._is_closed = False
        """Whether there is no room for what others open, as a run is to be done alone."""
        self._broken: dict[str, tuple[str, float]] = {}
        """Runs that could not be recorded: their tenants, and when they are looked at again."""
        self._barred = Barred(runtime.check_tenant, clock=runtime.clock)
        """Runs of tenants that may not work."""
        self._alone = ""
        """The run beside which no other one is taken."""
        self._look_s = 0.0
        """How long the last look into the database took."""
        self._started = runtime.clock.now()
        self.stopping = asyncio.Event()
        """Set once it takes no more runs."""
        self._ended = asyncio.Event()
        """Set whenever a run ends here."""
        self._group: asyncio.TaskGroup | None = None
        self._presence = Presence(runtime.store.values, self.describe, beat_s=chosen.beat_s)
        self._memory = MemoryRoom(gate, clock=runtime.clock, tell=self._presence.change)

    @property
    def is_stopping(self) -> bool:
        """Whether it takes no more runs, for good."""
        return self.stopping.is_set()

    def describe(self) -> WorkerRecord:
        """Describe this worker, as the registry shows it."""
        placement = self.placement
        names = list(placement.agents)[:MAX_OFFERED]
        state = "draining" if self.is_stopping else "full" if self._memory.why_full else "working"
        return WorkerRecord(
            id=self.id,
            host=platform.node(),
            pid=os.getpid(),
            version=str(getattr(sys.modules["quorate"], "__version__", "unknown")),
            started=self._started,
            concurrency=self.concurrency,
            owner=self.runtime.owner.id,
            state=state,
            why=self._memory.why_full if state == "full" else "",
            memory_mb=round(self._memory.gate.measure(), 1),
            has_bus=self.runtime.courier is not None,
            patterns=placement.patterns,
            capabilities=placement.capabilities,
            agents={name: placement.agents[name] for name in names},
            is_partial=len(placement.agents) > len(names),
            lacking={name: placement.lacking[name] for name in names if name in placement.lacking},
        )

    def stop(self) -> None:
        """Take no more runs and hand over those under way: other workers go on with them at once.

        With a `grace_s`, those under way may still end by themselves for that long.
        """
        self.stopping.set()
        self._presence.change()

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until `stop` is called, or with `until_idle` until there is nothing left to do.

        What cannot be done for the moment (the database is away, its disk is full) is tried again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                keeping = group.create_task(self._presence.keep())
                try:
                    await self._work(group, until_idle=until_idle)
                finally:
                    self.stopping.set()
                    self._group = None
                    for handle in (*self._active.values(), *self._followed):
                        handle.release()
                    keeping.cancel()
        finally:
            await self._presence.end()

    async def _work(self, group: asyncio.TaskGroup, *, until_idle: bool) -> None:
        stopping = group.create_task(self.stopping.wait())

        async def do(work: Coroutine[object, object, T]) -> T | None:
            task = group.create_task(work)
            await asyncio.wait({stopping, task}, return_when="FIRST_COMPLETED")
            if task.done():
                return task.result()
            task.cancel()
            return None

        try:
            while not self.stopping.is_set():
                took = await do(self._look(group))
                if until_idle and took == 0 and not self._active and not self._broken and not self._memory.why_full:
                    return
                if not took:
                    await do(self._pause())
            await self._let_end()
        finally:
            stopping.cancel()

    async def _pause(self) -> None:
        # Where others have much queued, looking past that takes its time.
        await self._sleep(max(self._poll_s, min(PAUSES * self._look_s, LONGEST_S)))

    async def _let_end(self) -> None:
        """Let runs end by themselves for as long as there is grace; what was being opened is waited for, too."""
        try:
            async with asyncio.timeout(self._grace_s):
                while self._active or self._opening:
                    self._ended.clear()
                    await self._ended.wait()
        except TimeoutError:
            pass

    @contextmanager
    def reserve(self) -> Generator[bool]:
        """Keep room for one more run while somebody else opens it here, and say whether there is any while it works.

        Such a run is given to the worker by `adopt`.
        """
        is_open = self._group is not None and not self.is_stopping and not self._is_closed
        has_room = is_open and self._count_free() > 0
        with self._keep_room(has_room):
            yield has_room

    @contextmanager
    def _keep_room(self, is_needed: bool = True) -> Generator[None]:
        self._opening += is_needed
        try:
            yield
        finally:
            self._opening -= is_needed
            self._ended.set()

    def adopt(self, handle: RunHandle, tenant: str) -> None:
        """Have a run that was opened here by somebody else as if it had been taken: it counts, and is handed over.

        A worker that has stopped lets go of it at once.
        """
        if handle.id in self._active:
            return
        if self._group is None:
            handle.release()
            return
        self._hold(handle, tenant, self._group, is_watched=True)

    @contextmanager
    def following(self, handle: RunHandle) -> Generator[None]:
        """Let go of a run that others do as if it were its own when this worker ends, instead of waiting for it."""
        if self._group is None and self.is_stopping:
            handle.release()
        self._followed.add(handle)
        try:
            yield
        finally:
            self._followed.discard(handle)

    def _count_free(self) -> int:
        """Count how many more runs there is room for."""
        busy = len(self._active) + self._opening
        if self._alone in self._active:
            return 0
        free = self.concurrency - busy
        return self._memory.count_room(free, busy=busy) if free > 0 else 0

    async def _look(self, group: asyncio.TaskGroup) -> int | None:
        """Take what there is, as far as there is room; return how many runs, `None` when there may be more to find."""
        free = self._count_free()
        if free <= 0:
            return 0
        took = await self._take_back(group, most=free)
        began = self.runtime.clock.monotonic()
        try:
            await self._barred.look()
            barred = self._barred.runs
            known = {*self._foreign, *self._active, *self._broken, *barred}
            await self.runtime.begin()
            self._presence.note_owner(self.runtime.owner.id)
            # Twice past those that are left: of a tenant with thousands the end is soon seen.
            most = free + len(known) + len(barred)
            found = await self.runtime.owner.find_work(limit=most, agents=self._find_wanted())
        except QuorateError:
            return None
        self._look_s = self.runtime.clock.monotonic() - began
        fresh = [summary for summary in found if summary.run not in known]
        new = [summary for summary in fresh if not self._barred.holds(summary)]
        last = [summary for summary in new if self._is_on_last_chance(summary)]
        self._is_closed = bool(last)
        if last:
            new = [] if self._active or self._opening else last[:1]
            self._alone = last[0].run
        # Side by side: the attempts of all of them are recorded in one commit.
        room = min(free - took, self.concurrency - len(self._active) - self._opening)
        async with asyncio.TaskGroup() as taking:
            tasks = [taking.create_task(self._take(summary, group)) for summary in new[: max(0, room)]]
        took += sum(task.result() for task in tasks)
        return took or (None if fresh else 0)

    def _find_wanted(self) -> tuple[str, ...] | None:
        """Find out of which agents runs are looked for; `None` for all, so that it is told which cannot be opened."""
        is_crowded = len(self._foreign) >= MANY_FOREIGN
        return self.placement.offered if is_crowded else self.placement.wanted

    def _is_on_last_chance(self, summary: RunSummary) -> bool:
        """Whether one more death puts a run aside: it is then done alone, so that it does not die of another one."""
        crashes = summary.crashes + (summary.status == "running")
        return 0 < crashes == self.runtime.settings.worker.max_crashes - 1

    async def _take(self, summary: RunSummary, group: asyncio.TaskGroup, *, is_ours: bool = False) -> bool:
        try:
            with self._keep_room():
                handle = await self.runtime.take(summary, is_ours=is_ours)
        except (StorageFull, Unavailable) as error:
            self._put_off(summary.run, summary.tenant)
            self._tell("blocked", summary, error)
            return False
        except (Forbidden, Unauthenticated):
            self._barred.bar(summary)
            return False
        except Exception as error:  # an agent is anybody's code: one that cannot be opened here harms no other run
            self._leave(summary, error)
            return False
        if handle is None:
            return False
        self._hold(handle, summary.tenant, group)
        return True

    def _hold(self, handle: RunHandle, tenant: str, group: asyncio.TaskGroup, *, is_watched: bool = False) -> None:
        self._active[handle.id] = handle
        self._tell("taken", handle, None)
        group.create_task(self._await_end(handle, tenant, is_watched=is_watched))

    def _leave(self, summary: RunSummary, error: Exception) -> None:
        if len(self._foreign) >= MAX_FOREIGN:
            del self._foreign[next(iter(self._foreign))]
        self._foreign[summary.run] = None
        self._tell(
            "foreign", summary, error if isinstance(error, QuorateError) else QuorateError(describe_error(error))
        )

    def _put_off(self, run: str, tenant: str) -> None:
        self._broken[run] = (tenant, self.runtime.clock.monotonic() + RETRY_S)

    async def _await_end(self, handle: RunHandle, tenant: str, *, is_watched: bool) -> None:
        why: QuorateError | None = None
        try:
            if is_watched:  # merely waiting would let go of text that nobody has begun to read yet
                async with aclosing(handle.stream()) as items:
                    async for _ in items:
                        pass
            await handle.wait()
        except Exception as error:  # how a run ends is in its log; it must not end the worker
            why = error if isinstance(error, QuorateError) else None
        finally:
            del self._active[handle.id]
            self._ended.set()
        if handle.is_broken and isinstance(why, (StorageFull, Unavailable)):
            # Its lease is ours, so nobody else will take it: we go on with it ourselves when the store is well.
            self._put_off(handle.id, tenant)
            self._tell("blocked", handle, why)
        else:
            self._tell("ended", handle, why)

    async def _take_back(self, group: asyncio.TaskGroup, *, most: int) -> int:
        """Go on with runs whose record broke off, unless somebody else has them now."""
        now, took = self.runtime.clock.monotonic(), 0
        due = [(run, tenant) for run, (tenant, time) in self._broken.items() if time <= now]
        for run, tenant in due[:most]:
            del self._broken[run]
            try:
                summary = await self.runtime.for_tenant(tenant).show(run)
            except (StorageFull, Unavailable):
                self._put_off(run, tenant)
            except QuorateError:
                continue  # it is gone
            else:
                if summary.status == "running" and summary.owner == self.runtime.owner.id:
                    took += await self._take(summary, group, is_ours=True)
        return took
