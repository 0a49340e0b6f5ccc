"""What should a person look at in a tree of code?"""

from __future__ import annotations

import time
from collections.abc import Iterator

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.builtin.code.finding import SEVERITIES, Finding, Limits, Source
from quorate.tools.builtin.code.python import review_python
from quorate.tools.builtin.code.text import find_suffix, find_todos, review_lines
from quorate.tools.builtin.files.lines import looks_binary
from quorate.tools.builtin.files.walk import Walk
from quorate.tools.workspace import Entry, Workspace

SKIPPED_DIRECTORIES = frozenset(
    [
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        ".tox",
        ".nox",
        "node_modules",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        "dist",
        "build",
        "target",
        "vendor",
        "site-packages",
        ".eggs",
        ".idea",
        ".cache",
        "proc",
        "sys",
        "dev",
    ]
)
PYTHON = frozenset({".py", ".pyi"})
MAX_FILE_BYTES = 1_000_000
MAX_PARSED_BYTES = 300_000
"""The parser holds up every thread of the process while it works, so it is not given more at once."""


class SeverityCounts(Struct, frozen=True, kw_only=True):
    """How many findings there are of each severity."""

    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0


class Review(Struct, frozen=True, kw_only=True):
    """What was found, the worst first."""

    path: str
    files: int
    """Files that were reviewed."""
    lines: int
    skipped: tuple[str, ...]
    """Files of a known language that were not reviewed, or in part, each with the reason; the first of them."""
    total: int
    """All findings, listed or not."""
    severities: SeverityCounts
    rules: dict[str, int]
    """How many findings there are of each rule."""
    todos: int
    findings: tuple[Finding, ...]
    truncated: str = ""
    """Why the rest was not reviewed; empty when all was."""
    elapsed_s: float = 0.0


class ReviewBounds(Struct, frozen=True, kw_only=True):
    """How much may be looked at and listed."""

    files: int = 2000
    total_bytes: int = 50_000_000
    seconds: float = 50.0
    findings: int = 200


DEFAULT_LIMITS = Limits()
DEFAULT_BOUNDS = ReviewBounds()


class _Tally:
    def __init__(self) -> None:
        self.files = self.lines = self.bytes = self.todos = 0
        self.findings: list[Finding] = []
        self.skipped: list[str] = []
        self.truncated = ""


def review_tree(
    workspace: Workspace, path: str, *, limits: Limits = DEFAULT_LIMITS, bounds: ReviewBounds = DEFAULT_BOUNDS
) -> Review:
    """Review a file, or every file of a known language below a directory.

    Raises:
        ToolError: The name is refused or missing, or a single file cannot be read.
    """
    started = time.monotonic()
    tally = _Tally()
    entry = workspace.stat(workspace.name(workspace.parts(path)))
    if entry.kind == "directory":
        walk = Walk(workspace, path, seconds=bounds.seconds, skip=SKIPPED_DIRECTORIES)
        for candidate in walk:
            if candidate.kind != "file" or not find_suffix(candidate.path):
                continue
            tally.truncated = _spent(tally, bounds, started)
            if tally.truncated:
                break
            try:
                _review_file(workspace, candidate, tally, limits)
            except ToolError as error:
                tally.skipped.append(f"{candidate.path}: {error.message}")
        if walk.truncated and not tally.truncated:
            tally.truncated = "the tree has more entries than can be looked at"
    else:
        _review_file(workspace, entry, tally, limits)
    return _sum_up(path, tally, bounds, elapsed_s=time.monotonic() - started)


def review_source(source: Source, limits: Limits) -> Iterator[Finding]:
    """Review one file's text."""
    if is_parsed(source):
        yield from review_python(source, limits)
    yield from review_lines(source)
    todos = find_todos(source)
    if todos:
        count = f"{len(todos)} note{'s' if len(todos) > 1 else ''} of work still to be done, the first here"
        yield Finding(
            rule="todo",
            severity="low",
            file=source.file,
            line=todos[0],
            message=count,
            evidence="",
        )


def is_parsed(source: Source) -> bool:
    """Tell whether a file is Python, and of a size that is parsed."""
    return find_suffix(source.file) in PYTHON and len(source.text) <= MAX_PARSED_BYTES


def _review_file(workspace: Workspace, entry: Entry, tally: _Tally, limits: Limits) -> None:
    with workspace.open_file(entry.path, max_bytes=min(MAX_FILE_BYTES, workspace.max_file_bytes)) as stream:
        data = stream.read()
    if looks_binary(data):
        raise ToolError("it is binary, not text")
    text = data.decode("utf-8-sig", "replace")
    # The parser counts lines by these ends only; `splitlines` would count more.
    lines = tuple(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    source = Source(file=entry.path, text=text, lines=lines, is_test=_is_test(entry.path))
    tally.files += 1
    tally.lines += len(lines) - (not lines[-1])
    tally.bytes += len(data)
    tally.todos += len(find_todos(source))
    tally.findings.extend(review_source(source, limits))
    if find_suffix(entry.path) in PYTHON and not is_parsed(source):
        tally.skipped.append(f"{entry.path}: it is too large to parse; only its lines were reviewed")


def _spent(tally: _Tally, bounds: ReviewBounds, started: float) -> str:
    if tally.files >= bounds.files:
        return f"stopped after {bounds.files} files"
    if tally.bytes >= bounds.total_bytes:
        return f"stopped after {bounds.total_bytes} bytes"
    if time.monotonic() - started > bounds.seconds:
        return f"stopped after {bounds.seconds:g} s"
    return ""


def _sum_up(path: str, tally: _Tally, bounds: ReviewBounds, *, elapsed_s: float) -> Review:
    found = sorted(tally.findings, key=lambda one: (SEVERITIES.index(one.severity), one.file, one.line, one.rule))
    rules: dict[str, int] = {}
    for one in found:
        rules[one.rule] = rules.get(one.rule, 0) + 1
    return Review(
        path=path,
        files=tally.files,
        lines=tally.lines,
        skipped=tuple(tally.skipped[:50]),
        total=len(found),
        severities=SeverityCounts(
            **{name: sum(one.severity == name for one in found) for name in SEVERITIES},
        ),
        rules=rules,
        todos=tally.todos,
        findings=tuple(found[: bounds.findings]),
        truncated=tally.truncated,
        elapsed_s=round(elapsed_s, 3),
    )


def _is_test(path: str) -> bool:
    parts = path.split("/")
    return parts[-1].startswith("test_") or parts[-1].endswith("_test.py") or "tests" in parts[:-1]
