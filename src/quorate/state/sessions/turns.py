"""May a session take another turn, and where does it go on from?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from msgspec import structs

from quorate.errors import Conflict
from quorate.events import RunCreated, RunSummary
from quorate.ids import check_id, new_id
from quorate.messages import Usage
from quorate.ports import Log, RunOrder
from quorate.state.sessions.session import Hold, Session, SessionUsage, Turn

HOLD_S = 60.0
"""How long a turn that was begun counts although its run is not in the log."""
NEAR_S = 5.0
"""How far apart the clocks of those who begin runs may be."""
MOST_NEAR = 20
MAX_HOLDS = 256
OPEN = ("queued", "running")
PAGE = 500


async def list_session_runs(log: Log, session: Session, *, order: RunOrder = "newest") -> AsyncIterator[RunSummary]:
    """Yield the runs of a session, youngest first unless told otherwise."""
    before: str | None = None
    while True:
        page = await log.list_runs(session=session.id, tenant=session.tenant, order=order, before=before, limit=PAGE)
        for summary in page:
            yield summary
        if len(page) < PAGE:
            return
        before = page[-1].run


async def read_beginnings(log: Log, runs: Sequence[RunSummary]) -> list[RunCreated]:
    """Read the first event of a few runs at once; those that are gone are left out.

    Raises:
        QuorateError: What the log raises.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(log.read(summary.run, limit=1)) for summary in runs]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed  # what one read says, not that there were several
    firsts = [event for task in tasks for event in task.result()]
    return [first for first in firsts if isinstance(first, RunCreated)]


async def read_turns(log: Log, session: Session) -> list[RunSummary]:
    """Read as many of a session's runs, youngest first, as its next turn depends on."""
    limits, runs = session.limits, list[RunSummary]()
    if limits.max_runs or limits.max_concurrent_runs or limits.max_cost_usd:
        return [summary async for summary in list_session_runs(log, session)]
    limit, before = 10, None
    while True:
        page = await log.list_runs(session=session.id, tenant=session.tenant, before=before, limit=limit)
        runs += page
        if len(page) < limit or any(summary.status not in OPEN for summary in page):
            return runs
        limit, before = PAGE, page[-1].run


async def find_previous(log: Log, session: Session, runs: Sequence[RunSummary]) -> tuple[str, int]:
    """Find the run that the next turn goes on from, and up to which event; `("", 0)` for the first of all.

    It is the youngest that has ended or rests. Where several began at almost the same time, by clocks that may differ,
    it is one that none of the others goes on from.
    """
    resting = [summary for summary in runs if summary.status not in OPEN and summary.run > session.cut]
    resting.sort(key=lambda summary: (summary.created, summary.run), reverse=True)
    near = [summary for summary in resting[:MOST_NEAR] if summary.created >= resting[0].created - NEAR_S]
    if len(near) > 1:
        passed = {first.previous for first in await read_beginnings(log, near)}
        near = [summary for summary in near if summary.run not in passed] or near
    if near:
        return near[0].run, near[0].events
    if session.parent is not None and not session.cut:
        return session.parent.run, session.parent.seq
    return "", 0


def settle_holds(holds: Sequence[Hold], runs: Sequence[RunSummary], *, now: float) -> tuple[Hold, ...]:
    """Keep the holds whose runs are not in the log yet; one that came under another id stands for the oldest such."""
    recorded = {summary.run for summary in runs}
    named = {hold.run for hold in holds if hold.named}
    others = sorted((summary.created, summary.run) for summary in runs if summary.run not in named)
    kept: list[Hold] = []
    for hold in holds:
        if hold.run in recorded or abs(now - hold.since) >= HOLD_S:
            continue
        if not hold.named:
            came = next((one for one in others if one[0] >= hold.since), None)
            if came is not None:
                others.remove(came)
                continue
        kept.append(hold)
    return tuple(kept)


def find_expiry(session: Session, runs: Sequence[RunSummary], *, now: float) -> float | None:
    """Find since when a session is expired, or `None`; one that works is not idle."""
    if session.expires is not None and session.expires <= now:
        return session.expires
    idle = session.limits.max_idle_s
    if idle is None or session.status != "active" or any(summary.status in OPEN for summary in runs):
        return None
    since = max([session.active, *(summary.updated for summary in runs)])
    return since + idle if since + idle <= now else None


