"""What happened, according to a log?"""

from __future__ import annotations

import time
from collections.abc import Iterable

from msgspec import Struct

from quorate.tools.builtin.files.lines import iter_lines, open_stream
from quorate.tools.builtin.logs.line import Level, LineParser, Record, format_time
from quorate.tools.builtin.logs.rate import Rates, Timeline
from quorate.tools.builtin.logs.template import FAILURES, Clusters, Template
from quorate.tools.builtin.logs.trace import TraceGroup, Traces
from quorate.tools.workspace import Workspace

_WORRYING: frozenset[Level] = frozenset({"error", "critical"})
_INDENTS = (" ", "\t")


class LevelCounts(Struct, frozen=True, kw_only=True):
    """How many records there are of each level."""

    trace: int = 0
    debug: int = 0
    info: int = 0
    warning: int = 0
    error: int = 0
    critical: int = 0
    unknown: int = 0


class LogReport(Struct, frozen=True, kw_only=True):
    """What a log tells, measured."""

    source: str
    lines: int
    records: int
    """Lines that begin an entry; the rest continue one, as the lines of a stack trace do."""
    levels: LevelCounts
    errors: int
    """Records of level error or critical."""
    formats: dict[str, int]
    """How many records were read in each format; `plain` is one that is not known."""
    first_seen: str
    last_seen: str
    first_error: str
    last_error: str
    rates: Rates | None
    top_errors: tuple[Template, ...]
    top_templates: tuple[Template, ...]
    stack_traces: tuple[TraceGroup, ...]
    stack_trace_count: int
    bytes_read: int
    elapsed_s: float
    truncated: str = ""
    """Why the end was not reached; empty when all of it was read."""


class Scan:
    """Takes the entries of a log one by one and sums them up, in memory that does not grow with the log."""

    def __init__(self) -> None:
        self.lines = 0
        self.records = 0
        self.bytes_read = 0
        self._levels: dict[Level | None, int] = {}
        self._formats: dict[str, int] = {}
        self._timeline = Timeline()
        self._clusters = Clusters()
        self._traces = Traces()
        self._has_times = False

    def add_line(self, line: str, parser: LineParser) -> None:
        """Take a line of a text log."""
        self.lines += 1
        record = parser.parse(line)
        inside = self._traces.add(line if record.format == "plain" else record.message, line=self.lines)
        if record.format == "plain" and self._is_continuation(line, record, inside=inside):
            return
        if line.strip():
            self._count(record)

    def add_record(self, record: Record) -> None:
        """Take an entry whose fields are known already; it may have several lines."""
        self.lines += 1
        for text in record.message.split("\n"):
            self._traces.add(text, line=self.lines)
        self._count(record._replace(message=record.message.partition("\n")[0]))

    def report(self, source: str, *, most: int, elapsed_s: float, truncated: str = "") -> LogReport:
        """Sum up."""
        self._traces.finish()
        times = self._timeline
        counts = {name or "unknown": count for name, count in self._levels.items()}
        return LogReport(
            source=source,
            lines=self.lines,
            records=self.records,
            levels=LevelCounts(**counts),
            errors=counts.get("error", 0) + counts.get("critical", 0),
            formats=self._formats,
            first_seen=format_time(times.first_s),
            last_seen=format_time(times.last_s),
            first_error=format_time(times.first_error_s),
            last_error=format_time(times.last_error_s),
            rates=times.rates(),
            top_errors=self._clusters.top(most, levels=_WORRYING),
            top_templates=self._clusters.top(most),
            stack_traces=self._traces.top(most),
            stack_trace_count=self._traces.total,
            bytes_read=self.bytes_read,
            elapsed_s=round(elapsed_s, 3),
            truncated=truncated,
        )

    def _is_continuation(self, line: str, record: Record, *, inside: bool) -> bool:
        if inside or not self.records:
            return inside
        # Where entries bear a time or a level, a line that has neither belongs to the one above.
        return record.level is None and (self._has_times or line.startswith(_INDENTS))

    def _count(self, record: Record) -> None:
        self.records += 1
        self._levels[record.level] = self._levels.get(record.level, 0) + 1
        self._formats[record.format] = self._formats.get(record.format, 0) + 1
        self._clusters.add(record.message, line=self.lines, level=record.level, time_s=record.time_s)
        if record.time_s is not None:
            self._has_times = True
            self._timeline.add(record.time_s, line=self.lines, is_error=record.level in FAILURES)


def read_report(workspace: Workspace, path: str, *, most: int, seconds: float) -> LogReport:
    """Read a log file, plain or gzip, from its beginning until its end or until the time is up.

    Raises:
        ToolError: The name is refused or missing, or its gzip data is broken.
    """
    started = time.monotonic()
    scan, truncated = Scan(), ""
    modified_s = workspace.stat(workspace.name(workspace.parts(path))).modified_s
    with open_stream(workspace, path) as stream:
        parser = LineParser(modified_s)
        for raw in iter_lines(stream):
            scan.bytes_read += len(raw) + 1
            scan.add_line(raw.decode("utf-8", "replace"), parser)
            if scan.lines % 1024 == 0 and time.monotonic() - started > seconds:
                truncated = f"stopped after {seconds:g} s, at line {scan.lines}"
                break
    return scan.report(path, most=most, elapsed_s=time.monotonic() - started, truncated=truncated)


def report_records(source: str, records: Iterable[Record], *, most: int) -> LogReport:
    """Sum up entries whose fields are known, such as the journal's."""
    started = time.monotonic()
    scan = Scan()
    for record in records:
        scan.add_record(record)
    return scan.report(source, most=most, elapsed_s=time.monotonic() - started)
