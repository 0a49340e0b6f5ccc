"""Shares of processor time and pressure are computed from what the kernel counts. row: B1"""

from quorate.tools.builtin.host.cpu import busy_percent, parse_pressure, share_percent

BEFORE = {"user": 10.0, "system": 5.0, "idle": 80.0, "iowait": 5.0, "guest": 2.0}
AFTER = {"user": 14.0, "system": 6.0, "idle": 84.0, "iowait": 6.0, "guest": 6.0}


def test_waiting_for_a_disk_is_not_busy_and_guests_count_once() -> None:
    assert busy_percent(BEFORE, AFTER) == 50.0
    assert share_percent(BEFORE, AFTER, "iowait") == 10.0
    assert share_percent(BEFORE, AFTER, "steal") == 0.0


def test_no_time_or_time_that_steps_back_is_no_use() -> None:
    assert busy_percent(BEFORE, BEFORE) == 0.0
    assert busy_percent(AFTER, BEFORE) == 0.0


def test_pressure_is_read() -> None:
    text = "some avg10=1.50 avg60=0.13 avg300=0.26 total=4218696\nfull avg10=0.10 avg60=0.00 avg300=0.00 total=0\n"
    pressure = parse_pressure(text)
    assert pressure is not None
    assert pressure.some.avg10_percent == 1.5
    assert pressure.full is not None
    assert pressure.full.avg10_percent == 0.1
    assert parse_pressure("some avg10=1.50 avg60=0.13 avg300=0.26 total=1\n").full is None
    assert parse_pressure("") is None
    assert parse_pressure("some avg10=x avg60=0 avg300=0") is None
