"""At which moments is something due, by a cron expression in a time zone or at an even pace?"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from msgspec import Struct

from quorate.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from cronsim import CronSim

FIELDS = 5
MAX_CRON = 200
LONGEST_S = 10 * 366 * 86_400
LAST_TIME = 4_102_444_800.0
"""The end of the year 2099: no moment of ours is later."""
FIRST_WINDOW_S = 900.0
STEP = 4
"""How much further back is looked, each time that too few moments were found."""


class Cron(Struct, frozen=True, kw_only=True, tag="cron", omit_defaults=True):
    """The moments of a cron expression, as the clocks on the wall of a place show them.

    Where a clock is put forward, what names an hour and a minute in the gap comes at the first moment after it; where
    it is put back, that comes the first time only. What has `*` for its hours or minutes follows the time that goes by:
    nothing comes in a gap, and everything comes twice in the hour that comes twice.
    """

    expression: str
    """Minute, hour, day of the month, month, day of the week, such as `30 6 * * MON-FRI`."""
    zone: str = "UTC"
    """The place's name in the time zone database, such as `Europe/Berlin`."""


class Every(Struct, frozen=True, kw_only=True, tag="every", omit_defaults=True):
    """Moments at an even pace of time that goes by, whatever clocks on walls do."""

    seconds: int
    anchor: float = 0.0
    """The first of the moments, in seconds since 1970; by default a quarter of an hour is that of the clock (UTC)."""


When = Cron | Every


def check_when(when: When, *, now: float) -> None:
    """Check that there are such moments, and one after `now`.

    Raises:
        InvalidInput: There are none.
        MissingExtra: What reads cron expressions is not installed.
    """
    if isinstance(when, Every):
        if not 1 <= when.seconds <= LONGEST_S:
            raise InvalidInput(f"`seconds` is {when.seconds!r}; something comes every 1 to {LONGEST_S} seconds.")
        if not 0 <= when.anchor <= LAST_TIME:
            raise InvalidInput(f"`anchor` is {when.anchor!r}; it is seconds since 1970, before the year 2100.")
        return
    if next(iterate(when, after=now), None) is None:
        raise InvalidInput(f"cron expression {when.expression!r} never comes: there is no such day.")


def iterate(when: When, *, after: float) -> Iterator[float]:
    """Yield the moments behind `after`, each later than the one before.

    Raises:
        InvalidInput: The cron expression or the time zone is not one.
        MissingExtra: What reads cron expressions is not installed.
    """
    moments = _iterate_every(when, after) if isinstance(when, Every) else _iterate_cron(when, after)
    return takewhile(lambda moment: moment < LAST_TIME, moments)


def find_latest(when: When, *, after: float, until: float, most: int) -> list[float]:
    """Return the last moments behind `after` and not behind `until`, in order, and at most `most` of them.

    However long ago `after` is, this takes about as long as going through `STEP` times as many moments.
    """
    window = FIRST_WINDOW_S
    while True:
        begin = max(after, until - window)
        found = list(takewhile(lambda moment: moment <= until, iterate(when, after=begin)))
        if len(found) >= most or begin == after:
            return found[-most:]
        window *= STEP


def load_zone(name: str) -> ZoneInfo:
    """Load a time zone; it may be read from a file.

    Raises:
        InvalidInput: There is none of that name on this machine.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise InvalidInput(
            f"There is no time zone {name[:80]!r} here: write it like `Europe/Berlin` or `UTC`. "
            "Where the machine has no zone files, `pip install tzdata` brings them."
        ) from error


def _iterate_every(every: Every, after: float) -> Iterator[float]:
    count = max(0, math.floor((after - every.anchor) / every.seconds))
    while True:
        moment = round(every.anchor + count * every.seconds, 3)
        if moment > after:
            yield moment
        count += 1


def _iterate_cron(cron: Cron, after: float) -> Iterator[float]:
    last = after
    for moment in _open_cron(cron, after):
        time = moment.timestamp()
        # In the hour that comes twice it begins again, and two that fall into a gap come at the same moment after it.
        if time > last:
            last = time
            yield time


def _open_cron(cron: Cron, after: float) -> CronSim:
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as error:
        raise MissingExtra("A schedule with a cron expression", "schedules") from error
    expression = cron.expression
    if len(expression) > MAX_CRON or len(expression.split()) != FIELDS:
        raise InvalidInput(
            f"cron expression {expression[:80]!r} has not {FIELDS} fields: write minute, hour, day of the month, month "
            "and day of the week, such as `30 6 * * MON-FRI`."
        )
    begin = datetime.datetime.fromtimestamp(math.floor(after), load_zone(cron.zone))
    try:
        return CronSim(expression, begin)
    except CronSimError as error:
        raise InvalidInput(f"cron expression {expression!r} is not one: {error}.") from error
