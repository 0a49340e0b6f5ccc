"""What is in a table of data, column by column, and how do two of them differ?"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from msgspec import Struct

from quorate.errors import MissingExtra, ToolError
from quorate.tools.builtin.checks import clean
from quorate.tools.workspace import Workspace

# Only names for the checker: at run time the library is an extra and is imported where it is used.
if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_FILE_BYTES = 5_000_000_000
MAX_COLUMNS = 200
MAX_TOP = 5
SECONDS = 40.0
_SETTINGS = {
    "memory_limit": "512MB",
    "threads": "2",
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
}
_READERS = {
    "csv": "read_csv($path, sample_size=20480, max_line_size=2000000, null_padding=true, ignore_errors=false)",
    "tsv": "read_csv($path, delim='\t', sample_size=20480, max_line_size=2000000, null_padding=true)",
    "json": "read_json($path, format='auto', maximum_object_size=16777216, maximum_depth=8)",
    "parquet": "read_parquet($path)",
}
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
_P95 = "SELECT quantile_cont({column}::DOUBLE, 0.95) FROM given WHERE isfinite({column}::DOUBLE)"
_TOP = """
SELECT {column}::VARCHAR, count(*) AS n FROM given WHERE {column} IS NOT NULL
GROUP BY 1 HAVING n > 1 ORDER BY n DESC, 1 LIMIT {most}
"""
_NUMBERS = "SELECT count(*) FROM given WHERE TRY_CAST({column} AS DOUBLE) IS NOT NULL"
_SPACES = "SELECT count(*) FROM given WHERE {column} <> trim({column})"
_JOINED = "FROM {first} g {kind} JOIN {second} o ON g.{name}::VARCHAR = o.{name}::VARCHAR {where}"
_COUNTED = "SELECT count(*) " + _JOINED
_SHOWN = "SELECT g.{name}::VARCHAR " + _JOINED + " ORDER BY 1 LIMIT 5"
_DOUBLES = "SELECT count(*) FROM (SELECT {name} FROM given GROUP BY 1 HAVING count(*) > 1)"
Ask = Callable[..., list[tuple[object, ...]]]


class TopValue(Struct, frozen=True, kw_only=True):
    """A value and how often it comes."""

    value: str
    count: int


class ColumnProfile(Struct, frozen=True, kw_only=True):
    """What is in one column."""

    name: str
    type: str
    nulls: int
    null_percent: float
    distinct: int
    """About how many different values there are."""
    min: str | None = None
    max: str | None = None
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    top: tuple[TopValue, ...] = ()
    """The most frequent values, where they repeat."""


class TableProfile(Struct, frozen=True, kw_only=True):
    """What is in a table."""

    path: str
    format: str
    rows: int
    columns: tuple[ColumnProfile, ...]
    duplicate_rows: int
    problems: tuple[str, ...]
    """Columns that are empty, constant, mostly missing, or seem to hold two kinds of values."""
    truncated: bool = False
    """Whether there are more rows or columns than were looked at."""


class RetypedColumn(Struct, frozen=True, kw_only=True):
    """A column that is of another type in the other table."""

    name: str
    here: str
    there: str


class TableComparison(Struct, frozen=True, kw_only=True):
    """How two tables differ."""

    rows: int
    other_rows: int
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    retyped: tuple[RetypedColumn, ...]
    keys_only_here: int | None = None
    keys_only_there: int | None = None
    changed: int | None = None
    """Rows with the same key and other values; absent without a key."""
    duplicate_keys: int | None = None
    examples: tuple[str, ...] = ()
    """Keys that are on one side only, or changed; the first of them."""
    truncated: bool = False


@contextmanager
def _open(seconds: float) -> Generator[Ask]:
    """Open an engine that has no files of its own, little memory, and an end."""
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("Looking into tables of data", "data") from error
    connection: DuckDBPyConnection = duckdb.connect(":memory:", config=dict(_SETTINGS))
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    ends_at = time.monotonic() + seconds

    def ask(sql: str, **given: object) -> list[tuple[object, ...]]:
        # An interruption between two statements stops neither.
        if time.monotonic() > ends_at:
            raise duckdb.InterruptException
        return cast("list[tuple[object, ...]]", connection.execute(sql, given or None).fetchall())

    try:
        yield ask
    except duckdb.InterruptException as error:
        raise ToolError(f"The table took longer than {seconds:g} s; ask for fewer rows with `max_rows`.") from error
    except duckdb.Error as error:
        said = re.sub(r"/proc/self/fd/\d+", "the file", str(error)).split("\n")[0]
        raise ToolError(f"The table cannot be read: {clean(said, 300)}") from error
    finally:
        timer.cancel()
        connection.close()


def _find_format(path: str, stream: BinaryIO) -> str:
    head = stream.read(4)
    stream.seek(0)
    if head == b"PAR1":
        return "parquet"
    name = path.lower()
    found = next((form for suffix, form in _SUFFIXES.items() if name.endswith(suffix)), "")
    if found and found != "parquet":
        return found
    raise ToolError(f"The file {path!r} is no table known here; give one of {', '.join(_SUFFIXES)}.")


def _load(ask: Ask, workspace: Workspace, path: str, name: str, *, most: int, stack: ExitStack) -> str:
    """Load a file's rows into a table of the engine, and return its format."""
    stream = stack.enter_context(workspace.open_file(path, max_bytes=MAX_FILE_BYTES))
    form = _find_format(path, stream)
    reader = _READERS[form]
    # The descriptor is the file that was checked, whatever its name stands for by now.
    place = f"/proc/self/fd/{stream.fileno()}"
    ask(
        _fill(
            "CREATE TABLE {name} AS SELECT * FROM {reader} LIMIT {most}", name=name, reader=reader, most=str(most + 1)
        ),
        path=place,
    )
    return form


