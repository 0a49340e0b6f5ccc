"""A whole log is summed up, exactly, whatever its size. row: B1"""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.logs.report import read_report
from quorate.tools.builtin.logs.search import search_entries
from quorate.tools.workspace import Workspace

MEASURE = """
import json, sys
from quorate.tools.builtin.logs.report import read_report
from quorate.tools.workspace import Workspace

def peak_kib():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak_kib()
report = read_report(Workspace(sys.argv[1]), "large.log", most=5, seconds=90)
print(json.dumps([peak_kib() - before, report.errors, report.lines, report.truncated]))
"""
LINES = [
    "2026-11-21 09:00:00,000 INFO app starting",
    "2026-11-21 09:00:01,000 ERROR app cannot reach 10.0.0.7",
    "Traceback (most recent call last):",
    '  File "/app/db.py", line 3, in connect',
    "ConnectionError: refused",
    "2026-11-21 09:00:02,000 WARNING app retrying",
    "2026-11-21 09:00:03,000 ERROR app cannot reach 10.0.0.8",
    "2026-11-21 09:30:00,000 CRITICAL app giving up, the last ERROR was final",
    "",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "logs"
    root.mkdir()
    (root / "app.log").write_text("\n".join(LINES))
    (root / "app.log.gz").write_bytes(gzip.compress("\n".join(LINES).encode()))
    return root


@pytest.mark.parametrize("name", ["app.log", "app.log.gz"])
def test_planted_lines_are_counted_exactly(root: Path, name: str) -> None:
    """Planted ERROR lines are found and counted. row: B1"""
    report = read_report(Workspace(root), name, most=5, seconds=10)
    assert (report.levels.info, report.levels.warning) == (1, 1)
    assert (report.levels.error, report.levels.critical, report.errors) == (2, 1, 3)
    assert (report.lines, report.records) == (8, 5)
    assert (report.first_seen, report.last_seen) == ("2026-11-21T09:00:00Z", "2026-11-21T09:30:00Z")
    assert (report.first_error, report.last_error) == ("2026-11-21T09:00:01Z", "2026-11-21T09:30:00Z")
    assert report.top_errors[0].template == "ERROR app cannot reach <ip>"
    assert (report.top_errors[0].count, report.top_errors[0].lines) == (2, (2, 7))
    assert report.stack_traces[0].exception == "ConnectionError"
    assert report.stack_traces[0].lines == (3,)
    assert report.rates is not None
    assert report.rates.gaps[0].line == 8
    assert report.formats == {"iso": 5}
    assert not report.truncated


def test_lines_without_time_or_level_are_entries_of_their_own(root: Path) -> None:
    (root / "plain.txt").write_text("one\ntwo\n\n[error] three\n")
    report = read_report(Workspace(root), "plain.txt", most=5, seconds=10)
    assert (report.records, report.levels.unknown, report.levels.error) == (3, 2, 1)
    assert report.rates is None


def test_an_empty_log_is_summed_up(root: Path) -> None:
    (root / "empty").write_text("")
    report = read_report(Workspace(root), "empty", most=5, seconds=10)
    assert (report.lines, report.errors, report.first_seen) == (0, 0, "")


def test_broken_gzip_and_missing_files_are_told(root: Path) -> None:
    (root / "cut.gz").write_bytes((root / "app.log.gz").read_bytes()[:60])
    (root / "bad.gz").write_bytes(b"\x1f\x8bnonsense")
    for name in ("cut.gz", "bad.gz"):
        with pytest.raises(ToolError, match="not whole gzip data"):
            read_report(Workspace(root), name, most=5, seconds=10)
    for name in ("../app.log", "/etc/passwd", "none"):
        with pytest.raises(ToolError):
            read_report(Workspace(root), name, most=5, seconds=10)


def test_a_large_log_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """30 MB with one very long line are streamed; memory grows by less than 16 MiB. row: B1"""
    path = tmp_path / "large.log"
    errors = 0
    with open(path, "w") as stream:
        stream.write("2026-11-21 00:00:00 INFO " + "x" * 5_000_000 + "\n")
        for number in range(320_000):
            level = "ERROR" if number % 10 == 7 else "INFO"
            errors += level == "ERROR"
            minute = number // 1000
            moment = f"2026-11-21 {minute // 60:02d}:{minute % 60:02d}:{number % 60:02d}"
            stream.write(
                f"{moment} {level} app request {number} from 10.0.0.{number % 250} took {number % 977} ms in all\n"
            )
    assert path.stat().st_size > 30_000_000
    # In a process of its own, whose peak nothing else has raised.
    argv = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=100)
    grown_kib, found, lines, truncated = json.loads(done.stdout)
    assert (found, lines, truncated) == (errors, 320_001, "")
    assert grown_kib < 16 * 1024


def test_time_is_bounded_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("2026-11-21 00:00:00 INFO x\n" * 50_000)
    report = read_report(Workspace(tmp_path), "a.log", most=5, seconds=0)
    assert report.truncated == "stopped after 0 s, at line 1024"
    assert report.lines == 1024


def test_search_gives_lines_times_and_levels(root: Path) -> None:
    def search(pattern: str, kind: str = "text", level: str | None = None, most: int = 10):
        return search_entries(
            Workspace(root),
            "app.log",
            pattern=pattern,
            kind=kind,
            ignore_case=False,
            level=level,
            max_matches=most,
            seconds=5,
        )

    assert [match.line for match in search("cannot reach").matches] == [2, 7]
    assert [match.line for match in search("ERROR", level="critical").matches] == [8]
    found = search("ERROR|CRITICAL", "regex", most=1)
    assert (found.count, len(found.matches), found.last_seen) == (3, 1, "2026-11-21T09:30:00Z")
    assert found.matches[0].time == "2026-11-21T09:00:01Z"
    assert search("ERROR*10.0.0.8", "words").count == 1
    assert search("(a+)+$", "regex").count == 0