def find_refusal(session: Session, runs: Sequence[RunSummary], *, now: float) -> str | None:
    """Say why a session takes no further turn, and what to do about it; `None` when it takes one."""
    name, limits = f"Session {session.id!r}", session.limits
    onwards = f"begin another one, or go on from it with `quorate sessions fork {session.id}`."
    if session.status == "suspended":
        return f"{name} is suspended: go on with it by `quorate sessions resume {session.id}`."
    if session.is_ended:
        return f"{name} is {session.status}: {onwards}"
    expired = find_expiry(session, runs, now=now)
    if expired is not None:
        return f"{name} expired at {datetime.fromtimestamp(expired, UTC):%Y-%m-%d %H:%M:%S} UTC: {onwards}"
    begun = len(settle_holds(session.holds, runs, now=now))
    if begun >= MAX_HOLDS:
        return f"{name} has {begun} turns whose runs were not recorded: begin turns only for runs that follow at once."
    raise_it = f"raise it with `quorate sessions update {session.id} --limit"
    if limits.max_runs is not None and len(runs) + begun >= limits.max_runs:
        return f"{name} has had the {limits.max_runs} runs of its limit: {raise_it} max_runs=…`, or {onwards}"
    under_way = [summary.run for summary in runs if summary.status in OPEN]
    if limits.max_concurrent_runs is not None and len(under_way) + begun >= limits.max_concurrent_runs:
        which = f" ({', '.join(under_way[:3])})" if under_way else ""
        return (
            f"{name} has {len(under_way) + begun} runs under way{which}, which is its limit: wait for them, "
            "or stop one with `quorate runs cancel`."
        )
    return _find_cost_refusal(name, limits.max_cost_usd, runs, raise_it)


def _find_cost_refusal(name: str, most: float | None, runs: Sequence[RunSummary], raise_it: str) -> str | None:
    if most is None:
        return None
    spent = sum_usage(runs).cost_usd
    if spent is None:
        return (
            f"{name} has a limit of ${most:g}, and the cost of one of its runs is not known: use models with a price, "
            "or a session without that limit."
        )
    if spent >= most:
        return f"{name} has used ${spent:.4f} of its ${most:g}: {raise_it} max_cost_usd=…`, or begin another one."
    return None


def build_turn(
    session: Session, runs: Sequence[RunSummary], *, previous: tuple[str, int], run: str, now: float
) -> tuple[Session, Turn]:
    """Build a session's next turn, which goes on from `previous`, and its record with that turn noted.

    Raises:
        Conflict: It takes no turns, for the reason that is said.
    """
    # Whoever begins a turn again for the same run, as after a crash, does not stand in its own way.
    session = structs.replace(session, holds=tuple(hold for hold in session.holds if hold.run != run))
    refusal = find_refusal(session, runs, now=now)
    if refusal is not None:
        raise Conflict(refusal, session=session.id)
    hold = Hold(run=check_id(run, "run") if run else new_id("run"), since=now, named=bool(run))
    is_counted = session.limits.max_runs is not None or session.limits.max_concurrent_runs is not None
    is_forking = session.parent is not None and previous[0] == session.parent.run
    after = structs.replace(
        session,
        active=now,
        updated=now,
        last_run=session.last_run if is_forking else previous[0],
        holds=(*settle_holds(session.holds, runs, now=now), hold) if is_counted else (),
    )
    return after, Turn(session=session.id, run=hold.run, previous=previous[0], previous_seq=previous[1])


def sum_usage(runs: Sequence[RunSummary]) -> SessionUsage:
    """Sum what runs have used."""
    usage, cost_usd = Usage(), 0.0
    for summary in runs:
        usage += summary.usage
        cost_usd = None if cost_usd is None or summary.cost_usd is None else cost_usd + summary.cost_usd
    return SessionUsage(
        runs=len(runs), open=sum(summary.status in OPEN for summary in runs), usage=usage, cost_usd=cost_usd
    )
