"""Which messages are the same but for their numbers, names and addresses?

The well-known idea of Drain: what varies is masked, then a message joins the group of its length and first word whose
words it mostly shares, and where the two differ the group's template gets a `<*>`.
"""

from __future__ import annotations

import re

from msgspec import Struct

from quorate.tools.builtin.logs.line import Level, format_time

MAX_GROUPS = 1000
MAX_KNOWN = 5000
MAX_COMPARED = 100
MAX_WORDS = 60
MAX_MESSAGE_CHARS = 600
EXAMPLES = 5
FAILURES: frozenset[Level | None] = frozenset({"error", "critical"})
LIKENESS = 0.7
"""The share of words that must be equal to join a group."""

_VARIABLE = re.compile(
    r"(?P<quoted>\"[^\"]{0,300}\"|(?<!\w)'[^']{0,300}'(?!\w))"
    r"|(?P<uuid>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)"
    r"|(?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}\b|(?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}(?![\w:]))"
    r"|(?P<hex>\b0x[0-9a-fA-F]+\b|\b(?=[a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{8,64}\b)"
    r"|(?P<num>\d+(?:[.,:]\d+)*)"
)
_NO_DIGITS = {ord(digit): None for digit in "0123456789"}


class Template(Struct, frozen=True, kw_only=True):
    """A kind of message, and how often it came."""

    template: str
    count: int
    level: Level | None
    """The worst level it came with."""
    first_seen: str
    last_seen: str
    lines: tuple[int, ...]
    """The numbers of its first lines."""
    example: str


class _Group:
    __slots__ = ("count", "example", "first_s", "last_s", "level", "lines", "words")

    def __init__(self, words: list[str], example: str) -> None:
        self.words = words
        self.example = example
        self.count = 0
        self.level: Level | None = None
        self.first_s: float | None = None
        self.last_s: float | None = None
        self.lines: list[int] = []


class Clusters:
    """Groups messages as they come, in bounded memory."""

    def __init__(self) -> None:
        self.ungrouped = 0
        """Messages that came when there was no room for another group."""
        self._known: dict[tuple[bool, str], _Group] = {}
        self._groups: list[_Group] = []
        self._by_shape: dict[tuple[bool, int, str], list[_Group]] = {}

    def add(self, message: str, *, line: int, level: Level | None, time_s: float | None) -> None:
        """Count a message."""
        # Failures are kept apart from the rest, so that a count of errors is a count of errors.
        is_bad = level in FAILURES
        # All digits are masked anyway, and leaving them out is eight times as fast as masking.
        key = (is_bad, message[:MAX_MESSAGE_CHARS].translate(_NO_DIGITS))
        group = self._known.get(key)
        if group is None:
            group = self._find(mask(message), message, is_bad=is_bad)
            if group is None:
                self.ungrouped += 1
                return
            if len(self._known) < MAX_KNOWN:
                self._known[key] = group
        group.count += 1
        if len(group.lines) < EXAMPLES:
            group.lines.append(line)
        if level is not None and (group.level is None or _RANK[level] > _RANK[group.level]):
            group.level = level
        if time_s is not None:
            group.first_s = time_s if group.first_s is None else min(group.first_s, time_s)
            group.last_s = time_s if group.last_s is None else max(group.last_s, time_s)

    def top(self, most: int, *, levels: frozenset[Level] | None = None) -> tuple[Template, ...]:
        """Return the most frequent groups, among those of the given levels if there are any given."""
        chosen = [group for group in self._groups if levels is None or group.level in levels]
        chosen.sort(key=lambda group: (-group.count, group.lines[0]))
        return tuple(_describe(group) for group in chosen[:most])

    def _find(self, masked: str, message: str, *, is_bad: bool) -> _Group | None:
        words = masked.split()[:MAX_WORDS]
        shape = (is_bad, len(words), words[0] if words else "")
        near = self._by_shape.get(shape, [])
        for group in near[:MAX_COMPARED]:
            same = sum(mine == its for mine, its in zip(words, group.words, strict=True))
            if same >= LIKENESS * len(words):
                if same < len(words):
                    group.words = [m if m == i else "<*>" for m, i in zip(words, group.words, strict=True)]
                return group
        if len(self._groups) >= MAX_GROUPS:
            return None
        group = _Group(words, message[:300])
        self._groups.append(group)
        self._by_shape.setdefault(shape, []).append(group)
        return group


_RANK: dict[Level, int] = {"trace": 0, "debug": 1, "info": 2, "warning": 3, "error": 4, "critical": 5}


def mask(message: str) -> str:
    """Replace what varies (quoted text, UUIDs, addresses, hexadecimal, numbers) by its kind in angle brackets."""
    return _VARIABLE.sub(_name_kind, message[:MAX_MESSAGE_CHARS])


def _name_kind(found: re.Match[str]) -> str:
    return f"<{found.lastgroup}>"


def _describe(group: _Group) -> Template:
    return Template(
        template=" ".join(group.words),
        count=group.count,
        level=group.level,
        first_seen=format_time(group.first_s),
        last_seen=format_time(group.last_s),
        lines=tuple(group.lines),
        example=group.example,
    )
