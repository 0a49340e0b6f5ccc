"""How is a schedule written for people and for programs?"""

from __future__ import annotations

import datetime

from quorate.cli.words import align, clean_line, show_duration, show_time
from quorate.runtime.schedules import Cron, Record, Schedule
from quorate.runtime.schedules.moments import load_zone
from quorate.runtime.schedules.records import get_standing, list_next

CAUGHT = {
    "skip": "missed moments are passed over",
    "last": "the last missed moment is made up for",
    "all": "missed moments are made up for, {most} at most",
}


def show_record(record: Record, *, now: float, count: int) -> dict[str, object]:
    """Show a schedule for programs; times are seconds since 1970."""
    return {
        "schedule": record.schedule,
        "status": get_standing(record),
        "next": list_next(record, now=now, count=count),
        "last": record.last,
        "fired": record.fired,
        "missed": record.missed,
        "overlapped": record.overlapped,
        "revision": record.revision,
    }


def render_row(record: Record) -> tuple[str, ...]:
    """Write a schedule on one line of a list."""
    following = show_time(record.next) if record.next is not None and not record.schedule.paused else "-"
    work = record.schedule.work
    return (
        record.schedule.name,
        get_standing(record),
        describe_when(record.schedule),
        following,
        work.agent or "-",
        clean_line(work.task, most=60),
    )


def render_record(record: Record, *, now: float, count: int) -> list[str]:
    """Write a schedule in full, with its next moments by the clocks of its place."""
    schedule, policy = record.schedule, record.schedule.policy
    work = schedule.work
    rows: list[tuple[str, ...]] = [
        ("schedule", schedule.name),
        ("status", get_standing(record)),
        ("when", describe_when(schedule)),
        ("task", clean_line(work.task)),
        *((name, value) for name, value in _list_choices(schedule) if value),
        ("late", CAUGHT[policy.catch_up].format(most=policy.most)),
        ("overlap", policy.overlap),
        ("counts", f"{record.fired} submitted, {record.missed} missed, {record.overlapped} overlapped"),
    ]
    if record.firing is not None:
        rows.append(("under way", show_moment(record, record.firing.moment)))
    if record.last is not None:
        became = record.last.run or f"refused: {clean_line(record.last.refused)}"
        rows.append(("last", f"{show_moment(record, record.last.moment)}  {became}"))
    moments = list_next(record, now=now, count=count)
    rows += [("next" if not place else "", show_moment(record, moment)) for place, moment in enumerate(moments)]
    return align(rows)


def describe_when(schedule: Schedule) -> str:
    """Write when a schedule comes on one line."""
    if isinstance(schedule.when, Cron):
        return f"{schedule.when.expression} {schedule.when.zone}"
    seconds = schedule.when.seconds
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"every {seconds // size}{unit}"
    return f"every {seconds}s"


def show_moment(record: Record, moment: float) -> str:
    """Write a moment by the clocks of the schedule's place, and in UTC where that is another time."""
    when = record.schedule.when
    utc = f"{show_time(moment)} UTC"
    if not isinstance(when, Cron) or when.zone == "UTC":
        return utc
    local = datetime.datetime.fromtimestamp(moment, load_zone(when.zone))
    return f"{local:%Y-%m-%d %H:%M:%S} {when.zone}  ({utc})"


def _list_choices(schedule: Schedule) -> list[tuple[str, str]]:
    work, jitter_s = schedule.work, schedule.policy.jitter_s
    return [
        ("agent", work.agent or ""),
        ("model", work.model or ""),
        ("session", work.session or ""),
        ("labels", clean_line(" ".join(f"{name}={value}" for name, value in work.labels.items()))),
        ("start", f"{show_time(schedule.start)} UTC" if schedule.start is not None else ""),
        ("end", f"{show_time(schedule.end)} UTC" if schedule.end is not None else ""),
        ("jitter", f"up to {show_duration(jitter_s)}" if jitter_s else ""),
        ("for", schedule.principal),
    ]
