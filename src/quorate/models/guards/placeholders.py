"""What stands in a text for what may not leave, and how does that come back?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec

MOST_CHARS = 32
"""The longest a placeholder can be."""
_PLACEHOLDER = re.compile(r"\[[A-Z_]{1,20}_\d{1,6}\]")
_GROWING = re.compile(r"\[[A-Z_]{0,20}(?:_\d{0,6})?\Z")

_encode = msgspec.json.Encoder().encode


class Placeholders:
    """The placeholders of one request: the same value has the same one wherever it stands.

    They count from 1 in the order of the conversation, so a conversation that grows keeps those it has.
    """

    __slots__ = ("_counts", "_list_texts", "_taken", "_tokens", "values")

    def __init__(self, list_texts: Callable[[], Iterable[str]]) -> None:
        """Build them so that none looks like something that stands in those texts already."""
        self._list_texts = list_texts
        self._taken: frozenset[str] | None = None
        self._tokens: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self.values: dict[str, str] = {}
        """What the placeholders stand for, those that may come back."""

    def replace(self, value: str, label: str, *, restore: bool) -> str:
        """Give what stands for a value: the same again for the same value."""
        known = self._tokens.get((label, value))
        if known is not None:
            return known
        if self._taken is None:  # most requests hold nothing to replace
            texts = self._list_texts()
            self._taken = frozenset(one for text in texts if "[" in text for one in _PLACEHOLDER.findall(text))
        while True:
            count = self._counts[label] = self._counts.get(label, 0) + 1
            token = f"[{label}_{count}]"
            if token not in self._taken:
                break
        self._tokens[label, value] = token
        if restore:
            self.values[token] = value
        return token


class Restoring:
    """A text under way in which placeholders become what they stand for; it holds back a placeholder that has begun."""

    __slots__ = ("_held", "_json", "_values")

    def __init__(self, values: Mapping[str, str], *, json: bool = False) -> None:
        self._values = values
        self._json = json
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take more of the text, and return what is decided now."""
        if not self._values:
            return piece
        text = self._held + piece
        growing = _GROWING.search(text, max(0, len(text) - MOST_CHARS)) if "[" in text else None
        at = len(text) if growing is None else growing.start()
        self._held = text[at:]
        return restore(text[:at], self._values, json=self._json)

    def finish(self) -> str:
        """Return the rest: the text ends here."""
        rest, self._held = self._held, ""
        return rest


def restore(text: str, values: Mapping[str, str], *, json: bool = False) -> str:
    """Put back what placeholders stand for; those that are not ours stay.

    Args:
        text: What a model said.
        values: What each placeholder stands for.
        json: Whether the text is JSON, so that a value must be written as its strings are.
    """
    if not values or "[" not in text:
        return text

    def find(match: re.Match[str]) -> str:
        value = values.get(match[0])
        if value is None:
            return match[0]
        return _encode(value).decode()[1:-1] if json else value

    return _PLACEHOLDER.sub(find, text)
