"""How do processes share the runs of one database, each taking what nobody works on?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from quorate.errors import QuorateError, StorageFull, Unavailable, describe_error
from quorate.events import RunSummary
from quorate.runtime.handle import RunHandle
from quorate.runtime.runtime import Runtime

T = TypeVar("T")

POLL_S = 0.1
"""How often the database is asked for work, at least."""
MAX_FOREIGN = 10_000
RETRY_S = 5.0
"""After how many seconds a run whose record broke off is taken up again."""

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
    ) -> None:
        self.runtime = runtime
        self.concurrency = concurrency or runtime.settings.worker.concurrency
        self._tell = tell
        self._poll_s = poll_s
        self._sleep = sleep
        self._foreign: dict[str, None] = {}
        """Runs that cannot be opened here, the first of them first."""
        self._active: dict[str, RunHandle] = {}
        self._broken: dict[str, tuple[str, float]] = {}
        """Runs that could not be recorded: their tenants, and when they are looked at again."""
        self._alone = ""
        """The run beside which no other one is taken."""
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take no more runs and hand over those under way: other workers go on with them at once."""
        self._stopping.set()

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until `stop` is called, or with `until_idle` until there is nothing left to do.

        What cannot be done for the moment (the database is away, its disk is full) is tried again.
        """
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(self._stopping.wait())

            async def do(work: Coroutine[object, object, T]) -> T | None:
                task = group.create_task(work)
                await asyncio.wait({stopping, task}, return_when="FIRST_COMPLETED")
                if task.done():
                    return task.result()
                task.cancel()
                return None

            try:
                while not self._stopping.is_set():
                    took = await do(self._look(group))
                    if until_idle and took == 0 and not self._active and not self._broken:
                        break
                    if not took:
                        await do(self._pause())
            finally:
                self._stopping.set()
                for handle in self._active.values():
                    handle.release()

    async def _pause(self) -> None:
        await self._sleep(self._poll_s)

    async def _look(self, group: asyncio.TaskGroup) -> int | None:
        """Take what there is, as far as there is room; return how many runs, `None` when there may be more to find."""
        free = self.concurrency - len(self._active)
        if free <= 0 or self._alone in self._active:
            return 0
        took = await self._take_back(group, most=free)
        known = {*self._foreign, *self._active, *self._broken}
        try:
            await self.runtime.begin()
            found = await self.runtime.owner.find_work(limit=free + len(known))
        except QuorateError:
            return None
        new = [summary for summary in found if summary.run not in known]
        last = [summary for summary in new if self._is_on_last_chance(summary)]
        if last:
            new = [] if self._active else last[:1]
            self._alone = last[0].run
        # Side by side: the attempts of all of them are recorded in one commit.
        async with asyncio.TaskGroup() as taking:
            room = self.concurrency - len(self._active)
            tasks = [taking.create_task(self._take(summary, group)) for summary in new[:room]]
        took += sum(task.result() for task in tasks)
        return took or (None if new else 0)

    def _is_on_last_chance(self, summary: RunSummary) -> bool:
        """Whether one more death puts a run aside: it is then done alone, so that it does not die of another one."""
        crashes = summary.crashes + (summary.status == "running")
        return 0 < crashes == self.runtime.settings.worker.max_crashes - 1

    async def _take(self, summary: RunSummary, group: asyncio.TaskGroup, *, is_ours: bool = False) -> bool:
        try:
            handle = await self.runtime.take(summary, is_ours=is_ours)
        except (StorageFull, Unavailable) as error:
            self._put_off(summary.run, summary.tenant)
            self._tell("blocked", summary, error)
            return False
        except Exception as error:  # an agent is anybody's code: one that cannot be opened here harms no other run
            self._leave(summary, error)
            return False
        if handle is None:
            return False
        self._active[handle.id] = handle
        self._tell("taken", handle, None)
        group.create_task(self._await_end(handle, summary.tenant))
        return True

    def _leave(self, summary: RunSummary, error: Exception) -> None:
        if len(self._foreign) >= MAX_FOREIGN:
            del self._foreign[next(iter(self._foreign))]
        self._foreign[summary.run] = None
        self._tell(
            "foreign", summary, error if isinstance(error, QuorateError) else QuorateError(describe_error(error))
        )

    def _put_off(self, run: str, tenant: str) -> None:
        self._broken[run] = (tenant, self.runtime.clock.monotonic() + RETRY_S)

    async def _await_end(self, handle: RunHandle, tenant: str) -> None:
        why: QuorateError | None = None
        try:
            await handle.wait()
        except Exception as error:  # how a run ends is in its log; it must not end the worker
            why = error if isinstance(error, QuorateError) else None
        finally:
            del self._active[handle.id]
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
