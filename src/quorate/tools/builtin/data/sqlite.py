"""What is in an SQLite file, and what does a statement that only reads find in it?"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Generator, Iterable
from typing import cast

from msgspec import Struct, structs

from quorate.errors import ToolError
from quorate.tools.builtin.checks import clean
from quorate.tools.workspace import Workspace

MAX_FILE_BYTES = 50_000_000_000
MAX_SQL_CHARS = 20_000
MAX_TABLES = 200
MAX_VALUE_CHARS = 2000
MAX_RESULT_CHARS = 500_000
SECONDS = 10.0
_STEPS = 100
_TABLES = """
SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name
"""
_COUNT = "SELECT count(*) FROM ?"
_MAGIC = b"SQLite format 3\0"
_PRAGMAS = frozenset(
    (
        *("table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "foreign_key_list", "table_list"),
        *("page_count", "page_size", "freelist_count", "journal_mode", "user_version", "application_id", "encoding"),
        *("quick_check", "foreign_key_check", "auto_vacuum", "compile_options"),
    )
)
_SETTABLE = frozenset(("quick_check", "foreign_key_check"))
_ALLOWED = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE))
_REFUSED_FUNCTIONS = frozenset(
    ("load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "zeroblob", "randomblob")
)
_LIMITS = (
    (sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_CHARS),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_COLUMN, 500),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 5),
)
Value = str | int | float | bool | None
Ask = Callable[[str], list[tuple[str | int | None, ...]]]


class Rows(Struct, frozen=True, kw_only=True):
    """What a statement found."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    row_count: int
    """How many are shown."""
    truncated: bool = False
    """Whether there are more, or a value was cut."""
    elapsed_ms: float = 0.0
    note: str = ""


class Column(Struct, frozen=True, kw_only=True):
    """A column as it is declared."""

    name: str
    type: str
    not_null: bool
    primary_key: bool


class Table(Struct, frozen=True, kw_only=True):
    """A table or view."""

    name: str
    kind: str
    columns: tuple[Column, ...]
    rows: int | None = None
    """Absent for views, and when the time was over."""
    indexes: tuple[str, ...] = ()
    foreign_keys: int = 0


class SqliteReport(Struct, frozen=True, kw_only=True):
    """What is in an SQLite file."""

    path: str
    size_bytes: int
    page_count: int
    free_percent: float
    """Pages that hold nothing; `VACUUM` gives them back."""
    journal: str
    user_version: int
    tables: tuple[Table, ...]
    problems: tuple[str, ...]
    """What does not hold together, tables without a key, and references without an index."""
    truncated: bool = False


class _Guard:
    """Allows reading and nothing else, and remembers what was refused."""

    def __init__(self) -> None:
        self.refused = ""

    def __call__(
        self, action: int, first: str | None, second: str | None, database: str | None, inner: str | None
    ) -> int:
        if action in _ALLOWED:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _REFUSED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in _PRAGMAS:
            # Some take a name to look at; a value for one of the others would be a change.
            is_reading = (
                second is None
                or (first or "").lower() in _SETTABLE
                or (first or "").lower().startswith(("table_", "index_", "foreign_"))
            )
            if is_reading:
                return sqlite3.SQLITE_OK
        self.refused = self.refused or f"{first or 'this statement'} {second or ''}".strip()
        return sqlite3.SQLITE_DENY


@contextlib.contextmanager
def open_reading(workspace: Workspace, path: str, *, ends_at: float) -> Generator[tuple[sqlite3.Connection, _Guard]]:
    """Open an SQLite file so that nothing can be changed, and nothing else can be reached.

    Raises:
        ToolError: The name is refused or missing, or it is no SQLite file.
    """
    with workspace.open_file(path, max_bytes=MAX_FILE_BYTES) as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise ToolError(f"The file {path!r} is no SQLite database.")
        # The descriptor is the file that was checked, whatever its name stands for by now. `immutable` keeps the
        # library from looking for journals beside it.
        uri = f"file:/proc/self/fd/{stream.fileno()}?mode=ro&immutable=1"
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=1, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise ToolError(f"The file {path!r} cannot be opened: {error}.") from error
        with contextlib.closing(connection):
            guard = _Guard()
            for limit, most in _LIMITS:
                connection.setlimit(limit, most)
            connection.text_factory = _read_text
            connection.execute("PRAGMA trusted_schema = off")
            connection.execute("PRAGMA cell_size_check = on")
            connection.set_authorizer(guard)
            connection.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS)
            yield connection, guard


def _read_text(data: bytes) -> str:
    # What is shown of it is cut in any case; each character has at most 4 bytes.
    return data[: 4 * MAX_VALUE_CHARS].decode("utf-8", "replace")


def query_sqlite(workspace: Workspace, path: str, sql: str, *, most: int, seconds: float = SECONDS) -> Rows:
    """Run one statement that reads.

    Raises:
        ToolError: It writes, is faulty, or takes too long.
    """
    began = time.monotonic()
    with open_reading(workspace, path, ends_at=began + seconds) as (connection, guard):
        try:
            cursor = connection.execute(sql)
            columns = tuple(clean(str(column[0]), 200) for column in cursor.description or ())
            rows = build_rows(columns, cast("Iterable[tuple[object, ...]]", cursor), most=most)
        except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
            if guard.refused:
                raise ToolError(f"This is refused: only reading is allowed ({clean(guard.refused, 100)}).") from error
            said = f"it took longer than {seconds:g} s" if "interrupted" in str(error) else str(error)[:300]
            raise ToolError(f"The statement failed: {said}.") from error
    note = "Changes that are still in the `-wal` file beside it are not seen." if _has_wal(workspace, path) else ""
    return structs.replace(rows, elapsed_ms=round((time.monotonic() - began) * 1000, 1), note=note)


