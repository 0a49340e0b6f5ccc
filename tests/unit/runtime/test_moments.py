"""At which moments is something due, also where clocks on walls are put forward and back?"""

import datetime
import itertools
import math
import sys
import time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import InvalidInput, MissingExtra
from quorate.runtime.schedules.moments import Cron, Every, When, check_when, find_latest, iterate, load_zone

BERLIN = "Europe/Berlin"
UTC = datetime.UTC


def at(text: str) -> float:
    """A time of ISO 8601 as seconds."""
    return datetime.datetime.fromisoformat(text).timestamp()


def show(when: When, after: str, count: int, zone: str = "UTC") -> list[str]:
    moments = itertools.islice(iterate(when, after=at(after)), count)
    return [
        datetime.datetime.fromtimestamp(m, ZoneInfo(zone)).isoformat(timespec="minutes").replace("+00:00", "Z")
        for m in moments
    ]


def test_a_moment_itself_is_not_behind_itself() -> None:
    cron = Cron(expression="30 6 * * MON-FRI")
    assert show(cron, "2026-11-20T06:30:00Z", 2) == ["2026-11-23T06:30Z", "2026-11-24T06:30Z"]
    assert show(cron, "2026-11-20T06:29:59.5+00:00", 1) == ["2026-11-20T06:30Z"]
    assert show(cron, "2026-11-20T06:30:00.5+00:00", 1) == ["2026-11-23T06:30Z"]


def test_a_time_of_day_stays_that_of_the_place() -> None:
    """Six in the morning in Berlin is another moment in summer."""
    cron = Cron(expression="0 6 1 1,7 *", zone=BERLIN)
    assert show(cron, "2025-12-01T00:00:00Z", 2) == ["2026-01-01T05:00Z", "2026-07-01T04:00Z"]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # What names an hour and a minute in the gap comes at the first moment after it, and once.
        ("30 2 * * *", BERLIN, "2026-03-28T03:00+01:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("0,30 2 * * *", BERLIN, "2026-03-28T03:00+01:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        ("0 2,3 * * *", BERLIN, "2026-03-28T03:30+01:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        # In the hour that comes twice it comes the first time only, wherever one begins to look.
        ("30 2 * * *", BERLIN, "2026-10-24T12:00+02:00", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("30 2 * * *", BERLIN, "2026-10-25T02:30+02:00", ["2026-10-26T02:30+01:00"]),
        ("30 2 * * *", BERLIN, "2026-10-25T02:15+01:00", ["2026-10-26T02:30+01:00"]),
        # What has a star follows the time that goes by.
        ("30 * * * *", BERLIN, "2026-03-29T01:00+01:00", ["2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"]),
        (
            "30 * * * *",
            BERLIN,
            "2026-10-25T01:45+02:00",
            ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T03:30+01:00"],
        ),
        # Half an hour, at another end of the world; and a day that begins at one.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00+10:30", ["2026-10-04T02:30+11:00"]),
        ("0 0 * * *", "America/Havana", "2026-03-07T12:00-05:00", ["2026-03-08T01:00-04:00", "2026-03-09T00:00-04:00"]),
        ("0 * * * SUN", "America/Havana", "2026-03-07T12:00-05:00", ["2026-03-08T01:00-04:00"]),
    ],
)
def test_clocks_that_are_put_forward_and_back(expression: str, zone: str, after: str, expected: list[str]) -> None:
    assert show(Cron(expression=expression, zone=zone), after, len(expected), zone) == expected


def test_an_even_pace_is_that_of_the_time_that_goes_by() -> None:
    assert show(Every(seconds=900), "2026-03-29T00:50Z", 3) == [
        "2026-03-29T01:00Z",
        "2026-03-29T01:15Z",
        "2026-03-29T01:30Z",
    ]
    later = Every(seconds=3600, anchor=at("2026-01-01T00:10Z"))
    assert show(later, "2020-01-01T00:00Z", 2) == ["2026-01-01T00:10Z", "2026-01-01T01:10Z"]
    assert show(later, "2026-01-01T00:10Z", 1) == ["2026-01-01T01:10Z"]


def test_time_ends_with_the_century() -> None:
    """Nobody waits for a moment that no clock of ours can tell."""
    assert list(iterate(Every(seconds=86_400), after=at("2099-12-30T12:00Z"))) == [at("2099-12-31T00:00Z")]
    assert show(Cron(expression="0 0 29 2 *"), "2095-01-01T00:00Z", 5) == ["2096-02-29T00:00Z"]


SPECS = st.builds(
    lambda minute, hour, day: f"{minute} {hour} * * {day}",
    st.sampled_from(["0", "30", "59", "*/20", "5,35", "*"]),
    st.sampled_from(["*", "0", "2", "1-3", "*/6", "23"]),
    st.sampled_from(["*", "SUN", "1-5"]),
)
ZONES = st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "UTC"])
AFTER = st.floats(at("2026-01-01T00:00Z"), at("2027-01-01T00:00Z"), allow_nan=False)


