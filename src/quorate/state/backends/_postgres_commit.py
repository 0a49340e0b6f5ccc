"""How do appends that wait at the same time become one statement, and each its own outcome?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from zlib import crc32

from msgspec import Struct

from quorate.codec.json import encode
from quorate.errors import CorruptState, InvalidInput, QuorateError, TooLarge, Unavailable
from quorate.events import NOTICES, SCHEMA_VERSION, AnyEvent, RunSummary, get_kind, summarize
from quorate.state.backends._checks import build_run_conflict
from quorate.state.backends._postgres_errors import DEADLOCK, LOCKED
from quorate.state.backends._postgres_lines import Lines
from quorate.state.backends._postgres_rows import (
    SummaryRow,
    check_run,
    decode_summary,
    escape,
    quote,
    write_array,
)
from quorate.state.backends._rows import CHANGING, encode_event

_MAX_KNOWN = 8192
_TRIES = 5


class State(Struct, frozen=True, gc=False):
    """A run's last `seq` and its time, and the one line about it."""

    last: int
    updated: float | None = None
    """`None` while there is no line."""
    summary: RunSummary | None = None
    """As it was when its run last changed in more than position and time."""


_NEW = State(0)
EventRow = tuple[str, str, str, str]
"""Run, `seq`, kind and checksum of an event, each written as an element of an array."""


class Append:
    """Events of one run on their way to the database, encoded already, and known to be readable again."""

    __slots__ = ("bodies", "changes", "expected", "future", "rows", "run", "size", "updated")

    def __init__(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        self.run = check_run(run)
        self.expected = expected
        self.rows: list[EventRow] = []
        self.bodies: list[bytes] = []
        self.changes: list[AnyEvent] = []
        """Those of the events that change more of the run's line than position and time."""
        self.updated = 0.0
        """The time of the last event."""
        self.size = 0
        """The bytes it holds while it waits."""
        quoted = quote(run)
        for seq, given in enumerate(events, expected + 1):
            event, body = encode_event(run, seq, given)
            if type(event) in CHANGING:
                self.changes.append(event)
            self.rows.append((quoted, str(seq), get_kind(event), str(crc32(body))))
            self.bodies.append(body)
            self.size += len(body)
            self.updated = event.time
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, error: QuorateError | None = None) -> None:
        """Tell the caller how it went, if it is still there."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Plan(Struct):
    """What a run's waiting appends come to, if the run is where it is thought to be."""

    run: str
    begin: State
    end: State
    taken: list[Append]
    refused: list[tuple[Append, int]]
    """With the position that was met instead."""
    is_changed: bool = False
    """Whether more of the run's line changes than position and time."""


class Committer:
    """Writes batches of appends over one connection, and remembers where runs are."""

    def __init__(self, lines: Lines, *, outbox: bool) -> None:
        self._lines = lines
        self._outbox = outbox
        self._known: dict[str, State] = {}

    async def commit(self, jobs: Sequence[Append]) -> None:
        """Write what is in order, and settle every job."""
        try:
            await self._settle(jobs)
        except QuorateError as error:
            groups = _group(jobs)
            if len(groups) == 1 or not _is_of_one_run(error):
                _fail(jobs, error)
                return
            for part in await self._split(groups, error):
                await self._settle_or_fail(part)

    async def _split(self, groups: Mapping[str, list[Append]], error: QuorateError) -> list[list[Append]]:
        """Take a batch apart for which one run is to blame; those that others hold locked have waited enough."""
        if not _is_locked(error):
            return list(groups.values())
        try:
            locked = {run for (run,) in await self._lines.write(tuple[str], "find_locked", list(groups))}
        except QuorateError:
            locked = set(groups)
        _fail([job for run in locked for job in groups[run]], error)
        return [[job for run, jobs in groups.items() if run not in locked for job in jobs]]

    async def _settle_or_fail(self, jobs: Sequence[Append]) -> None:
        try:
            await self._settle(jobs)
        except QuorateError as error:
            _fail(jobs, error)

    async def _settle(self, jobs: Sequence[Append]) -> None:
        """Write in rounds: a run that is not where it was thought to be is looked up, and its appends judged anew."""
        left = [job for job in jobs if not job.future.done()]
        is_fresh, tries = False, 0
        while left:
            groups = _group(left)
            try:
                plans = await self._plan(groups, is_fresh=is_fresh)
                written = await self._write([plan for plan in plans if plan.end.last > plan.begin.last])
            except QuorateError as error:
                for run in groups:
                    self._known.pop(run, None)
                tries += 1
                if error.context.get("sqlstate") not in DEADLOCK or tries >= _TRIES:
                    raise
                continue
            left.clear()
            is_fresh = True
            for plan in plans:
                if plan.end.last > plan.begin.last and plan.run not in written:
                    self._known.pop(plan.run, None)
                    left += groups[plan.run]
                else:
                    self._finish(plan)

    async def _plan(self, groups: Mapping[str, list[Append]], *, is_fresh: bool) -> list[Plan]:
        plans: dict[str, Plan | None] = {}
        for run, jobs in groups.items():
            guess = self._known.get(run) or (_NEW if jobs[0].expected == 0 else None)
            plan = None if is_fresh or guess is None else _chain(run, jobs, guess)
            # A guess serves only where the statement will prove it: all of them fit, and there is something to write.
            plans[run] = plan if plan and not plan.refused and plan.end.last > plan.begin.last else None
        missing = sorted(run for run, plan in plans.items() if plan is None)
        states = await self._load_states(missing) if missing else {}
        return [plan or _chain(run, groups[run], states.get(run, _NEW)) for run, plan in sorted(plans.items())]

    async def _load_states(self, runs: Sequence[str]) -> dict[str, State]:
        rows = await self._lines.read(SummaryRow, "get_states", runs)
        return {row[0]: State(row[1], row[2], decode_summary(row)) for row in rows}

    async def _write(self, plans: Sequence[Plan]) -> set[str]:
        if not plans:
            return set()
        moved = [plan for plan in plans if not plan.is_changed]
        changed = [plan for plan in plans if plan.is_changed]
        recorded = (SCHEMA_VERSION, *_build_events(plans))
        if not changed:
            rows = await self._lines.write(tuple[str], "move", *_build_moved(moved), *recorded)
        else:
            # What changes a run's line is what there are notices of.
            noted = _build_notices(changed, is_kept=self._outbox)
            rows = await self._lines.write(
                tuple[str], "append", *_build_moved(moved), *_build_changed(changed), *recorded, *noted
            )
        return {run for (run,) in rows}

    def _finish(self, plan: Plan) -> None:
        self._known.pop(plan.run, None)
        if plan.end.last:
            self._known[plan.run] = plan.end
        while len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        for job in plan.taken:
            job.settle()
        for job, last in plan.refused:
            job.settle(build_run_conflict(job.run, last, job.expected))

    def forget(self, run: str) -> None:
        """Let go of what is known of a run that was deleted."""
        self._known.pop(run, None)


