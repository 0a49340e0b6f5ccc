"""What can be done with schedules: add, show, list, pause, resume, delete?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from msgspec import structs

from quorate.errors import Conflict, CorruptState, NotFound
from quorate.ids import new_id
from quorate.runtime.acts import noted
from quorate.runtime.runtime import Runtime
from quorate.runtime.schedules.decide import is_ahead
from quorate.runtime.schedules.records import Record, Records
from quorate.runtime.schedules.schedule import Schedule, check_schedule, find_next
from quorate.runtime.schedules.store_time import StoreTime

MAX_TRIES = 50
MOST_SCHEDULES = 1000
"""How many one tenant may have."""


class Schedules:
    """The schedules of a runtime's tenant; schedulers of any process fire what is in them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._records = Records(runtime.store.values)
        self._time = StoreTime(runtime.store.values, clock=runtime.clock)

    async def add(
        self, schedule: Schedule, *, replace: bool = False, expected: int | None = None, by: str = "local"
    ) -> Record:
        """Keep a schedule; its tenant is the runtime's, and its first moment is one that is still to come.

        Args:
            schedule: What to do, and when.
            replace: Whether one of the same name gives way to it; what is decided of that one stays decided.
            expected: With `replace`, the revision that gives way; any when not given.
            by: Who adds it.

        Raises:
            Conflict: There is one of that name, or another revision of it than `expected`, or there are too many.
            InvalidInput: It cannot be kept, or a worker could not do its work; the message says why.
            MissingExtra: What reads cron expressions is not installed.
        """
        schedule = structs.replace(schedule, tenant=self._runtime.tenant, payer=self._runtime.payer)
        async with noted(self._runtime.audit, "schedule.add", principal=by, object=f"schedule/{schedule.name[:63]}"):
            now = await self._check(schedule)
            if not replace:
                return await self._create(schedule, now=now)
            try:
                return await self._change(schedule.name, partial(_replace, schedule=schedule, now=now), expected)
            except NotFound as error:
                if expected is not None:
                    raise Conflict(f"Schedule {schedule.name!r} was forgotten since it was read.") from error
                return await self._create(schedule, now=now)
            except CorruptState:
                await self._records.delete(schedule.tenant, schedule.name)
                return await self._create(schedule, now=now)

    async def check(self, schedule: Schedule) -> Record:
        """Check a schedule as `add` does, and return what would be kept of it if there was none of that name.

        Raises:
            InvalidInput: It cannot be kept.
            MissingExtra: What reads cron expressions is not installed.
        """
        schedule = structs.replace(schedule, tenant=self._runtime.tenant)
        return _build(schedule, now=await self._check(schedule))

    async def find(self, name: str) -> Record | None:
        """Find a schedule.

        Raises:
            CorruptState: It does not verify.
        """
        return await self._records.find(self._runtime.tenant, name)

    async def get(self, name: str) -> Record:
        """Return a schedule.

        Raises:
            NotFound: There is none of that name.
            CorruptState: It does not verify.
        """
        record = await self.find(name)
        if record is None:
            raise _build_absent(name)
        return record

    async def list_schedules(self) -> list[Record | CorruptState]:
        """List all schedules by name, and for those that do not verify, why."""
        return [found async for _, found in self._records.scan(self._runtime.tenant)]

    async def page(self, *, after: str = "", limit: int = 50) -> list[tuple[str, Record | CorruptState]]:
        """List names behind one, at most so many, each with its schedule, or why it does not verify."""
        found = list[tuple[str, Record | CorruptState]]()
        async for label, one in self._records.scan(self._runtime.tenant, after=after):
            found.append((label.rpartition("/")[2], one))
            if len(found) >= limit:
                break
        return found

    async def pause(self, name: str, *, expected: int | None = None, by: str = "local") -> Record:
        """Let no further moment come; one that was decided before is still submitted.

        Raises:
            NotFound: There is none of that name.
            Conflict: It is another revision than `expected`.
        """

        def change(record: Record) -> Record:
            return structs.replace(record, schedule=structs.replace(record.schedule, paused=True))

        async with noted(self._runtime.audit, "schedule.pause", principal=by, object=f"schedule/{name[:63]}"):
            return await self._change(name, change, expected)

    async def resume(self, name: str, *, expected: int | None = None, by: str = "local") -> Record:
        """Let moments come again, from now on: those of the pause are not made up for.

        Raises:
            NotFound: There is none of that name.
            Conflict: It is another revision than `expected`.
        """
        async with noted(self._runtime.audit, "schedule.resume", principal=by, object=f"schedule/{name[:63]}"):
            now = await self._time.look()

            def change(record: Record) -> Record:
                if not record.schedule.paused:
                    return record
                return _replace(record, schedule=structs.replace(record.schedule, paused=False), now=now)

            return await self._change(name, change, expected)

    async def delete(self, name: str, *, expected: int | None = None, by: str = "local") -> None:
        """Forget a schedule; its runs stay.

        Raises:
            NotFound: There is none of that name.
            Conflict: It is another revision than `expected`.
        """
        async with noted(self._runtime.audit, "schedule.delete", principal=by, object=f"schedule/{name[:63]}"):
            if not await self._records.delete(self._runtime.tenant, name, expected=expected):
                raise _build_absent(name)

    async def _create(self, schedule: Schedule, *, now: float) -> Record:
        if len([one async for one in self._records.scan(schedule.tenant)]) >= MOST_SCHEDULES:
            raise Conflict(f"There are {MOST_SCHEDULES} schedules already, and no more are kept: remove one.")
        try:
            return (await self._records.put(_build(schedule, now=now)))[0]
        except Conflict as error:
            raise Conflict(
                f"There is a schedule {schedule.name!r} already: choose another name, or replace it on purpose "
                "(`--replace`).",
                schedule=schedule.name,
            ) from error

    async def _change(self, name: str, change: Callable[[Record], Record], expected: int | None = None) -> Record:
        for _ in range(MAX_TRIES):
            record = await self.get(name)
            if expected not in (None, record.revision):
                raise Conflict(f"Schedule {name!r} was changed since it was read: read it again.", schedule=name)
            changed = await asyncio.to_thread(change, record)
            if changed is record:
                return record
            try:
                return (await self._records.put(changed))[0]
            except Conflict:
                continue
        raise Conflict(f"Schedule {name!r} was changed by others {MAX_TRIES} times meanwhile: try again.")

    async def _check(self, schedule: Schedule) -> float:
        """Check a schedule and return the store's time."""
        now = await self._time.look()
        await asyncio.to_thread(check_schedule, schedule, now=now)
        work = schedule.work
        agent = work.agent if work.agent is not None else self._runtime.catalog.route(work.task).agent
        self._runtime.find_agent(agent, work.model)
        return now


def _build(schedule: Schedule, *, now: float) -> Record:
    return Record(schedule=schedule, id=new_id("schedule"), decided=now, next=find_next(schedule, after=now))


def _replace(record: Record, *, schedule: Schedule, now: float) -> Record:
    decided = now if is_ahead(record, now) else max(record.decided, now)
    return structs.replace(record, schedule=schedule, decided=decided, next=find_next(schedule, after=decided))


def _build_absent(name: str) -> NotFound:
    return NotFound(f"There is no schedule {name!r}: list them with `quorate schedules list`.", schedule=name)