def _fill(sql: str, **names: str) -> str:
    """Put names into a statement of ours; what comes from a file was quoted by `_quote`."""
    return sql.format_map(names)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def profile_table(workspace: Workspace, path: str, *, most: int, seconds: float = SECONDS) -> TableProfile:
    """Profile the first rows of a CSV, TSV, JSON or Parquet file.

    Raises:
        MissingExtra: `duckdb` is not installed.
        ToolError: The name is refused or missing, or it is no table.
    """
    with ExitStack() as stack:
        ask = stack.enter_context(_open(seconds))
        form = _load(ask, workspace, path, "given", most=most, stack=stack)
        rows = _number(ask("SELECT count(*) FROM given"))
        is_cut = rows > most
        if is_cut:
            ask(_fill("CREATE OR REPLACE TABLE given AS SELECT * FROM given LIMIT {most}", most=str(most)))
            rows = most
        summary = ask("SELECT column_name, column_type, min, max, approx_unique, avg, q50 FROM (SUMMARIZE given)")
        problems: list[str] = []
        columns = tuple(_profile(ask, row, rows, problems) for row in summary[:MAX_COLUMNS])
        distinct = _number(ask("SELECT count(*) FROM (SELECT DISTINCT * FROM given)"))
    if rows == 0:
        problems.append("there are no rows")
    return TableProfile(
        path=path,
        format=form,
        rows=rows,
        columns=columns,
        duplicate_rows=rows - distinct,
        problems=tuple(problems),
        truncated=is_cut or len(summary) > MAX_COLUMNS,
    )


def _number(rows: list[tuple[object, ...]]) -> int:
    value = rows[0][0] if rows else 0
    return value if isinstance(value, int) else 0


def _profile(ask: Ask, row: tuple[object, ...], rows: int, problems: list[str]) -> ColumnProfile:
    name, kind = str(row[0]), str(row[1])
    column = _quote(name)
    nulls = _number(ask(_fill("SELECT count(*) FROM given WHERE {column} IS NULL", column=column)))
    distinct = row[4] if isinstance(row[4], int) else 0
    is_number = re.match(r"(?:U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|FLOAT|DOUBLE|DECIMAL)", kind) is not None
    p95 = None
    if is_number:
        found = ask(_fill(_P95, column=column))
        p95 = _float(found[0][0])
    top: tuple[TopValue, ...] = ()
    if distinct < rows and not kind.startswith(("STRUCT", "MAP")) and not kind.endswith("[]"):
        counted = ask(_fill(_TOP, column=column, most=str(MAX_TOP)))
        top = tuple(TopValue(value=clean(str(value), 100), count=int(str(count))) for value, count in counted)
    shown = clean(name, 200)
    _judge(ask, shown, column, kind, rows=rows, nulls=nulls, distinct=distinct, problems=problems)
    return ColumnProfile(
        name=shown,
        type=clean(kind, 200),
        nulls=nulls,
        null_percent=round(100 * nulls / rows, 2) if rows else 0.0,
        distinct=min(distinct, rows),
        min=None if row[2] is None else clean(str(row[2]), 100),
        max=None if row[3] is None else clean(str(row[3]), 100),
        mean=_float(row[5]) if is_number else None,
        p50=_float(row[6]) if is_number else None,
        p95=p95,
        top=top,
    )