def build_rows(columns: tuple[str, ...], found: Iterable[tuple[object, ...]], *, most: int) -> Rows:
    """Show rows as plain values; no more are taken than there is room for, since each may be large."""
    rows: list[tuple[Value, ...]] = []
    used, is_cut = 0, False
    for row in found:
        if len(rows) == most:
            is_cut = True
            break
        shown = tuple(_show(value) for value in row)
        used += sum(len(value) if isinstance(value, str) else 8 for value in shown)
        if used > MAX_RESULT_CHARS:
            is_cut = True
            break
        is_cut = is_cut or any(isinstance(value, str) and len(value) >= MAX_VALUE_CHARS for value in shown)
        rows.append(shown)
    return Rows(
        columns=columns,
        rows=tuple(rows),
        row_count=len(rows),
        truncated=is_cut,
    )


def _show(value: object) -> Value:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if value is None or isinstance(value, bool | str):
        return value[:MAX_VALUE_CHARS] if isinstance(value, str) else value
    if isinstance(value, int):
        # JSON's readers keep 53 bits; larger numbers stay whole as text.
        return value if abs(value) < 1 << 53 else str(value)
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return str(value)[:MAX_VALUE_CHARS]


def _has_wal(workspace: Workspace, path: str) -> bool:
    try:
        return workspace.stat(f"{path}-wal").size_bytes > 0
    except ToolError:
        return False


def describe_sqlite(workspace: Workspace, path: str, *, seconds: float = SECONDS) -> SqliteReport:
    """Describe the tables of an SQLite file, and check that it holds together.

    Raises:
        ToolError: The name is refused or missing, or it is no SQLite file.
    """
    with open_reading(workspace, path, ends_at=time.monotonic() + seconds) as (connection, _):
        try:
            return _describe(workspace, path, connection)
        except (sqlite3.Error, ValueError) as error:
            raise ToolError(f"The file {path!r} cannot be read: {str(error)[:200]}.") from error


def _describe(workspace: Workspace, path: str, connection: sqlite3.Connection) -> SqliteReport:
    def ask(sql: str) -> list[tuple[str | int | None, ...]]:
        return cast("list[tuple[str | int | None, ...]]", connection.execute(sql).fetchmany(10_000))

    pages, free = int(ask("PRAGMA page_count")[0][0] or 0), int(ask("PRAGMA freelist_count")[0][0] or 0)
    listed = ask(_TABLES)
    problems: list[str] = []
    tables: list[Table] = []
    is_cut = len(listed) > MAX_TABLES
    for name, kind in listed[:MAX_TABLES]:
        try:
            tables.append(_describe_table(ask, str(name), str(kind), problems))
        except sqlite3.OperationalError as error:
            is_cut = is_cut or "interrupted" in str(error)
            problems.append(f"`{clean(str(name), 100)}` cannot be read: {str(error)[:150]}")
    for what in ("quick_check", "foreign_key_check"):
        try:
            rows = ask(f"PRAGMA {what}")
        except sqlite3.OperationalError:
            is_cut = True
            continue
        if what == "quick_check":
            problems += [clean(str(row[0]), 200) for row in rows[:20] if row[0] != "ok"]
        elif rows:
            problems.append(f"{len(rows)} rows of {clean(str(rows[0][0]), 100)} and others refer to what is not there")
    if _has_wal(workspace, path):
        problems.append("changes in the `-wal` file beside it were not seen")
    return SqliteReport(
        path=path,
        size_bytes=workspace.stat(workspace.name(workspace.parts(path))).size_bytes,
        page_count=pages,
        free_percent=round(100 * free / pages, 1) if pages else 0.0,
        journal=str(ask("PRAGMA journal_mode")[0][0]),
        user_version=int(ask("PRAGMA user_version")[0][0] or 0),
        tables=tuple(tables),
        problems=tuple(problems),
        truncated=is_cut,
    )


def _describe_table(ask: Ask, name: str, kind: str, problems: list[str]) -> Table:
    quoted = '"' + name.replace('"', '""') + '"'
    columns = tuple(
        Column(
            name=clean(str(row[1]), 200), type=clean(str(row[2]), 200), not_null=bool(row[3]), primary_key=bool(row[5])
        )
        for row in ask(f"PRAGMA table_info({quoted})")
    )
    shown = clean(name, 100)
    if kind == "view":
        return Table(name=shown, kind=kind, columns=columns)
    indexes = [str(row[1]) for row in ask(f"PRAGMA index_list({quoted})")]
    references = ask(f"PRAGMA foreign_key_list({quoted})")
    led = {
        str(rows[0][2]) for index in indexes if (rows := ask('PRAGMA index_info("' + index.replace('"', '""') + '")'))
    }
    if not any(column.primary_key for column in columns):
        problems.append(f"`{shown}` has no primary key")
    for row in references:
        column = str(row[3])
        is_key = any(one.primary_key and one.name == column for one in columns)
        if column not in led and not is_key:
            problems.append(f"`{shown}.{clean(column, 100)}` refers to `{clean(str(row[2]), 100)}` and has no index")
    # The name is a table's own and is quoted, and the guard lets nothing but reading pass.
    rows = int(ask(_COUNT.replace("?", quoted))[0][0] or 0)
    return Table(
        name=shown,
        kind=kind,
        columns=columns,
        rows=rows,
        indexes=tuple(clean(index, 100) for index in indexes),
        foreign_keys=len(references),
    )
