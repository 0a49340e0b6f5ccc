"""Data is looked into without changing it, running anything of it, or going on for ever. Part of row B1."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.data import data_tools
from quorate.tools.builtin.data.sqlite import describe_sqlite, query_sqlite
from quorate.tools.workspace import Workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def tools(root: Path) -> dict[str, Any]:
    return {one.name: one for one in data_tools(Workspace(root))}


@pytest.fixture
def database(root: Path) -> Path:
    path = root / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL, x REAL);"
            'CREATE TABLE "odd""name"(tid REFERENCES t(id), v);'
            "CREATE VIEW w AS SELECT * FROM t; CREATE INDEX i ON t(name);"
            "INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', NULL);"
            'INSERT INTO "odd""name" VALUES (9, 9);'
        )
    return path


def test_a_database_is_described(tools: dict[str, Any], database: Path) -> None:
    report = tools["describe_sqlite"]("a.db")
    tables = {one.name: one for one in report.tables}
    assert set(tables) == {"t", 'odd"name', "w"}
    assert (tables["t"].rows, tables["t"].indexes, tables["w"].rows) == (2, ("i",), None)
    assert [(one.name, one.primary_key, one.not_null) for one in tables["t"].columns][:2] == [
        ("id", True, False),
        ("name", False, True),
    ]
    said = " ".join(report.problems)
    assert "has no primary key" in said
    assert "has no index" in said
    assert "refer to what is not there" in said
    assert report.size_bytes == database.stat().st_size


def test_a_statement_reads(tools: dict[str, Any], database: Path) -> None:
    rows = tools["query_sqlite"]("a.db", "SELECT id, name, x FROM t ORDER BY id", max_rows=1)
    assert (rows.columns, rows.rows, rows.truncated) == (("id", "name", "x"), ((1, "a", 1.5),), True)
    rows = tools["query_sqlite"]("a.db", "SELECT 9007199254740993, x'00ff', 1e999, printf('%.3000c', 'x')")
    assert rows.rows[0][:3] == ("9007199254740993", "<2 bytes>", "inf")
    assert len(rows.rows[0][3]) == 2000
    assert tools["query_sqlite"]("a.db", "PRAGMA table_info(t)").row_count == 3


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (3, 'c', 1)",
        "DELETE FROM t",
        "DROP TABLE t",
        "CREATE TEMP TABLE z(a)",
        "ATTACH '/etc/passwd' AS p",
        "PRAGMA journal_mode = delete",
        "PRAGMA writable_schema = 1",
        "PRAGMA temp_store_directory = '/tmp'",
        "SELECT load_extension('x')",
        "SELECT zeroblob(1000000000)",
        "SELECT 1; DROP TABLE t",
        "VACUUM INTO '/tmp/copy.db'",
        "REINDEX",
        "BEGIN",
        "WITH d AS (SELECT 1) DELETE FROM t",
        "SELECT * FROM gone",
        "SELECT \0",
    ],
)
def test_a_statement_that_does_more_is_refused(tools: dict[str, Any], database: Path, sql: str) -> None:
    before = database.read_bytes()
    with pytest.raises(ToolError):
        tools["query_sqlite"]("a.db", sql)
    assert database.read_bytes() == before


def test_a_statement_without_end_is_ended(root: Path, database: Path) -> None:
    endless = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r"
    with pytest.raises(ToolError, match="took longer"):
        query_sqlite(Workspace(root), "a.db", endless, most=1, seconds=0.05)


def test_only_databases_of_the_workspace_are_opened(root: Path, database: Path) -> None:
    workspace = Workspace(root)
    (root / "no.db").write_text("hello")
    (root / "link.db").symlink_to(database)
    (root / "torn.db").write_bytes(database.read_bytes()[:5000])
    (root / "hostile.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    for name in ("no.db", "link.db", "../root/a.db", "hostile.db", "torn.db"):
        with pytest.raises(ToolError):
            query_sqlite(workspace, name, "SELECT * FROM t", most=1)
    with pytest.raises(ToolError):
        describe_sqlite(workspace, "hostile.db")
    (root / "a.db-wal").write_bytes(b"x")
    assert "-wal" in query_sqlite(workspace, "a.db", "SELECT 1", most=1).note
    assert sorted(one.name for one in root.iterdir()) == [
        "a.db",
        "a.db-wal",
        "hostile.db",
        "link.db",
        "no.db",
        "torn.db",
    ]


CSV = "id,name,x,mixed,same,gone\n" + "".join(
    f"{at},n{at % 3},{at * 1.5 if at % 10 else ''},{at if at % 20 else 'odd'},k,{'' if at else 1}\n"
    for at in range(100)
)


def test_a_table_is_profiled(tools: dict[str, Any], root: Path) -> None:
    pytest.importorskip("duckdb")
    (root / "a.csv").write_text(CSV + "99,n0,148.5,99,k,\n")
    report = tools["profile_table"]("a.csv")
    columns = {one.name: one for one in report.columns}
    assert (report.format, report.rows, report.duplicate_rows) == ("csv", 101, 1)
    assert (columns["x"].nulls, columns["x"].min, columns["x"].max) == (10, "1.5", "148.5")
    assert columns["id"].p95 == 95.0
    assert (columns["name"].top[0].value, columns["name"].top[0].count) == ("n0", 35)
    said = " ".join(report.problems)
    for what in ("`same` is the same", "`mixed` holds numbers, and 5 values", "`gone` is missing"):
        assert what in said
    short = tools["profile_table"]("a.csv", max_rows=10)
    assert (short.rows, short.truncated) == (10, True)


def test_other_formats_are_profiled(tools: dict[str, Any], root: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    (root / "a.jsonl").write_text('{"a": 1, "b": {"c": 2}}\n{"a": null}\n')
    report = tools["profile_table"]("a.jsonl")
    assert [(one.name, one.nulls) for one in report.columns] == [("a", 1), ("b", 1)]
    with closing(duckdb.connect(":memory:")) as engine:
        engine.execute(
            f"COPY (SELECT range AS n, 'it''s' AS \"o\"\"dd\" FROM range(50)) TO '{root}/a.parquet' (FORMAT parquet)"
        )
    report = tools["profile_table"]("a.parquet")
    assert (report.format, report.rows, [one.name for one in report.columns]) == ("parquet", 50, ["n", 'o"dd'])


def test_hostile_tables_are_refused(tools: dict[str, Any], root: Path) -> None:
    pytest.importorskip("duckdb")
    (root / "bad.parquet").write_bytes(b"PAR1" + b"\xff" * 3000)
    (root / "bad.json").write_text('{"a": ' + "[" * 20_000)
    (root / "x.exe").write_text("a,b\n1,2\n")
    (root / "link.csv").symlink_to("/etc/passwd")
    for name in ("bad.parquet", "bad.json", "x.exe", "link.csv", "../x.csv", "gone.csv"):
        with pytest.raises(ToolError) as refused:
            tools["profile_table"](name)
        assert "/proc/" not in refused.value.message
    (root / "sql.csv").write_text('"a""); DROP TABLE given; --",b\n1,2\n')
    assert tools["profile_table"]("sql.csv").rows == 1


def test_tables_are_compared(tools: dict[str, Any], root: Path) -> None:
    pytest.importorskip("duckdb")
    (root / "a.csv").write_text("id,v,old\n1,a,x\n2,b,x\n3,c,x\n3,c,x\n")
    (root / "b.csv").write_text("id,v,new\n2,b,1\n3,z,1\n4,d,1\n")
    found = tools["compare_tables"]("a.csv", "b.csv", key="id")
    assert (found.rows, found.other_rows, found.only_here, found.only_there) == (4, 3, ("old",), ("new",))
    assert (found.keys_only_here, found.keys_only_there, found.changed, found.duplicate_keys) == (1, 1, 2, 1)
    assert found.examples[:3] == ("only here: 1", "only there: 4", "changed: 3")
    assert tools["compare_tables"]("a.csv", "b.csv").changed is None
    with pytest.raises(ToolError, match="share: id, v"):
        tools["compare_tables"]("a.csv", "b.csv", key="new")


def test_documents_are_held_against_a_schema(tools: dict[str, Any], root: Path) -> None:
    pytest.importorskip("jsonschema_rs")
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    (root / "schema.json").write_text(json.dumps(schema))
    (root / "lines.jsonl").write_text(f'{{"a": "{"a" * 5000}b"}}\n{{"b": 1}}\n{{"a": "aa"}}\n{{bad\n')
    report = tools["check_json_schema"]("lines.jsonl", "schema.json")
    assert report.rules == {"pattern": 1, "required": 1, "not-json": 1}
    assert report.facts == {"documents": 4, "valid": 1}
    assert sorted(one.line for one in report.findings) == [1, 2, 4]
    (root / "away.json").write_text('{"$ref": "http://127.0.0.1:1/x"}')
    (root / "none.json").write_text('{"type": 7}')
    for name in ("away.json", "none.json", "lines.jsonl"):
        with pytest.raises(ToolError):
            tools["check_json_schema"]("lines.jsonl", name)
    assert tools["check_json_schema"](".", "schema.json").files == 3