def _float(value: object) -> float | None:
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if found == found and abs(found) != float("inf") else None


def _judge(
    ask: Ask, name: str, column: str, kind: str, *, rows: int, nulls: int, distinct: int, problems: list[str]
) -> None:
    if rows and nulls == rows:
        problems.append(f"`{name}` is empty")
    elif rows and nulls > rows / 2:
        problems.append(f"`{name}` is missing in {100 * nulls / rows:.0f} % of the rows")
    elif rows > 10 and distinct == 1 and not nulls:
        problems.append(f"`{name}` is the same in every row")
    if kind != "VARCHAR" or not rows:
        return
    numbers = _number(ask(_fill(_NUMBERS, column=column)))
    if rows * 0.8 < numbers < rows - nulls:
        problems.append(f"`{name}` holds numbers, and {rows - nulls - numbers} values that are none")
    spaces = _number(ask(_fill(_SPACES, column=column)))
    if spaces:
        problems.append(f"`{name}` has {spaces} values with spaces around them")


def compare_tables(
    workspace: Workspace, path: str, other: str, *, key: str, most: int, seconds: float = SECONDS
) -> TableComparison:
    """Compare two tables: their columns, and by a key their rows.

    Raises:
        MissingExtra: `duckdb` is not installed.
        ToolError: A name is refused or missing, one is no table, or it has no such column.
    """
    with ExitStack() as stack:
        ask = stack.enter_context(_open(seconds))
        _load(ask, workspace, path, "given", most=most, stack=stack)
        _load(ask, workspace, other, "other", most=most, stack=stack)
        here = {str(row[0]): str(row[1]) for row in ask("DESCRIBE given")}
        there = {str(row[0]): str(row[1]) for row in ask("DESCRIBE other")}
        rows, other_rows = _number(ask("SELECT count(*) FROM given")), _number(ask("SELECT count(*) FROM other"))
        found = TableComparison(
            rows=min(rows, most),
            other_rows=min(other_rows, most),
            only_here=tuple(clean(name, 200) for name in here if name not in there),
            only_there=tuple(clean(name, 200) for name in there if name not in here),
            retyped=tuple(
                RetypedColumn(name=clean(name, 200), here=clean(kind, 200), there=clean(there[name], 200))
                for name, kind in here.items()
                if name in there and there[name] != kind
            ),
            truncated=rows > most or other_rows > most,
        )
        return _compare_rows(ask, found, here, there, key) if key else found


def _compare_rows(
    ask: Ask, found: TableComparison, here: dict[str, str], there: dict[str, str], key: str
) -> TableComparison:
    if key not in here or key not in there:
        raise ToolError(
            f"Both tables need the column {key!r}; they share: {', '.join(sorted(here.keys() & there.keys()))[:300]}."
        )
    name = _quote(key)
    common = [_quote(one) for one in here if one in there and one != key]
    parts = (f"g.{one}::VARCHAR IS DISTINCT FROM o.{one}::VARCHAR" for one in common)
    where = " OR ".join(parts) or "false"
    sides = (("only here", "given", "other", "ANTI", ""), ("only there", "other", "given", "ANTI", ""))
    counts: list[int] = []
    examples: list[str] = []
    for what, first, second, kind, condition in (*sides, ("changed", "given", "other", "INNER", f"WHERE {where}")):
        names = {"name": name, "first": first, "second": second, "kind": kind, "where": condition}
        counts.append(_number(ask(_fill(_COUNTED, **names))))
        examples += [f"{what}: {clean(str(row[0]), 100)}" for row in ask(_fill(_SHOWN, **names))]
    doubles = ask(_fill(_DOUBLES, name=name))
    return TableComparison(
        rows=found.rows,
        other_rows=found.other_rows,
        only_here=found.only_here,
        only_there=found.only_there,
        retyped=found.retyped,
        keys_only_here=counts[0],
        keys_only_there=counts[1],
        changed=counts[2],
        duplicate_keys=_number(doubles),
        examples=tuple(examples),
        truncated=found.truncated,
    )