def _group(jobs: Sequence[Append]) -> dict[str, list[Append]]:
    groups: dict[str, list[Append]] = {}
    for job in jobs:
        groups.setdefault(job.run, []).append(job)
    return groups


def _chain(run: str, jobs: Sequence[Append], begin: State) -> Plan:
    plan = Plan(run=run, begin=begin, end=begin, taken=[], refused=[], is_changed=begin.last == 0)
    for job in jobs:
        state = plan.end
        if job.expected != state.last:
            plan.refused.append((job, state.last))
            continue
        plan.taken.append(job)
        if not job.bodies:
            continue
        summary = state.summary
        if job.changes:
            summary = summarize(summary, job.changes)
            plan.is_changed = True
        updated = job.updated if summary is not None else None
        plan.end = State(state.last + len(job.bodies), updated, summary)
    return plan


def _build_moved(plans: Sequence[Plan]) -> list[str]:
    return [
        write_array([quote(plan.run) for plan in plans]),
        write_array([str(plan.begin.last) for plan in plans]),
        write_array([str(plan.end.last) for plan in plans]),
        write_array([_write_time(plan.begin.updated) for plan in plans]),
        write_array([_write_time(plan.end.updated) for plan in plans]),
    ]


def _write_time(time: float | None) -> str:
    return "NULL" if time is None else repr(time)


def _build_changed(plans: Sequence[Plan]) -> list[list[object]]:
    columns: list[list[object]] = [[] for _ in range(12)]
    for plan in plans:
        summary = plan.end.summary
        facts = _build_facts(summary) if summary else (None,) * 7
        row = (plan.run, plan.begin.last, plan.end.last, plan.begin.updated, plan.end.updated, *facts)
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return columns


def _build_facts(summary: RunSummary) -> tuple[object, ...]:
    return (
        summary.status,
        escape(summary.agent),
        escape(summary.tenant),
        escape(summary.session),
        escape(summary.owner),
        summary.wakes,
        encode(summary),
    )


def _build_events(plans: Sequence[Plan]) -> list[object]:
    jobs = [job for plan in plans for job in plan.taken]
    columns = zip(*[row for job in jobs for row in job.rows], strict=True)
    return [*map(write_array, columns), [body for job in jobs for body in job.bodies]]


def _build_notices(plans: Sequence[Plan], *, is_kept: bool) -> list[list[object]]:
    rows = [
        (plan.run, event.seq, get_kind(event), escape(plan.end.summary.tenant) if plan.end.summary else "")
        for plan in (plans if is_kept else ())
        for job in plan.taken
        for event in job.changes
        if isinstance(event, NOTICES)
    ]
    return [[row[column] for row in rows] for column in range(4)]


def _fail(jobs: Sequence[Append], error: QuorateError) -> None:
    for job in jobs:
        # Each caller has its own, since raising one adds to its traceback.
        own = type(error)(error.message, **error.context) if len(jobs) > 1 else error
        own.__cause__ = error.__cause__
        job.settle(own)


def _is_of_one_run(error: QuorateError) -> bool:
    """Whether one run's rows are to blame, so that the rest of its batch deserves another try."""
    return _is_locked(error) or isinstance(error, (CorruptState, InvalidInput, TooLarge))


def _is_locked(error: QuorateError) -> bool:
    return isinstance(error, Unavailable) and error.context.get("sqlstate") == LOCKED
