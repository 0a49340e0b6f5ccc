"""Does a line hold what somebody looks for, found in linear time whatever they wrote?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from quorate.errors import ToolError
from quorate.tools.builtin.files.regex import MAX_PATTERN_CHARS, LinearPattern

PatternKind = Literal["text", "words", "regex"]
"""`text` as it is written · `words` in that order, with `*` for anything between · `regex`, on a linear-time engine."""


def compile_pattern(pattern: str, kind: PatternKind = "text", *, ignore_case: bool = False) -> Callable[[str], bool]:
    """Build the function that tells whether a line matches.

    Raises:
        ToolError: The pattern is empty, too long, or uses what the linear-time engine refuses.
    """
    if not pattern or len(pattern) > MAX_PATTERN_CHARS:
        raise ToolError(f"The pattern must have 1 to {MAX_PATTERN_CHARS} characters, and it has {len(pattern)}.")
    if kind == "regex":
        return LinearPattern(pattern, ignore_case=ignore_case).search
    wanted = pattern.lower() if ignore_case else pattern
    if kind == "text":
        return lambda line: wanted in (line.lower() if ignore_case else line)
    pieces = [piece for piece in wanted.split("*") if piece]
    if not pieces:
        raise ToolError(f"The pattern {pattern!r} has no words beside its `*`.")

    def has_words(line: str) -> bool:
        text = line.lower() if ignore_case else line
        at = 0
        for piece in pieces:
            found = text.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return has_words
