"""What an access log tells is summed up, in several formats and within bounds. Part of row B1."""

import gzip
import json
from pathlib import Path

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.logs.access import fold_path, parse_line, sum_up_access
from quorate.tools.workspace import Workspace


def line(
    path: str, *, status: int = 200, client: str = "10.0.0.1", minute: int = 0, rest: str = "", method: str = "GET"
) -> str:
    return (
        f'{client} - - [10/Oct/2026:13:{minute:02}:30 +0200] "{method} {path} HTTP/1.1" {status} 100 "-" "curl/8"{rest}'
    )


def test_a_log_is_summed_up(tmp_path: Path) -> None:
    lines = [line(f"/items/{at}?q=1", minute=at % 3, rest=f" 0.{at:03}") for at in range(100)]
    lines += [line("/slow?token=s3cr3t", status=503, rest=" rt=2.500", client="10.0.0.9")] * 3
    lines += [line("/../../etc/passwd", status=404, client="10.0.0.9"), line("/.env"), "no line of a log", ""]
    (tmp_path / "access.log").write_text("\n".join(lines))
    report = sum_up_access(Workspace(tmp_path), "access.log", slow_ms=1000, most=3)
    assert (report.format, report.lines, report.parsed) == ("combined", 106, 105)
    assert report.statuses == {"2xx": 101, "4xx": 1, "5xx": 3}
    assert report.codes == {"200": 101, "404": 1, "503": 3}
    assert report.error_percent == 2.86
    assert (report.top_paths[0].path, report.top_paths[0].count) == ("/items/{id}", 100)
    assert (report.top_paths[1].path, report.top_paths[1].errors) == ("/slow", 3)
    assert report.duration is not None
    assert (report.duration.p50_ms, report.duration.max_ms) == (51, 2500)
    assert (report.slow_count, report.slow[0].path, report.slow[0].ms) == (3, "/slow?token=***", 2500)
    assert (report.first_at, report.peak_per_minute) == ("2026-10-10T11:00:30Z", 39)
    assert {one.what: one.answered for one in report.suspicious} == {"path traversal": 0, "a hunt for secrets": 1}
    assert "s3cr3t" not in str(report)
    assert {one.client: one.errors for one in report.top_clients} == {"10.0.0.1": 0, "10.0.0.9": 4}
    assert report.methods == {"GET": 105}


def test_other_formats_are_read(tmp_path: Path) -> None:
    rows = [
        {"status": 200, "uri": "/a", "request_time": 0.25, "remote_addr": "::1", "time": "2026-01-01T00:00:00Z"},
        {"x": 1},
    ]
    (tmp_path / "a.json.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    report = sum_up_access(Workspace(tmp_path), "a.json.gz", slow_ms=100, most=3)
    assert (report.format, report.parsed, report.slow_count, report.first_at) == ("json", 1, 1, "2026-01-01T00:00:00Z")
    common = parse_line('::1 - bob [10/Oct/2026:13:00:30 +0000] "POST /x HTTP/1.1" 201 -')
    assert common is not None
    assert (common.method, common.path, common.status, common.size, common.ms) == ("POST", "/x", 201, 0, None)
    micro = parse_line(line("/x") + " 1500")
    assert micro is not None
    assert micro.ms == 1.5
    odd = parse_line('::1 - - [x] "\\x16\\x03" 400 0')
    assert odd is not None
    assert (odd.method, odd.at) == ("", None)
    assert fold_path("/u/0f8fad5b-d9cb-469f-a165-70867728950e/7?x=1") == "/u/{id}/{id}"


def test_hostile_logs_end(tmp_path: Path) -> None:
    (tmp_path / "long.log").write_bytes(b"x" * 3_000_000 + b'\n{"a":' + b"[" * 100_000 + b"\n\xff\xfe\n")
    report = sum_up_access(Workspace(tmp_path), "long.log", slow_ms=100, most=3)
    assert (report.format, report.parsed, report.duration) == ("unknown", 0, None)
    quotes = "'" * 1900
    (tmp_path / "quotes.log").write_text("\n".join([line(f"/{quotes}")] * 50))
    assert sum_up_access(Workspace(tmp_path), "quotes.log", slow_ms=100, most=3).parsed == 50
    with pytest.raises(ToolError):
        sum_up_access(Workspace(tmp_path), "../x", slow_ms=100, most=3)
