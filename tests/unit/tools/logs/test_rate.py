"""Rates, bursts and gaps are measured by minute. row: B1"""

from quorate.tools.builtin.logs.rate import Timeline, find_bursts


def test_a_burst_stands_out_from_the_usual() -> None:
    counts = dict.fromkeys(range(100), 10) | {50: 80, 51: 90}
    (burst,) = find_bursts(counts, minutes=100)
    assert (burst.start, burst.minutes, burst.count) == ("1970-01-01T00:50:00Z", 2, 170)
    assert (burst.peak_per_minute, burst.usual_per_minute) == (90, 10.0)


def test_steady_or_rare_lines_are_no_burst() -> None:
    assert find_bursts(dict.fromkeys(range(60), 500), minutes=60) == ()
    assert find_bursts({3: 4}, minutes=60) == ()
    assert find_bursts({0: 500}, minutes=1) == ()
    assert find_bursts({}, minutes=60) == ()
    assert find_bursts({3: 5}, minutes=60)[0].usual_per_minute == 0.0


def test_gaps_and_disorder_are_found() -> None:
    times = Timeline(gap_s=300)
    for number, time_s in enumerate([0.0, 10.0, 1000.0, 990.0, 995.0, 1000.5], 1):
        times.add(time_s, line=number, is_error=number == 3)
    rates = times.rates()
    assert rates is not None
    (gap,) = rates.gaps
    assert (gap.seconds, gap.line, gap.start) == (990.0, 3, "1970-01-01T00:00:10Z")
    assert rates.out_of_order == 1
    assert (times.first_error_s, times.last_error_s) == (1000.0, 1000.0)
    assert (rates.peak_per_minute, rates.span_s) == (4, 1000.5)


def test_without_times_there_are_no_rates() -> None:
    assert Timeline().rates() is None
