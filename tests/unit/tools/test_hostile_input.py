"""Files that were written to harm cost little, and show neither secrets nor signs that steer a terminal."""

import gzip
import json
import sqlite3
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quorate.catalog.anomaly_tools import anomaly_tools
from quorate.catalog.evaluation.case import Fixture
from quorate.catalog.evaluation.check import is_inside
from quorate.errors import InvalidInput, ToolError
from quorate.runtime.evaluation import places
from quorate.tools.builtin.checks import Board
from quorate.tools.builtin.config.plain import check_json
from quorate.tools.builtin.data.sqlite import describe_sqlite, query_sqlite
from quorate.tools.builtin.logs.access import parse_line, sum_up_access
from quorate.tools.builtin.project.dependencies import check_dependencies
from quorate.tools.builtin.reckon.patterns import check_regex
from quorate.tools.builtin.reckon.times import find_next_runs
from quorate.tools.builtin.system.archive import list_archive
from quorate.tools.workspace import Workspace

COUNTED = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c"


def measure_peak(do: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_key_does_not_come_again_in_each_path_below_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"k" * 50_000: [0] * 2_000}))
    assert measure_peak(lambda: check_json(Workspace(tmp_path), "a.json", most=1)) < 20_000_000


def test_large_values_of_sqlite_are_not_all_held(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "a.db").execute('CREATE TABLE t(a "\x1b[31mred")')
    workspace = Workspace(tmp_path)
    rows = f"{COUNTED}) SELECT printf('%.*c', 200000, 'x') FROM c LIMIT 500"

    def query() -> None:
        found = query_sqlite(workspace, "a.db", rows, most=1000)
        assert found.truncated
        assert 0 < found.row_count < 500

    assert measure_peak(query) < 20_000_000
    assert "\x1b" not in describe_sqlite(workspace, "a.db").tables[0].columns[0].type


def test_sqlite_says_whether_there_is_more(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "a.db").execute("CREATE TABLE t(a)")
    found = [
        query_sqlite(Workspace(tmp_path), "a.db", "VALUES (1), (2), (3)", most=most).truncated for most in (2, 3, 4)
    ]
    assert found == [True, False, False]


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA max_page_count = 999999",
        "PRAGMA page_size = 65536",
        "CREATE TEMP TABLE t(a)",
        f"CREATE TABLE t(a); INSERT INTO t {COUNTED} WHERE x < 9) SELECT zeroblob(9000000) FROM c",
    ],
)
def test_a_case_does_not_fill_the_disk(tmp_path: Path, sql: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be made"):
        places._write(tmp_path, Fixture(databases={"a.db": sql}))
    assert (tmp_path / "a.db").stat().st_size <= 64 << 20


def test_a_case_does_not_write_into_the_repository() -> None:
    assert not any(map(is_inside, (".git/config", "a/.GIT/config", ".Git")))
    assert is_inside("a/.gitignore")


def test_secrets_are_blotted_out_of_all_evidence() -> None:
    board = Board()
    for text in ("https://user:pa55word@h/x", "https://h/AKIAIOSFODNN7EXAMPLE", "https://h/?sig=deadbeef0123"):
        board.note("a", 1, "rule", "low", "message", evidence=text)
    shown = str(board.build("a", most=10).findings)
    assert not any(word in shown for word in ("pa55word", "IOSFODNN7", "deadbeef0123"))


def test_a_key_of_many_parts_is_not_read_for_minutes(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("a" + ".a" * 400_000 + " = 1\n")
    report = check_dependencies(Workspace(tmp_path), "pyproject.toml", most=10)
    assert "dots" in str(report)


def test_times_at_the_ends_of_the_calendar_are_read(tmp_path: Path) -> None:
    found = parse_line('1.1.1.1 - - [0001-01-01T00:00:00+14:00] "GET / HTTP/1.1" 200 1')
    assert found is not None
    assert found.at is None
    with pytest.raises(ToolError, match="out of the years"):
        find_next_runs("0 0 * * *", timezone="Asia/Tokyo", count=1, start=datetime(9999, 12, 31, 23, tzinfo=UTC))


def test_what_a_log_or_a_table_names_steers_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(json.dumps({"status": 200, "path": "/", "client": "\x1b]0;x\x07"}) + "\n")
    report = sum_up_access(Workspace(tmp_path), "a.log", slow_ms=1.0, most=5)
    assert report.top_clients[0].client == " ]0;x "
    rows = [{"time": f"\x1b[2J{n}", "\x1b[31mload": 1.0 if n < 40 else 99.0} for n in range(41)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = anomaly_tools(Workspace(tmp_path))[0](path="a.jsonl")
    assert "\\x1b" not in repr(found)


def test_a_verbose_pattern_is_looked_at() -> None:
    assert "comments" in check_regex("(?x)a # [").note


def test_an_archive_does_not_list_holes_without_end(tmp_path: Path) -> None:
    head = bytearray(tarfile.TarInfo("a").tobuf(format=tarfile.GNU_FORMAT))
    head[156:157], head[386:482], head[482] = tarfile.GNUTYPE_SPARSE, b"00000000001\0" * 8, 1
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    more = b"00000000001\0" * 42 + b"\1" + b"\0" * 7
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(bytes(head) + more * 20_000, 1))
    with pytest.raises(ToolError, match="holes"):
        list_archive(Workspace(tmp_path), "a.tar.gz")


def test_a_large_table_of_contents_is_not_read_whole(tmp_path: Path) -> None:
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 99_000_000, 1_000)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 100_000_000, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 100, 1_000, 0)
    with open(tmp_path / "a.zip", "wb") as file:
        file.write(b"PK\3\4")
        file.truncate(100_000_000)
        file.seek(100_000_000)
        file.write(large + locator + end)
    with pytest.raises(ToolError, match="table of contents"):
        list_archive(Workspace(tmp_path), "a.zip")
