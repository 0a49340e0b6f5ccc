"""Which tool lets an agent find what is out of the ordinary in metrics and logs?"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct

from quorate.errors import InvalidInput, MissingExtra, ToolError
from quorate.learning.anomalies import THRESHOLD, Anomaly, Method, find_anomalies
from quorate.tools.builtin.checks import clean
from quorate.tools.builtin.files.lines import iter_lines, open_stream
from quorate.tools.builtin.logs.line import LineParser, format_time
from quorate.tools.define import Tool, tool
from quorate.tools.workspace import Workspace

MOST_ROWS = 200_000
MOST_LINE_BYTES = 64 * 1024
MOST_MINUTES = 100_000
MINUTE_S = 60
LOG_S = 45
"""How long a log may take to read."""
ERRORS = frozenset({"error", "critical"})
LOG_COLUMNS = ("errors", "lines")
TIME_COLUMNS = ("time", "timestamp", "@timestamp", "ts", "date", "datetime", "minute", "hour", "day")
Path = Annotated[
    str, Meta(max_length=4096, description="A CSV or JSON-lines file of metrics, or a log, in the workspace.")
]
Column = Annotated[
    str,
    Meta(
        max_length=200, description="Which column; of a log `errors` or `lines` a minute. The first numbers if empty."
    ),
]
Most = Annotated[int, Meta(ge=1, le=200, description="How many to report, the oddest first.")]


class OddValue(Struct, frozen=True, kw_only=True):
    """A value that is out of the ordinary."""

    place: str
    """When it was, or in which row of the file."""
    value: float
    expected: float
    score: float
    """How odd it is, in standard deviations; 0 to 1 for `isolation_forest`."""
    method: str


class OddValues(Struct, frozen=True, kw_only=True):
    """What is out of the ordinary in a file."""

    path: str
    column: str
    method: str
    """How that was found."""
    values: int
    """How many values were looked at."""
    found: int
    anomalies: tuple[OddValue, ...]
    period: int = 0
    """The length of the cycle, in values, where there is one."""
    skipped: int = 0
    """Rows or lines without a value."""
    note: str = ""


class _Series(Struct, kw_only=True):
    column: str
    values: list[float] = []
    places: list[str] = []
    skipped: int = 0


def anomaly_tools(workspace: Workspace) -> list[Tool[..., Any]]:
    """Build the tool that finds what is out of the ordinary in the files of one workspace."""

    @tool(effect="idempotent", timeout_s=60)
    def detect_anomalies(
        path: Path,
        column: Column = "",
        *,
        kind: Literal["auto", "table", "log"] = "auto",
        method: Method = "auto",
        threshold: Annotated[float, Meta(gt=0, le=100)] = THRESHOLD,
        period: Annotated[int, Meta(ge=0, le=20_000)] = 0,
        most: Most = 20,
    ) -> OddValues:
        """Find values of a metric, or minutes of a log, that are out of the ordinary, and say by which reckoning.

        Args:
            kind: What the file is; `auto` goes by its name.
            method: `auto` is seasonal where there is a cycle, robust z elsewhere, and EWMA for shifts that stay.
            threshold: How many robust standard deviations are too many.
            period: How many values a cycle has; found when 0.
        """
        is_table = kind == "table" or (kind == "auto" and path.lower().endswith((".csv", ".tsv", ".jsonl", ".ndjson")))
        series = _read_table(workspace, path, column) if is_table else _read_log(workspace, path, column)
        try:
            report = find_anomalies(series.values, method=method, threshold=threshold, period=period)
        except (InvalidInput, MissingExtra) as error:
            raise ToolError(error.message) from error
        oddest = sorted(report.anomalies, key=lambda one: (-one.score, one.index))[:most]
        return OddValues(
            path=path,
            column=clean(series.column, 200),
            method=report.method,
            values=report.values,
            found=len(report.anomalies),
            anomalies=tuple(_tell(one, series) for one in oddest),
            period=report.period,
            skipped=series.skipped,
            note=report.note,
        )

    return [detect_anomalies]


def _tell(one: Anomaly, series: _Series) -> OddValue:
    return OddValue(
        place=series.places[one.index],
        value=one.value,
        expected=round(one.expected, 6),
        score=one.score,
        method=one.method,
    )


def _read_table(workspace: Workspace, path: str, column: str) -> _Series:
    with workspace.open_file(path) as stream:
        lines = (line.decode("utf-8", "replace") for line in iter_lines(stream, max_line_bytes=MOST_LINE_BYTES))
        rows = _read_json_rows(lines) if path.lower().endswith((".jsonl", ".ndjson")) else _read_csv_rows(lines, path)
        return _gather(rows, path, column)


def _gather(rows: Iterable[Mapping[str, object]], path: str, column: str) -> _Series:
    series = _Series(column=column)
    known: dict[str, None] = {}
    for number, row in enumerate(rows, 1):
        if number > MOST_ROWS:
            raise ToolError(f"The file {path!r} has more than {MOST_ROWS} rows; give a part of it.")
        known.update(dict.fromkeys(row))
        if not series.column:
            names = (name for name in row if name.lower() not in TIME_COLUMNS and _read_number(row[name]) is not None)
            series.column = next(names, "")
        value = _read_number(row.get(series.column))
        if value is None:
            series.skipped += 1
            continue
        when = next((clean(str(row[name]), 40) for name in row if name.lower() in TIME_COLUMNS and row[name]), "")
        series.values.append(value)
        series.places.append(f"{when} (row {number})" if when else f"row {number}")
    if not series.values:
        listed = ", ".join(f"`{clean(name, 100)}`" for name in list(known)[:20])
        raise ToolError(f"The file {path!r} has no numbers in column {column!r:.80}; its columns: {listed or 'none'}.")
    return series


def _read_csv_rows(lines: Iterable[str], path: str) -> Iterator[Mapping[str, object]]:
    source = iter(lines)
    head = next(source, "").lstrip("\ufeff")
    delimiter = max(",;\t|", key=head.count)
    names = next(csv.reader(io.StringIO(head), delimiter=delimiter), list[str]())
    if not names:
        raise ToolError(f"The file {path!r} is empty.")
    try:
        for cells in csv.reader(source, delimiter=delimiter):
            if cells:
                yield dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise ToolError(f"The file {path!r} is no CSV: {error}.") from error


def _read_json_rows(lines: Iterable[str]) -> Iterator[Mapping[str, object]]:
    for line in lines:
        if not line.strip():
            continue
        try:
            value: object = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            value = None
        yield cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _read_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _read_log(workspace: Workspace, path: str, column: str) -> _Series:
    """Count the lines, or the failures, of each minute from the first to the last, those without any too."""
    wanted = column or LOG_COLUMNS[0]
    if wanted not in LOG_COLUMNS:
        raise ToolError(f"A log has no column {column!r:.80}; give `errors` or `lines`, or `kind` `table`.")
    changed = workspace.stat(path).modified_s
    parser, counts, skipped = LineParser(changed), dict[int, int](), 0
    until = time.monotonic() + LOG_S
    with open_stream(workspace, path) as stream:
        for number, line in enumerate(iter_lines(stream, max_line_bytes=MOST_LINE_BYTES)):
            if number % 4096 == 0 and time.monotonic() > until:
                raise ToolError(f"The log {path!r} takes more than {LOG_S} s to read; give a part of it.")
            record = parser.parse(line.decode("utf-8", "replace"))
            if record.time_s is None:
                skipped += 1
                continue
            minute = int(record.time_s // MINUTE_S)
            counts[minute] = counts.get(minute, 0) + (wanted == "lines" or record.level in ERRORS)
    if not counts:
        raise ToolError(f"No line of {path!r} has a time that is known; give a table, or another log.")
    first, last = min(counts), max(counts)
    if last - first >= MOST_MINUTES:
        raise ToolError(f"The log {path!r} spans {last - first} minutes; at most {MOST_MINUTES}, so give a part of it.")
    minutes = range(first, last + 1)
    return _Series(
        column=wanted,
        values=[float(counts.get(minute, 0)) for minute in minutes],
        places=[format_time(minute * MINUTE_S) for minute in minutes],
        skipped=skipped,
    )