@given(SPECS, ZONES, AFTER)
def test_moments_grow_and_do_not_depend_on_where_one_begins(expression: str, zone: str, after: float) -> None:
    """What was decided up to a moment goes on from there exactly as if nobody had stopped."""
    cron = Cron(expression=expression, zone=zone)
    moments = list(itertools.islice(iterate(cron, after=after), 12))
    assert moments == sorted(set(moments))
    assert moments[0] > after
    for place, moment in enumerate(moments[:-1]):
        assert next(iterate(cron, after=moment)) == moments[place + 1]
        assert next(iterate(cron, after=math.nextafter(moment, 0))) == moment


@given(SPECS, ZONES, AFTER, st.sampled_from([1, 7, 100]), st.floats(0, 40 * 86_400))
def test_the_latest_ones_are_the_last_of_all(expression: str, zone: str, after: float, most: int, span: float) -> None:
    cron = Cron(expression=expression, zone=zone)
    everything = list(itertools.takewhile(lambda m: m <= after + span, iterate(cron, after=after)))
    assert find_latest(cron, after=after, until=after + span, most=most) == everything[-most:]


def test_the_latest_moments_of_ten_years_are_found_at_once() -> None:
    """An outage of ten years of minutes is not gone through minute by minute."""
    until = at("2026-11-21T12:00:30Z")
    began = time.process_time()
    found = find_latest(Cron(expression="* * * * *"), after=at("2016-01-01T00:00Z"), until=until, most=100)
    assert (len(found), found[-1]) == (100, until - 30)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (Cron(expression="0 6 * *"), "'0 6 * *' has not 5 fields"),
        (Cron(expression="0 0 6 * * *"), "has not 5 fields: write minute, hour"),
        (Cron(expression="@daily"), "has not 5 fields"),
        (Cron(expression="61 6 * * *"), "cron expression '61 6 * * *' is not one: Bad minute."),
        (Cron(expression="* * * * FUNDAY"), "Bad day-of-week"),
        (Cron(expression="0 0 30 2 *"), "Bad day-of-month"),
        (Cron(expression="1," * 150 + "1 * * * *"), "has not 5 fields"),
        (Cron(expression="0 6 * * *", zone="Europe/Berlyn"), "There is no time zone 'Europe/Berlyn' here"),
        (Cron(expression="0 6 * * *", zone="../etc/passwd"), "There is no time zone '../etc/passwd' here"),
        (Cron(expression="0 6 * * *", zone="Europe"), "There is no time zone 'Europe' here"),
        (Cron(expression="0 6 * * *", zone=""), "There is no time zone '' here"),
        (Every(seconds=0), "`seconds` is 0; something comes every 1 to"),
        (Every(seconds=60, anchor=-1), "`anchor` is -1"),
        (Every(seconds=60, anchor=float("nan")), "`anchor` is nan"),
    ],
)
def test_what_is_no_moment_is_refused(when: When, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_when(when, now=at("2026-11-21T12:00Z"))
    assert said in refused.value.message


def test_a_zone_that_is_there_is_loaded() -> None:
    assert load_zone(BERLIN).key == BERLIN


def test_without_the_extra_an_even_pace_still_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only cron expressions need a library, and the error says which extra brings it."""
    monkeypatch.setitem(sys.modules, "cronsim", None)
    check_when(Every(seconds=60), now=0)
    with pytest.raises(MissingExtra, match=r"needs the extra `schedules`: pip install 'quorate\[schedules\]'"):
        check_when(Cron(expression="0 6 * * *"), now=0)
