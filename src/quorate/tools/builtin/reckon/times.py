"""When does a schedule fire next, and how far are two days apart?"""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from quorate.errors import MissingExtra, ToolError

_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class NextRuns(Struct, frozen=True, kw_only=True):
    """When a schedule fires next."""

    schedule: str
    timezone: str
    meaning: str
    """The schedule in words."""
    runs: tuple[str, ...]
    shortest_gap_s: int
    longest_gap_s: int


class DaySpan(Struct, frozen=True, kw_only=True):
    """How far two days are apart; the first one is not counted."""

    start: str
    end: str
    days: int
    """Negative when the end is before the start."""
    weekdays: int
    """Mondays to Fridays among them; holidays are not known."""
    weeks: int
    months: int
    """Whole months."""
    weekday_of_start: str
    weekday_of_end: str
    is_leap: bool
    """Whether the year of the end has 366 days."""


def find_next_runs(schedule: str, *, timezone: str, count: int, start: datetime) -> NextRuns:
    """List the next times of a schedule of five fields, by the clock of a time zone.

    Raises:
        MissingExtra: `cronsim` is not installed.
        ToolError: It is no schedule or zone, or it never fires.
    """
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as error:
        raise MissingExtra("Reading a schedule", "schedules") from error
    zone = find_zone(timezone)
    plain = _WORDS.get(schedule.strip().lower(), schedule.strip())
    try:
        times = CronSim(plain, start.astimezone(zone))
        runs = [one for one, _ in zip(times, range(count + 1), strict=False)]
        meaning = times.explain()
    except OverflowError as error:
        raise ToolError(f"From {start.isoformat()} on, the schedule leads out of the years there are.") from error
    except CronSimError as error:
        raise ToolError(
            f"{schedule[:80]!r} is no schedule: {str(error)[:100]}. Give five fields, such as `30 2 * * 1-5`."
        ) from error
    if not runs:
        raise ToolError(f"{schedule[:80]!r} never fires.")
    # A pair of times of one zone would be compared by the clock on the wall, not by what passes.
    instants = [one.astimezone(UTC) for one in runs]
    gaps = [int((after - before).total_seconds()) for before, after in pairwise(instants)]
    return NextRuns(
        schedule=plain,
        timezone=timezone,
        meaning=meaning,
        runs=tuple(one.isoformat(timespec="seconds") for one in runs[:count]),
        shortest_gap_s=min(gaps, default=0),
        longest_gap_s=max(gaps, default=0),
    )


def find_zone(name: str) -> ZoneInfo:
    """Find a time zone by its name.

    Raises:
        ToolError: There is none of this name on this machine.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ToolError(
            f"There is no time zone {name[:60]!r}; give one such as `Europe/Amsterdam` or `UTC`."
        ) from error


def read_time(text: str) -> datetime:
    """Read a date or time in ISO 8601; one without a zone is UTC.

    Raises:
        ToolError: It is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ToolError(f"{text[:60]!r} is no date or time; give one such as `2026-01-31T09:30:00Z`.") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def count_days(start: str, end: str) -> DaySpan:
    """Count days, weekdays and whole months from one day to another.

    Raises:
        ToolError: One of them is no day.
    """
    first, last = _read_day(start), _read_day(end)
    early, late = min(first, last), max(first, last)
    days = (late - early).days
    sign = -1 if last < first else 1
    months = (late.year - early.year) * 12 + late.month - early.month - (late.day < early.day)
    is_leap = last.year % 4 == 0 and (last.year % 100 != 0 or last.year % 400 == 0)
    return DaySpan(
        start=first.isoformat(),
        end=last.isoformat(),
        days=sign * days,
        weekdays=sign * _count_weekdays(early, days),
        weeks=sign * (days // 7),
        months=sign * months,
        weekday_of_start=f"{first:%A}",
        weekday_of_end=f"{last:%A}",
        is_leap=is_leap,
    )


def _count_weekdays(start: date, days: int) -> int:
    whole, rest = divmod(days, 7)
    return whole * 5 + sum((start.weekday() + step) % 7 < 5 for step in range(1, rest + 1))


def _read_day(text: str) -> date:
    return read_time(text).date()
