"""What is to be done again and again, when, and what becomes of moments that were missed?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Literal

from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.ids import check_id
from quorate.runtime.schedules.moments import LAST_TIME, Every, When, check_when, find_latest, iterate
from quorate.specs import Limits

CatchUp = Literal["skip", "last", "all"]
"""What becomes of moments at which nobody was there: nothing, the last one is made up for, or all of them are."""
Overlap = Literal["allow", "skip"]
"""What becomes of a moment at which the run of the one before is still under way."""

MOST_MADE_UP = 1000
MOST_LABELS = 20
MAX_LABEL = 256
LABEL = re.compile(r"[a-z][a-z0-9._-]{0,62}", re.ASCII)
OURS = ("model", "route", "schedule")
DAY_S = 86_400.0
TICK_S = 0.001


class Work(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is submitted at each moment; see `Runtime.submit`."""

    task: str
    agent: str | None = None
    model: str | None = None
    session: str | None = None
    limits: Limits | None = None
    labels: dict[str, str] = {}
    """Facts to find its runs by; each run also gets `schedule` and `schedule.moment`."""


class Policy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of moments that are not like the others."""

    catch_up: CatchUp = "last"
    most: int = 100
    """How many missed moments are made up for at most, the latest ones, when all are."""
    grace_s: float = 60.0
    """How late a moment may be and still not count as missed, when those that were missed are skipped."""
    overlap: Overlap = "allow"
    jitter_s: float = 0.0
    """Up to how many seconds later than its moment it is submitted: by chance, and the same for all schedulers."""


class Schedule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that is submitted again and again."""

    name: str
    work: Work
    when: When
    tenant: str = "default"
    principal: str = "local"
    """In whose name it is submitted."""
    payer: str = ""
    """Whose quotas below the tenant's its runs count in: those of the key it was kept with."""
    policy: Policy = Policy()
    start: float | None = None
    """Seconds since 1970: no moment is before it."""
    end: float | None = None
    """Seconds since 1970: every moment is before it."""
    paused: bool = False


def check_schedule(schedule: Schedule, *, now: float) -> None:
    """Check that a schedule can be kept; it reads files, so a program that serves others does it in a thread.

    Raises:
        InvalidInput: It cannot; the message says what to write instead.
        MissingExtra: What reads cron expressions is not installed.
    """
    check_id(schedule.name, "schedule")
    check_id(schedule.tenant, "tenant")
    if schedule.work.session is not None:
        check_id(schedule.work.session, "session")
    if not schedule.work.task.strip():
        raise InvalidInput(f"Schedule {schedule.name!r} has no task: say what is to be done.")
    _check_labels(schedule.work.labels)
    for name, time in (("start", schedule.start), ("end", schedule.end)):
        if time is not None and not 0 <= time <= LAST_TIME:
            raise InvalidInput(f"`{name}` is {time!r}; it is seconds since 1970, before the year 2100.")
    if schedule.start is not None and schedule.end is not None and schedule.end <= schedule.start:
        raise InvalidInput(f"Schedule {schedule.name!r} ends before it starts: give `end` a later time.")
    check_when(schedule.when, now=now)
    _check_policy(schedule.policy, schedule.when)
    if find_next(schedule, after=now) is None:
        raise InvalidInput(
            f"Schedule {schedule.name!r} has no moment that is still to come: look at `start` and `end`."
        )


def find_next(schedule: Schedule, *, after: float) -> float | None:
    """Return the first moment behind `after`; `None` when there is none any more."""
    return next(list_moments(schedule, after=after), None)


def list_moments(schedule: Schedule, *, after: float) -> Iterator[float]:
    """Yield the moments behind `after`."""
    moments = iterate(schedule.when, after=_find_begin(schedule, after))
    end = schedule.end
    return moments if end is None else takewhile(lambda moment: moment < end, moments)


def find_due(schedule: Schedule, *, seed: str, after: float, now: float, most: int) -> list[float]:
    """Return the last moments behind `after` that are due by `now`, in order, and at most `most` of them."""
    begin = _find_begin(schedule, after)
    until = now if schedule.end is None else min(now, schedule.end - TICK_S)
    if until <= begin:
        return []
    found = find_latest(schedule.when, after=begin, until=until, most=most)
    # In order: one that is put off puts off those behind it.
    return list(takewhile(lambda moment: moment + find_jitter(schedule, seed=seed, moment=moment) <= now, found))


def find_jitter(schedule: Schedule, *, seed: str, moment: float) -> float:
    """Return by how many seconds a moment is put off: by chance, but the same for whoever asks."""
    if not schedule.policy.jitter_s:
        return 0.0
    drawn = hashlib.sha256(f"{seed}/{moment:.3f}".encode()).digest()
    return int.from_bytes(drawn[:8]) / 2**64 * schedule.policy.jitter_s


def _find_begin(schedule: Schedule, after: float) -> float:
    return after if schedule.start is None else max(after, schedule.start - TICK_S)


def _check_labels(labels: dict[str, str]) -> None:
    if len(labels) > MOST_LABELS:
        raise InvalidInput(f"A schedule has {MOST_LABELS} labels at most, not {len(labels)}.")
    for name, value in labels.items():
        if not LABEL.fullmatch(name) or name.partition(".")[0] in OURS:
            raise InvalidInput(
                f"label {name[:80]!r} is not one: use 1 to 63 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a "
                f"letter; {', '.join(f'`{word}`' for word in OURS)} are ours."
            )
        if len(value) > MAX_LABEL or not value.isprintable():
            raise InvalidInput(f"label {name!r} is {value[:80]!r}: use at most {MAX_LABEL} printable characters.")


def _check_policy(policy: Policy, when: When) -> None:
    if not 1 <= policy.most <= MOST_MADE_UP:
        raise InvalidInput(f"`most` is {policy.most!r}; 1 to {MOST_MADE_UP} missed moments are made up for.")
    if not 0 <= policy.grace_s <= DAY_S:
        raise InvalidInput(f"`grace_s` is {policy.grace_s!r}; it is 0 to {DAY_S:.0f} seconds.")
    most = min(DAY_S, when.seconds) if isinstance(when, Every) else DAY_S
    if not 0 <= policy.jitter_s <= most:
        raise InvalidInput(f"`jitter_s` is {policy.jitter_s!r}; for this schedule it is 0 to {most:.0f} seconds.")
