"""Where does a text match an expression that somebody else wrote, in time that only grows with the text?

The expressions are RE2's: it has no references and no look-around, and never goes back to try again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Protocol, cast

from quorate.errors import DeadlineExceeded, InvalidInput, MissingExtra
from quorate.models.guards.spans import Span

MOST_MEMORY = 8 << 20
"""What one expression's program may take, in bytes."""
LONGEST = 2000
"""Expressions whose matches may be longer hold a stream back to its end."""
LONGEST_SCAN_S = 0.5
"""A text that keeps an expression busy for longer fails the guard: endless matches look ahead again and again."""
_ATOM = re.compile(r"\\(?:[pP](?:\{[^}]*\}|.)|x\{[^}]*\}|.)|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_OPENING = re.compile(r"\(\?(?:P?<\w+>|[a-zA-Z-]*:?)")
_COUNTED = re.compile(r"\{(\d+)(,?)(\d*)\}")


class _Match(Protocol):
    def start(self) -> int: ...
    def end(self) -> int: ...


class _Expression(Protocol):
    def finditer(self, text: str, pos: int = 0) -> Iterator[_Match]: ...


class _Options(Protocol):
    max_mem: int
    log_errors: bool
    case_sensitive: bool


class _Library(Protocol):
    error: type[Exception]

    def Options(self) -> _Options: ...  # noqa: N802  # its own name
    def compile(self, pattern: str, options: _Options) -> _Expression: ...


class PatternFinder:
    """A `Finder` of expressions in RE2's language."""

    def __init__(
        self,
        patterns: Sequence[str],
        *,
        ignore_case: bool = True,
        label: str = "PATTERN",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build it.

        Raises:
            InvalidInput: An expression is none of RE2's, is too large, or matches nothing at all.
            MissingExtra: The extra `guards` is not installed.
        """
        self._label = label
        self._monotonic = monotonic
        self._expressions = [compile_pattern(pattern, ignore_case=ignore_case) for pattern in patterns]
        widths = [measure_width(pattern) for pattern in patterns]
        self._width = None if None in widths else max(width for width in widths if width is not None)

    def scan(self, text: str, start: int) -> tuple[Sequence[Span], int]:
        """Find what begins at `start` or later, and the first place that is not decided."""
        found: list[Span] = []
        until = self._monotonic() + LONGEST_SCAN_S
        for expression in self._expressions:
            for number, match in enumerate(expression.finditer(text, start), 1):
                begin, end = match.start(), match.end()
                if end > begin:
                    found.append(Span(begin, end, self._label, begin))
                if number % 64 == 0 and self._monotonic() > until:
                    raise DeadlineExceeded(
                        f"An expression took more than {LONGEST_SCAN_S:g} s for one text.", layer="guard"
                    )
        if self._width is None:
            return found, start
        # One character more, as an expression may end at a word's border.
        return found, max(start, len(text) - self._width)


def compile_pattern(pattern: str, *, ignore_case: bool) -> _Expression:
    """Compile an expression; raises what `PatternFinder` raises."""
    library = _load_library()
    options = library.Options()
    options.max_mem = MOST_MEMORY
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        expression = library.compile(pattern, options)
    except library.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise InvalidInput(
            f"{pattern!r} is no expression of RE2's: {reason}. It has no look-around and no references."
        ) from error
    if next(expression.finditer(""), None) is not None:
        raise InvalidInput(f"{pattern!r} matches where nothing stands: say what must be there.")
    return expression


def measure_width(pattern: str) -> int | None:
    """Say how many characters a match has at most, never too few; `None` when there is no bound, or a large one."""
    if r"\Q" in pattern:
        return None
    plain = _OPENING.sub("(", _ATOM.sub("c", pattern))
    outer: list[tuple[int, int]] = []
    best = width = last = at = 0
    while at < len(plain):
        character = plain[at]
        counted = _COUNTED.match(plain, at) if character == "{" else None
        at = counted.end() if counted else at + 1
        if counted:
            most = counted[3] or ("" if counted[2] else counted[1])
            if not most and last:
                return None
            width += last * max(0, int(most or 0) - 1)
        elif character in "*+":
            if last:
                return None
        elif character == "(":
            outer.append((best, width))
            best = width = last = 0
        elif character == ")" and outer:
            last = max(best, width)
            best, width = outer.pop()
            width += last
        elif character == "|":
            best, width, last = max(best, width), 0, 0
        elif character != "?":
            width, last = width + 1, 1
    widest = max(best, width)
    return widest if widest <= LONGEST else None


@cache
def _load_library() -> _Library:
    try:
        import re2  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("A guard with expressions", "guards") from error
    # The library has no type stubs; it has the names of `_Library`.
    return cast("_Library", cast("object", re2))
