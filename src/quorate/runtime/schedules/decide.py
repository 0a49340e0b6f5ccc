"""What becomes of the moments of a schedule that are due?"""

from __future__ import annotations

from msgspec import Struct, structs

from quorate.runtime.schedules.records import Fired, Firing, Record
from quorate.runtime.schedules.schedule import DAY_S, find_due, find_jitter, find_next

COUNTED = 100
"""Up to how many moments that are passed over are counted."""


class Decision(Struct, frozen=True, kw_only=True):
    """Up to which moment it is decided, and which of them is submitted."""

    until: float
    moment: float | None = None
    missed: int = 0


def find_time(record: Record, *, takeover_s: float, now: float) -> float | None:
    """Return when there is something to do for a schedule; `None` when there is nothing as it stands."""
    if record.firing is not None:  # also when it is paused: what was decided is done
        claimed = record.firing.claimed
        return now if claimed > now + takeover_s else claimed + takeover_s  # the clock may have been set back since
    if record.schedule.paused:
        return None
    if is_ahead(record, now):
        return now
    if record.next is None:
        return None
    return record.next + find_jitter(record.schedule, seed=record.id, moment=record.next)


def is_ahead(record: Record, now: float) -> bool:
    """Whether moments were decided that are days ahead: the store's clock had been wrong by that much."""
    return record.decided > now + DAY_S


def decide(record: Record, *, now: float) -> Decision | None:
    """Say what becomes of the moments that are due by `now`; `None` when there are none."""
    if is_ahead(record, now):
        return Decision(until=now)
    schedule, policy = record.schedule, record.schedule.policy
    found = find_due(schedule, seed=record.id, after=record.decided, now=now, most=max(policy.most, COUNTED))
    if not found:
        return None
    latest = found[-1]
    if policy.catch_up == "all":
        wanted = found[-policy.most :]
        return Decision(until=wanted[0], moment=wanted[0], missed=len(found) - len(wanted))
    late_s = now - latest - find_jitter(schedule, seed=record.id, moment=latest)
    if policy.catch_up == "skip" and late_s > policy.grace_s:
        return Decision(until=latest, missed=len(found))
    return Decision(until=latest, moment=latest, missed=len(found) - 1)


def carry_out(record: Record, decision: Decision, *, now: float, is_busy: bool) -> Record:
    """Write a decision down; with `is_busy`, the run before is still under way."""
    is_passed_over = is_busy and record.schedule.policy.overlap == "skip"
    firing = None
    if decision.moment is not None and not is_passed_over:
        schedule = record.schedule
        firing = Firing(
            moment=decision.moment,
            claimed=now,
            work=schedule.work,
            principal=schedule.principal,
            payer=schedule.payer,
        )
    return structs.replace(
        record,
        decided=decision.until,
        next=find_next(record.schedule, after=decision.until),
        firing=firing,
        missed=record.missed + decision.missed,
        overlapped=record.overlapped + (decision.moment is not None and is_passed_over),
    )


def settle(record: Record, *, now: float, run: str = "", refused: str = "") -> Record:
    """Write down what became of the moment that is being submitted."""
    assert record.firing is not None
    last = Fired(moment=record.firing.moment, time=now, run=run, refused=refused)
    return structs.replace(record, firing=None, last=last, fired=record.fired + bool(run))
