"""Which entries of a log match, at which lines, and how many are there?"""

from __future__ import annotations

import time

from msgspec import Struct

from quorate.tools.builtin.files.lines import iter_lines, open_stream
from quorate.tools.builtin.files.pattern import PatternKind, compile_pattern
from quorate.tools.builtin.logs.line import Level, LineParser, format_time
from quorate.tools.workspace import Workspace

MAX_SHOWN_CHARS = 1000


class LogMatch(Struct, frozen=True, kw_only=True):
    """A line that matches."""

    line: int
    time: str
    level: Level | None
    text: str


class LogMatches(Struct, frozen=True, kw_only=True):
    """The first lines that match, and how many there are in all."""

    path: str
    matches: tuple[LogMatch, ...]
    count: int
    """All lines that match, shown or not."""
    lines: int
    """Lines that were looked at."""
    first_seen: str
    last_seen: str
    truncated: str = ""
    """Why the end was not reached; empty when all of it was read."""


def search_entries(
    workspace: Workspace,
    path: str,
    *,
    pattern: str,
    kind: PatternKind,
    ignore_case: bool,
    level: Level | None,
    max_matches: int,
    seconds: float,
) -> LogMatches:
    """Search a log for lines that match and have the level, if one is given."""
    is_match = compile_pattern(pattern, kind, ignore_case=ignore_case)
    parser = LineParser(workspace.stat(workspace.name(workspace.parts(path))).modified_s)
    ends_at = time.monotonic() + seconds
    found: list[LogMatch] = []
    count = number = 0
    first = last = truncated = ""
    with open_stream(workspace, path) as stream:
        for number, raw in enumerate(iter_lines(stream), 1):
            if number % 64 == 0 and time.monotonic() > ends_at:
                truncated = f"stopped after {seconds:g} s, at line {number}"
                break
            line = raw.decode("utf-8", "replace")
            if not is_match(line):
                continue
            record = parser.parse(line)
            if level is not None and record.level != level:
                continue
            count += 1
            last = format_time(record.time_s) or last
            first = first or last
            if len(found) < max_matches:
                shown = line[:MAX_SHOWN_CHARS]
                found.append(LogMatch(line=number, time=format_time(record.time_s), level=record.level, text=shown))
    return LogMatches(
        path=path,
        matches=tuple(found),
        count=count,
        lines=number,
        first_seen=first,
        last_seen=last,
        truncated=truncated,
    )
