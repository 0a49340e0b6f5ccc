"""Which kinds of events does a pattern such as `*.error` or `agent.**` mean?

A kind is words joined by dots, such as `run.completed`. In a pattern `*` stands for one word and `**` for any number of
them, none included, wherever they stand: `*.error`, `agent.**`, `agent.*.failed`, `**.step.**`.
"""

from __future__ import annotations

import re

from quorate.errors import InvalidInput

ANY = "**"
MAX_LENGTH = 128
MAX_KNOWN = 4096
"""For how many kinds a glob remembers whether it means them."""

_KIND = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.ASCII)
_GLOB = re.compile(r"(?:[A-Za-z0-9_-]+|\*\*?)(?:\.(?:[A-Za-z0-9_-]+|\*\*?))*", re.ASCII)


def check_kind(kind: str) -> str:
    """Return the kind of an event if it is one.

    Raises:
        InvalidInput: It has empty words, wildcards, spaces, or is too long.
    """
    if len(kind) > MAX_LENGTH or _KIND.fullmatch(kind) is None:
        raise InvalidInput(
            f"event kind {kind[:80]!r} is none: use words of letters, digits, `-` and `_` joined by single dots, such "
            f"as `agent.failed`, {MAX_LENGTH} characters at most."
        )
    return kind


class Glob:
    """A pattern of kinds of events."""

    def __init__(self, pattern: str) -> None:
        """Read a pattern.

        Args:
            pattern: Such as `*.error`, `agent.**` or `run.completed`.

        Raises:
            InvalidInput: It has empty words, a wildcard inside a word, or is too long.
        """
        if len(pattern) > MAX_LENGTH or _GLOB.fullmatch(pattern) is None:
            raise InvalidInput(
                f"event pattern {pattern[:80]!r} is none: use words joined by single dots, where a word may be `*` for "
                f"one word or `**` for any number of them, {MAX_LENGTH} characters at most."
            )
        self.pattern = pattern
        words = pattern.split(".")
        # Twice in a row means the same as once, and would be looked through twice.
        self._words = [word for at, word in enumerate(words) if word != ANY or words[at - 1 : at] != [ANY]]
        self._known: dict[str, bool] = {}

    @property
    def head(self) -> tuple[str, ...]:
        """The words before the first `**`, or all of them."""
        return tuple(self._words[: self._words.index(ANY)] if ANY in self._words else self._words)

    @property
    def is_open(self) -> bool:
        """Whether any number of words may follow the head."""
        return ANY in self._words

    @property
    def is_plain(self) -> bool:
        """Whether the head and `is_open` say all of it."""
        return ANY not in self._words[:-1]

    def matches(self, kind: str) -> bool:
        """Whether the pattern means a kind."""
        known = self._known.get(kind)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[kind] = _is_match(self._words, kind.split("."))
        return known


def _is_match(wanted: list[str], words: list[str]) -> bool:
    """Compare word by word; only the last `**` need ever be tried again, so that it takes at most the product."""
    at = place = 0
    again: tuple[int, int] | None = None
    while place < len(words):
        if at < len(wanted) and wanted[at] == ANY:
            at += 1
            again = at, place
        elif at < len(wanted) and wanted[at] in ("*", words[place]):
            at, place = at + 1, place + 1
        elif again is not None:
            again = at, place = again[0], again[1] + 1
        else:
            return False
    return all(word == ANY for word in wanted[at:])
