"""Times and levels of the common formats are read. row: B1"""

from datetime import UTC, datetime

import pytest

from quorate.tools.builtin.logs.line import LineParser, find_level, format_time, name_level

REFERENCE_S = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
AT_NINE = datetime(2026, 11, 21, 9, 0, 5, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("line", "kind", "level", "message"),
    [
        ("2026-11-21T09:00:05Z ERROR db down", "iso", "error", "ERROR db down"),
        ("2026-11-21 09:00:05,000 - app - WARNING - slow", "iso", "warning", None),
        ("[2026-11-21 10:00:05 +0100] [CRITICAL] out of memory", "iso", "critical", None),
        ("2026-11-21T09:00:05.000+0000 level=error msg=x", "iso", "error", None),
        ('{"time":"2026-11-21T09:00:05Z","level":"warn","msg":"slow"}', "json", "warning", "slow"),
        ('{"ts":1795251605000,"severity":"ERROR","message":"x"}', "json", "error", "x"),
        ('{"time":1795251605,"level":50,"msg":"pino"}', "json", "error", "pino"),
        (
            '10.0.0.1 - bob [21/Nov/2026:10:00:05 +0100] "GET /a?b=1 HTTP/1.1" 503 12 "-" "curl"',
            "access",
            "error",
            "GET /a 503 server error",
        ),
        ('::1 - - [21/Nov/2026:09:00:05 +0000] "GET / HTTP/1.1" 404 0', "access", "warning", None),
        ("2026/11/21 09:00:05 [error] 12#0: *7 upstream timed out", "nginx_error", "error", "*7 upstream timed out"),
        (
            "[Sat Nov 21 09:00:05.123456 2026] [core:error] [pid 9:tid 8] File missing",
            "apache_error",
            "error",
            "File missing",
        ),
        ("Nov 21 09:00:05 web1 sshd[99]: error: no key", "syslog", "error", "error: no key"),
        ("<11>Nov 21 09:00:05 web1 app: bad", "syslog", "error", "bad"),
        ("<30>1 2026-11-21T09:00:05Z web1 app 7 - - started", "syslog", "info", "started"),
        ("E1121 09:00:05.000000 1234 main.cc:12] failed", "glog", "error", "failed"),
    ],
)
def test_a_line_of_each_format(line: str, kind: str, level: str, message: str | None) -> None:
    record = LineParser(REFERENCE_S).parse(line)
    assert (record.format, record.level) == (kind, level)
    assert record.time_s is not None
    assert abs(record.time_s - AT_NINE) < 1.0
    if message is not None:
        assert record.message == message


def test_a_line_without_a_time() -> None:
    parser = LineParser(REFERENCE_S)
    assert parser.parse("ERROR:app.db:gone")[:3] == ("python", None, "error")
    assert parser.parse("[warn] careful")[:3] == ("plain", None, "warning")
    assert parser.parse("just text")[:3] == ("plain", None, None)
    assert parser.parse("")[:3] == ("plain", None, None)


def test_a_word_in_a_sentence_is_no_level() -> None:
    assert find_level("finished without an error") is None
    assert find_level("INFO retry after ERROR") == "info"
    assert find_level("x" * 200 + " ERROR") is None
    assert find_level("TERROR alert") is None


def test_a_line_without_a_year_is_never_in_the_future() -> None:
    record = LineParser(datetime(2026, 1, 2, tzinfo=UTC).timestamp()).parse("Dec 31 23:59:59 host app: x")
    assert format_time(record.time_s) == "2025-12-31T23:59:59Z"


@pytest.mark.parametrize(
    "line",
    [
        "2026-99-99T99:99:99Z ERROR x",
        "Feb 31 09:00:00 host app: x",
        "Xyz 11 09:00:00 host app: x",
        '{"time": {}, "level": [], "msg": 5}',
        '{"time": 1e308, "level": -1}',
        '{"broken',
        "E9999 99:99:99.000000 1 x] y",
        "[" * 5000,
        "{" * 5000,
        "\x00\ufffd" * 50,
    ],
)
def test_malformed_lines_are_read_without_a_time(line: str) -> None:
    assert LineParser(REFERENCE_S).parse(line).time_s is None


def test_levels_by_name_and_number() -> None:
    assert [name_level(value) for value in ("Error", "3", 3, 60, 40, 10, True, None, "odd")] == [
        *("error", "error", "error", "critical", "warning", "trace", None, None, None)
    ]
