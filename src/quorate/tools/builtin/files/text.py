"""What does a file say, in the range of lines or on the matching lines that were asked for?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.builtin.files.lines import MAX_LINE_BYTES, iter_lines, looks_binary, open_stream
from quorate.tools.builtin.files.pattern import PatternKind, compile_pattern
from quorate.tools.builtin.files.walk import Walk, matches_glob
from quorate.tools.workspace import Entry, Workspace

MAX_TEXT_BYTES = 200_000
MAX_SHOWN_CHARS = 500
SKIPPED_DIRECTORIES = (".git", ".venv", "__pycache__", "node_modules", "proc", "sys", "dev")

Encoding = Literal["utf-8", "latin-1", "ascii"]


class FileText(Struct, frozen=True, kw_only=True):
    """Some lines of a file."""

    path: str
    text: str
    first_line: int
    last_line: int
    """The number of the last line in `text`; one less than `first_line` when there is none."""
    has_more: bool
    """Whether lines follow, or a line was cut."""
    size_bytes: int
    has_invalid_bytes: bool = False
    """Whether some bytes were no text in this encoding, and are shown as `\N{REPLACEMENT CHARACTER}`."""


class Match(Struct, frozen=True, kw_only=True):
    """A line that matches."""

    path: str
    line: int
    text: str


class Matches(Struct, frozen=True, kw_only=True):
    """The first lines that match, and how much was looked at."""

    matches: tuple[Match, ...]
    files_searched: int
    files_skipped: int = 0
    """Binary, too large, refused or unreadable."""
    truncated: bool = False
    """Whether the search stopped at a bound before everything was looked at."""


def read_text(
    workspace: Workspace, path: str, *, first_line: int, max_lines: int, encoding: Encoding = "utf-8"
) -> FileText:
    """Read a range of lines.

    Raises:
        ToolError: The name is refused or missing, the file is too large, or it is not text.
    """
    wanted: list[bytes] = []
    used, has_more = 0, False
    with workspace.open_file(path) as stream:
        if looks_binary(stream.read(8192)):
            raise ToolError(f"The file {path!r} is binary, not text.")
        stream.seek(0)
        for number, line in enumerate(iter_lines(stream, max_line_bytes=MAX_LINE_BYTES + 1), 1):
            if number < first_line:
                continue
            used += len(line) + 1
            if len(wanted) >= max_lines or used > MAX_TEXT_BYTES:
                has_more = True
                break
            has_more = has_more or len(line) > MAX_LINE_BYTES
            wanted.append(line[:MAX_LINE_BYTES])
    joined = b"\n".join(wanted)
    text = joined.decode(encoding, errors="replace")
    return FileText(
        path=path,
        text=text,
        first_line=first_line,
        last_line=first_line + len(wanted) - 1,
        has_more=has_more,
        size_bytes=workspace.stat(path).size_bytes,
        has_invalid_bytes="\N{REPLACEMENT CHARACTER}" in text and "\N{REPLACEMENT CHARACTER}".encode() not in joined,
    )


def search_text(
    workspace: Workspace,
    pattern: str,
    *,
    path: str = ".",
    kind: PatternKind = "text",
    glob: str = "*",
    ignore_case: bool = False,
    max_matches: int = 100,
    seconds: float = 10.0,
) -> Matches:
    """Search a file, or every text file below a directory, for lines that match."""
    is_match = compile_pattern(pattern, kind, ignore_case=ignore_case)
    entry = workspace.stat(workspace.name(workspace.parts(path)))
    ends_at = time.monotonic() + seconds
    walk = Walk(workspace, path, seconds=seconds, skip=SKIPPED_DIRECTORIES) if entry.kind == "directory" else None
    candidates: Iterable[Entry] = (entry,) if walk is None else walk
    found: list[Match] = []
    searched = skipped = 0
    for candidate in candidates:
        is_wanted = candidate.kind == "file" and (walk is None or matches_glob(candidate.path, glob))
        if not is_wanted or not workspace.allows(candidate.path):
            continue
        try:
            whole = _search_file(workspace, candidate.path, is_match, found=found, most=max_matches, ends_at=ends_at)
        except ToolError:
            if walk is None:
                raise
            skipped += 1
            continue
        searched += 1
        if not whole:
            return Matches(matches=tuple(found), files_searched=searched, files_skipped=skipped, truncated=True)
    cut = walk is not None and walk.truncated
    return Matches(matches=tuple(found), files_searched=searched, files_skipped=skipped, truncated=cut)


def _search_file(
    workspace: Workspace,
    path: str,
    is_match: Callable[[str], bool],
    *,
    found: list[Match],
    most: int,
    ends_at: float,
) -> bool:
    with workspace.open_file(path) as probe:
        if looks_binary(probe.read(8192)) and not path.endswith(".gz"):
            raise ToolError(f"The file {path!r} is binary, not text.")
    with open_stream(workspace, path) as stream:
        for number, raw in enumerate(iter_lines(stream), 1):
            if number % 256 == 0 and time.monotonic() > ends_at:
                return False
            line = raw.decode("utf-8", "replace")
            if is_match(line):
                if len(found) >= most:
                    return False
                found.append(Match(path=path, line=number, text=line[:MAX_SHOWN_CHARS]))
    return True
