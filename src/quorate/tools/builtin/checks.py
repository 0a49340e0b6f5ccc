"""How does a check of files tell what it found: one shape for all checks, bounded, the worst first?"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.builtin.code.finding import MAX_EVIDENCE_CHARS, SEVERITIES, Finding, Severity, Source
from quorate.tools.builtin.code.review import SKIPPED_DIRECTORIES, SeverityCounts
from quorate.tools.builtin.code.secrets import redact
from quorate.tools.builtin.files.lines import looks_binary
from quorate.tools.builtin.files.walk import Walk
from quorate.tools.workspace import Entry, Workspace

MAX_KEPT = 5000
MAX_NAMES = 100
MAX_MESSAGE_CHARS = 400
MAX_NAME_CHARS = 200


_NAMED_VALUE = re.compile(
    r"(?i)((?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential|bearer|basic"
    r"|signature|[?&]sig)"
    r"[\w.-]{0,40}[\"']?(?:\s{0,5}[:=]\s{0,5}|\s{1,5})[\"']?)(?![$*{<])[^\s\"',;&}]{3,500}"
)


class CheckBounds(Struct, frozen=True, kw_only=True):
    """How much one check may read."""

    files: int = 2000
    file_bytes: int = 1_000_000
    total_bytes: int = 30_000_000
    seconds: float = 20.0


DEFAULT_BOUNDS = CheckBounds()


class Checked(Struct, frozen=True, kw_only=True):
    """What a check looked at and what it found, the worst first."""

    path: str
    """What was checked: a path, a URL, or this machine."""
    files: int = 0
    """Files of this kind that were read; with none, nothing was checked."""
    items: int = 0
    """The things in them that were looked at, such as services, jobs or rules."""
    names: tuple[str, ...] = ()
    """What they are called; the first of them."""
    facts: dict[str, int] = {}
    """Counts that belong to this kind of check."""
    total: int = 0
    """All findings, listed or not."""
    severities: SeverityCounts = SeverityCounts()
    rules: dict[str, int] = {}
    """How many findings there are of each rule."""
    findings: tuple[Finding, ...] = ()
    skipped: tuple[str, ...] = ()
    """Files that could not be read, each with the reason; the first of them."""
    truncated: str = ""
    """Why the rest was not looked at; empty when all was."""


class Board:
    """Where a check writes down what it counts and finds."""

    def __init__(self, *facts: str) -> None:
        self.files = 0
        self.items = 0
        self.names: dict[str, None] = {}
        self.facts = dict.fromkeys(facts, 0)
        self.truncated = ""
        self.skipped: list[str] = []
        self._kept: list[Finding] = []
        self._rules: dict[str, int] = {}
        self._severities: dict[str, int] = dict.fromkeys(SEVERITIES, 0)

    def count(self, fact: str, amount: int = 1) -> None:
        """Add to a count."""
        self.facts[fact] = self.facts.get(fact, 0) + amount

    def item(self, name: str = "") -> None:
        """Count a thing that is looked at, and remember what it is called."""
        self.items += 1
        if name and len(self.names) < MAX_NAMES:
            self.names[hide_values(clean(name, MAX_NAME_CHARS))] = None

    def find(self, source: Source, line: int, rule: str, severity: Severity, message: str) -> None:
        """Write down a finding in a file; its line is the evidence, with secrets blotted out."""
        text = source.lines[line - 1] if 0 < line <= len(source.lines) else ""
        self.note(source.file, line, rule, severity, message, evidence=text)

    def note(self, file: str, line: int, rule: str, severity: Severity, message: str, *, evidence: str = "") -> None:
        """Write down a finding anywhere, with what shows it."""
        self._rules[rule] = self._rules.get(rule, 0) + 1
        self._severities[severity] += 1
        if len(self._kept) >= MAX_KEPT:
            return
        self._kept.append(
            Finding(
                rule=rule,
                severity=severity,
                file=clean(file, 4096),
                line=max(1, line),
                message=clean(message, MAX_MESSAGE_CHARS),
                evidence=hide_values(clean(redact(clean(evidence, 2000), is_plain=True), MAX_EVIDENCE_CHARS)),
            )
        )

    def build(self, path: str, *, most: int) -> Checked:
        """Sum up, listing at most so many findings."""
        ordered = sorted(self._kept, key=lambda one: (SEVERITIES.index(one.severity), one.file, one.line, one.rule))
        return Checked(
            path=path,
            files=self.files,
            items=self.items,
            names=tuple(self.names),
            facts=self.facts,
            total=sum(self._rules.values()),
            severities=SeverityCounts(**self._severities),
            rules=dict(sorted(self._rules.items())),
            findings=tuple(ordered[:most]),
            skipped=tuple(self.skipped[:50]),
            truncated=self.truncated,
        )


def clean(text: str, most: int) -> str:
    """Show foreign text: one line of printable characters, cut."""
    shown = "".join(char if char.isprintable() else " " for char in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def hide_values(text: str) -> str:
    """Blot out the values of what is named like a secret: `db_password: x`, `?token=x`, `PASSWORD 'x'`.

    It hides too much rather than too little, since what it is given was written by anybody.
    """
    return _NAMED_VALUE.sub(r"\1***", text)


def read_sources(
    workspace: Workspace,
    path: str,
    board: Board,
    *,
    wanted: Callable[[str], bool],
    bounds: CheckBounds = DEFAULT_BOUNDS,
) -> Iterator[Source]:
    """Read the text files of one kind: the one that was named, or those that `wanted` accepts below a directory.

    What cannot be read is told on the board; reading stops at the bounds, and the board says so.

    Raises:
        ToolError: The name is refused or missing, or the file that was named cannot be read.
    """
    used = 0
    for entry in find_entries(workspace, path, board, wanted=wanted, bounds=bounds):
        if board.files >= bounds.files or used >= bounds.total_bytes:
            board.truncated = f"stopped after {board.files} files with {used} bytes"
            return
        try:
            source = read_source(workspace, entry.path, max_bytes=bounds.file_bytes)
        except ToolError as error:
            if entry.path == path:
                raise
            board.skipped.append(clean(error.message, MAX_MESSAGE_CHARS))
            continue
        used += len(source.text)
        board.files += 1
        yield source


def find_entries(
    workspace: Workspace,
    path: str,
    board: Board,
    *,
    wanted: Callable[[str], bool],
    bounds: CheckBounds = DEFAULT_BOUNDS,
) -> Iterator[Entry]:
    """Find the files of one kind: the one that was named, or those that `wanted` accepts below a directory.

    Raises:
        ToolError: The name is refused or missing, or it is neither a file nor a directory.
    """
    entry = workspace.stat(workspace.name(workspace.parts(path)))
    if entry.kind != "directory":
        yield Entry(path=path, kind=entry.kind, size_bytes=entry.size_bytes, modified_s=entry.modified_s)
        return
    ends_at = time.monotonic() + bounds.seconds
    walk = Walk(workspace, path, seconds=bounds.seconds, skip=SKIPPED_DIRECTORIES)
    for candidate in walk:
        if candidate.kind != "file" or not workspace.allows(candidate.path) or not wanted(candidate.path):
            continue
        if time.monotonic() > ends_at:
            walk.truncated = True
            break
        yield candidate
    if walk.truncated and not board.truncated:
        board.truncated = "the tree has more entries than can be looked at in the time there is"


def read_source(workspace: Workspace, path: str, *, max_bytes: int = DEFAULT_BOUNDS.file_bytes) -> Source:
    """Read one text file whole.

    Raises:
        ToolError: It is refused, missing, too large, or no text.
    """
    with workspace.open_file(path, max_bytes=max_bytes) as stream:
        data = stream.read(max_bytes + 1)
    if looks_binary(data):
        raise ToolError(f"The file {path!r} is binary, not text.")
    text = data.decode("utf-8-sig", "replace")
    return Source(file=path, text=text, lines=tuple(text.splitlines()), is_test=False)
