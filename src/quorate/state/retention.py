"""Which runs are old or many enough to go, and how do they go without taking what others need?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Literal

from msgspec import Struct, structs

from quorate.clock import Clock
from quorate.errors import InvalidInput
from quorate.events import RunSummary, Status
from quorate.ports import Log, Store
from quorate.state.archive.lines import Advance, encode_line, ignore_progress
from quorate.state.archive.reading import read_whole, scan_runs
from quorate.state.audit import AuditTrail
from quorate.state.erasure.inventory import ENDED, Surveyor
from quorate.state.erasure.notices import drop_notices
from quorate.state.sessions.records import Records
from quorate.state.sessions.session import ENDED as ENDED_SESSIONS

Why = Literal["age", "count", "size"]
"""Which bound takes a run."""
TOGETHER = 1000
"""After how many runs their notices go, too."""


class RetentionPolicy(Struct, frozen=True, kw_only=True):
    """How long and how many ended runs each tenant keeps; what is not given does not bind."""

    max_age_s: float | None = None
    """How long after the last thing that happened to it a run is kept."""
    max_runs: int | None = None
    max_bytes: int | None = None
    """Of all events together, as `quorate runs export` writes them."""
    statuses: tuple[Status, ...] = ()
    """Only these count and are taken; all that have ended when empty."""

    def __post_init__(self) -> None:
        """Refuse what would take everything by mistake, or nothing ever.

        Raises:
            InvalidInput: A bound is negative, or a status is no end.
        """
        for name in ("max_age_s", "max_runs", "max_bytes"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise InvalidInput(f"`{name}` is {value!r}; a bound is a number from 0 on.")
        for status in self.statuses:
            if status not in ENDED:
                raise InvalidInput(f"runs that are {status!r} are never taken: choose among {', '.join(ENDED)}.")


class Taken(Struct, frozen=True, kw_only=True):
    """A run that goes, and why."""

    run: RunSummary
    why: Why


class RetentionPlan(Struct, frozen=True, kw_only=True):
    """Which runs go, the oldest first."""

    taken: tuple[Taken, ...] = ()
    kept: int = 0
    """How many runs stay that the policy is about."""
    held: int = 0
    """How many of those would go if nothing needed them."""


class _Unit(Struct, frozen=True, gc=False):
    """Runs that go together or not at all: one alone, or all of a session, which are one conversation."""

    runs: list[RunSummary]
    updated: float
    size: int
    may_go: bool


def plan_retention(
    summaries: Iterable[RunSummary],
    policy: RetentionPolicy,
    *,
    now: float,
    sizes: Mapping[str, int] | None = None,
    held_sessions: frozenset[tuple[str, str]] = frozenset(),
) -> RetentionPlan:
    """Choose the runs that go: by age first, then the oldest until count and size fit; each tenant by itself.

    Runs that have not ended are never taken. The runs of a session are one conversation: they go all together, and only
    when all of them have ended with a status that may be taken.

    Args:
        summaries: All runs, in any order.
        policy: What is kept.
        now: Wall time.
        sizes: Bytes of each run, where the policy bounds them.
        held_sessions: Tenant and id of sessions whose runs stay, such as those that go on.
    """
    tenants: defaultdict[str, list[RunSummary]] = defaultdict(list)
    for summary in summaries:
        tenants[summary.tenant].append(summary)
    taken, kept, held = list[Taken](), 0, 0
    for tenant in sorted(tenants):
        units = _build_units(tenants[tenant], policy, sizes or {}, held_sessions)
        gone, stay, stuck = _plan_tenant(units, policy, now=now)
        taken += gone
        kept, held = kept + stay, held + stuck
    return RetentionPlan(taken=tuple(taken), kept=kept, held=held)


def _build_units(
    summaries: Sequence[RunSummary],
    policy: RetentionPolicy,
    sizes: Mapping[str, int],
    held_sessions: frozenset[tuple[str, str]],
) -> list[_Unit]:
    """Put together what goes together, oldest first."""
    wanted = policy.statuses or ENDED
    groups: defaultdict[str, list[RunSummary]] = defaultdict(list)
    for summary in summaries:
        groups[f"session/{summary.session}" if summary.session else f"run/{summary.run}"].append(summary)
    units = [
        _Unit(
            runs=sorted(group, key=lambda one: one.run),
            updated=max(one.updated for one in group),
            size=sum(sizes.get(one.run, 0) for one in group),
            may_go=all(one.status in wanted for one in group)
            and (group[0].tenant, group[0].session or "") not in held_sessions,
        )
        for group in groups.values()
        if any(one.status in wanted for one in group)
    ]
    return sorted(units, key=lambda unit: (unit.updated, unit.runs[0].run))


def _plan_tenant(units: Sequence[_Unit], policy: RetentionPolicy, *, now: float) -> tuple[list[Taken], int, int]:
    taken = list[Taken]()
    count, size = sum(len(unit.runs) for unit in units), sum(unit.size for unit in units)
    held = 0
    for unit in units:
        why: Why | None = None
        if policy.max_age_s is not None and unit.updated < now - policy.max_age_s:
            why = "age"
        elif policy.max_runs is not None and count > policy.max_runs:
            why = "count"
        elif policy.max_bytes is not None and size > policy.max_bytes:
            why = "size"
        if why is None:
            continue
        if not unit.may_go:
            held += len(unit.runs)
            continue
        taken += [Taken(run=run, why=why) for run in unit.runs]
        count, size = count - len(unit.runs), size - unit.size
    return taken, count, held


class PruneReport(Struct, frozen=True, kw_only=True):
    """What came of a retention."""

    plan: RetentionPlan
    runs: int = 0
    """How many runs were deleted; 0 in a dry run."""
    events: int = 0
    artifacts: int = 0
    """How many artifacts went with them: those that no session and nobody else has."""
    skipped: int = 0
    """How many stayed, because somebody went on with their session meanwhile."""


async def prune_runs(
    store: Store,
    policy: RetentionPolicy,
    *,
    clock: Clock,
    tenant: str | None = None,
    audit: AuditTrail | None = None,
    by: str = "retention",
    dry_run: bool = False,
    progress: Advance = ignore_progress,
) -> PruneReport:
    """Delete the runs that a policy does not keep, with what only they have.

    Values of a run go with it, and artifacts that belong to no session and are shared with nobody. When it is stopped,
    doing it again goes on.

    Args:
        store: Where.
        policy: What is kept.
        clock: What age goes by.
        tenant: Whose runs; of all tenants, each by itself, when not given.
        audit: Where every deleted run is written down; a tenant's own.
        by: Who deletes.
        dry_run: Only say what would be deleted.
        progress: Is told what is done.

    Raises:
        Unavailable: The store cannot be reached; what was deleted is deleted.
    """
    summaries = list[RunSummary]()
    async with aclosing(scan_runs(store.log, tenant=tenant)) as pages:
        async for page in pages:
            summaries += [structs.replace(summary, task="") for summary in page]
            progress("runs listed", len(summaries), 0)
    sizes = await _measure(store.log, summaries, progress) if policy.max_bytes is not None else None
    held = await _find_held(store, {summary.tenant for summary in summaries})
    plan = plan_retention(summaries, policy, now=clock.now(), sizes=sizes, held_sessions=held)
    if dry_run:
        return PruneReport(plan=plan)
    return await _prune(store, plan, clock=clock, audit=audit, by=by, progress=progress)


async def _measure(log: Log, summaries: Sequence[RunSummary], progress: Advance) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for number, summary in enumerate(summaries, 1):
        if summary.status in ENDED:
            async with aclosing(read_whole(log, summary.run)) as events:
                sizes[summary.run] = sum([len(encode_line(event)) async for event in events])
        progress("runs measured", number, len(summaries))
    return sizes


async def _find_held(store: Store, tenants: set[str]) -> frozenset[tuple[str, str]]:
    """Find the sessions whose runs must stay: those that may go on, and those that others go on from."""
    held, records = set[tuple[str, str]](), Records(store.values)
    for tenant in tenants:
        async for session, record in records.scan(tenant):
            # What cannot be read may be anything.
            if record is None or record.status not in ENDED_SESSIONS:
                held.add((tenant, session))
            if record is not None and record.parent is not None:
                held.add((tenant, record.parent.session))
    return frozenset(held)


async def _prune(
    store: Store, plan: RetentionPlan, *, clock: Clock, audit: AuditTrail | None, by: str, progress: Advance
) -> PruneReport:
    surveyors: dict[str, Surveyor] = {}
    runs = events = artifacts = skipped = 0
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for taken in plan.taken:
        if taken.run.session:
            counts[taken.run.tenant, taken.run.session] += 1
    unchanged: dict[tuple[str, str], bool] = {}
    gone = set[str]()
    for taken in plan.taken:
        summary = taken.run
        surveyor = surveyors.setdefault(summary.tenant, Surveyor(store, tenant=summary.tenant, clock=clock))
        if summary.session:
            place = (summary.tenant, summary.session)
            if place not in unchanged:
                there = [one async for one in surveyor.list_runs(lambda _: True, session=summary.session)]
                unchanged[place] = len(there) == counts[place]
            if not unchanged[place]:
                skipped += 1
                continue
        artifacts += await forget_run(store, surveyor, summary)
        gone.add(summary.run)
        if len(gone) >= TOGETHER:
            await drop_notices(store.outbox, gone)
            gone.clear()
        runs, events = runs + 1, events + summary.events
        if audit is not None and audit.tenant == summary.tenant:
            await audit.append(
                "run.delete", principal=by, object=f"run/{summary.run}", reason=f"retention: {taken.why}"
            )
        progress("runs deleted", runs, len(plan.taken))
    await drop_notices(store.outbox, gone)
    return PruneReport(plan=plan, runs=runs, events=events, artifacts=artifacts, skipped=skipped)


async def forget_run(store: Store, surveyor: Surveyor, summary: RunSummary) -> int:
    """Delete a run with what only it has, the log last; return how many artifacts went with it."""
    gone = 0
    if not summary.session:
        for record in await surveyor.find_run_artifacts(summary.run):
            if record.access == "run" and not record.shares:
                await surveyor.delete_artifact(record.info)
                gone += 1
    traces = (*await surveyor.find_submission(summary.run), *await surveyor.find_deliveries(summary.run))
    for key in (*await surveyor.find_run_values(summary.run), *traces):
        await store.values.delete(key)
    await store.log.delete(summary.run)
    return gone
