"""Where in a text that is still arriving is something found, and what of it can be given out already?

The answer does not depend on how the text was cut into pieces: a place is decided only when no text that may follow
could change what is found there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

SHORT = 1000
LONG = 64
"""When more is held back, it is looked at again only once a quarter has come: the work grows with the text alone,
however small the pieces are."""
CONTEXT = 64
"""Characters kept of what was given out already, for expressions that look back."""
_PAIR = re.compile(r"\\(?:(u|/|\Z)|.)", re.DOTALL)
_ESCAPED = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|.)", re.DOTALL
)
_DIGIT = re.compile(r"\d")


class Span(Struct, frozen=True, gc=False):
    """Something that was found."""

    start: int
    end: int
    label: str
    """What it is, in capitals, such as `EMAIL`."""
    begin: int
    """Where one must begin to read in order to find it again: its start, or the name before a value."""


class Finder(Protocol):
    """Finds spans; it has no state, so one serves all texts."""

    def scan(self, text: str, start: int) -> tuple[Sequence[Span], int]:
        """Find what begins at `start` or later, and the first place where more text could still change the answer.

        What is found behind that place is right if the text ends here. The place is `len(text)` when everything is
        decided.
        """
        ...


class Detector(Struct, frozen=True):
    """How one thing is found."""

    label: str
    pattern: re.Pattern[str]
    """Takes time that only grows with the text, and looks back over at most `CONTEXT` characters."""
    marks: tuple[str, ...] = ()
    """One of these is in every text that can match; where there are none, a digit is."""
    check: Callable[[re.Match[str]], int | None] | None = None
    """Gives the end of what was matched when it is what it looks like, else `None`."""
    group: int = 0
    quick: re.Pattern[str] | None = None
    """Finds in small letters where the pattern might match: far quicker than trying it everywhere."""


class Growing(Struct, frozen=True):
    """What tells that a detector could match, or match more, if text followed."""

    pattern: re.Pattern[str]
    """Matches up to the end of a text from wherever that is so, and perhaps from more places."""
    longest: int
    """The most characters that it matches."""
    mark: str = ""
    """What is in every such end of a text, where something is."""
    least: int = 1
    """The fewest characters that it matches."""

    def find(self, text: str, start: int) -> int:
        """Find the first such place, or the end of the text."""
        length = len(text)
        begin = max(start, length - self.longest)
        if length - begin < self.least:
            return length
        if self.mark:
            begin = text.find(self.mark, begin)
            if begin < 0:
                return length
        found = self.pattern.search(text, begin)
        return length if found is None else found.start()


class ExpressionFinder:
    """A `Finder` of several detectors, which says with expressions what may still grow at the end of a text."""

    def __init__(self, detectors: Sequence[Detector], growing: Sequence[Growing]) -> None:
        self._detectors = tuple(detectors)
        self._growing = tuple(growing)

    def scan(self, text: str, start: int) -> tuple[Sequence[Span], int]:
        """Find what begins at `start` or later, and the first place that is not decided."""
        found: list[Span] = []
        has_digit = _DIGIT.search(text, start) is not None
        for detector in self._detectors:
            if detector.quick is not None and len(text) - start < SHORT:
                pass  # looking for the marks would take longer
            elif detector.marks:
                for mark in detector.marks:
                    if mark in text:
                        break
                else:
                    continue
            elif not has_digit:
                continue
            if detector.quick is None:
                _detect(detector, text, start, found)
            else:
                _detect_quickly(detector, detector.quick, text, start, found)
        return found, min([growing.find(text, start) for growing in self._growing])


def _detect(detector: Detector, text: str, start: int, found: list[Span]) -> None:
    search, check, group = detector.pattern.search, detector.check, detector.group
    while (match := search(text, start)) is not None:
        end = match.end(group) if check is None else check(match)
        if end is None:
            start = match.start() + 1
            continue
        found.append(Span(match.start(group), end, detector.label, match.start()))
        start = end


def _detect_quickly(detector: Detector, quick: re.Pattern[str], text: str, start: int, found: list[Span]) -> None:
    lower = lower_letters(text)
    check, group = detector.check, detector.group
    while (hint := quick.search(lower, start)) is not None:
        start = hint.start() + 1
        match = detector.pattern.match(text, hint.start())
        end = None if match is None else match.end(group) if check is None else check(match)
        if match is not None and end is not None:
            found.append(Span(match.start(group), end, detector.label, match.start()))
            start = end


def lower_letters(text: str) -> str:
    """Write a text in small letters, each character at its own place."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join([small if len(small := character.lower()) == 1 else character for character in text])


class Found(Struct, frozen=True, gc=False):
    """A piece of text in which something was found."""

    text: str
    label: str
    owner: int
    """Whose finder it was, by place."""


class FinderFailed(Exception):
    """A finder raised something; it is named by its place, and what it raised by its type."""

    def __init__(self, owner: int, error: str) -> None:
        super().__init__(f"finder {owner}: {error}")
        self.owner = owner
        self.error = error


class Scan:
    """One text under way, looked at by several finders."""

    __slots__ = ("_at", "_finders", "_json", "_new", "_patience", "_strict", "_text")

    def __init__(self, finders: Sequence[Finder], *, strict: int = 0, json: bool = False) -> None:
        r"""Build it.

        Args:
            finders: Those that look; where two find overlapping things, the earlier, then the longer, then the first
                finder's counts.
            strict: How many of the first finders find what ends it all: that is given first, whatever overlaps it.
            json: Whether the text is JSON. From the first escape such as `\u0041` on nothing is decided before the end,
                and such escapes become the characters they stand for.

        Raises:
            FinderFailed: While text is fed: a finder raised something.
        """
        self._finders = finders
        self._strict = strict
        self._json = json
        self._text = ""
        self._at = 0
        self._new: list[str] = []
        """What came and was not looked at yet."""
        self._patience = 0
        """How many characters are waited for before the next look."""

    def feed(self, piece: str) -> list[str | Found]:
        """Take more of the text, and return what is decided now, in order."""
        if self._patience > 0:
            self._new.append(piece)
            self._patience -= len(piece)
            if self._patience > 0:
                return []
            piece = self._take()
        self._text += piece
        return self._advance(final=False)

    def finish(self, piece: str = "") -> list[str | Found]:
        """Take the last of the text, and return the rest."""
        self._text += self._take() + piece if self._new else piece
        return self._advance(final=True)

    @property
    def held(self) -> str:
        """What came and is not decided yet."""
        return self._text[self._at :] + "".join(self._new)

    def _take(self) -> str:
        came, self._new, self._patience = "".join(self._new), [], 0
        return came

    def _advance(self, *, final: bool) -> list[str | Found]:
        if final and self._json:
            self._text = self._text[: self._at] + unescape(self._text[self._at :])
        text, at = self._text, self._at
        if self._json and not final:
            text = text[: _find_escape(text, at)]
        end = decided = len(text)
        every: list[tuple[Span, int]] = []
        for owner, finder in enumerate(self._finders):
            try:
                spans, growing = finder.scan(text, at)
            except Exception as error:  # whatever it is, the guard did not look, and that must be said
                raise FinderFailed(owner, type(error).__name__) from None
            decided = min(decided, growing)
            every += [(span, owner) for span in spans]
        if final:
            decided = end
        else:
            if every:
                decided = _retreat(every, decided)
            if self._json and _cuts_pair(text, at, decided):
                decided -= 1
        if end - decided > LONG:
            self._patience = (end - decided) // 4
        if decided <= at:
            return []
        pieces: list[str | Found] = self._cut(decided, every) if every else [text[at:decided]]
        begin = max(0, decided - CONTEXT)
        self._text, self._at = self._text[begin:], decided - begin
        return pieces

    def _cut(self, decided: int, every: Sequence[tuple[Span, int]]) -> list[str | Found]:
        text, at = self._text, self._at
        pieces: list[str | Found] = [
            Found(text[span.start : span.end], span.label, owner)
            for span, owner in every
            if owner < self._strict and span.end <= decided
        ]
        for span, owner in sorted(every, key=lambda one: (one[0].start, -one[0].end, one[1])):
            if span.start < at or span.end > decided:
                continue
            if span.start > at:
                pieces.append(text[at : span.start])
            pieces.append(Found(text[span.start : span.end], span.label, owner))
            at = span.end
        if at < decided:
            pieces.append(text[at:decided])
        return pieces


def _retreat(every: Sequence[tuple[Span, int]], decided: int) -> int:
    """Move back to where nothing that was found is cut in two."""
    for span, _ in sorted(every, key=lambda one: -one[0].end):
        if span.begin < decided < span.end:
            decided = span.begin
    # A span that ends earlier may begin earlier than the place arrived at.
    again = min((span.begin for span, _ in every if span.begin < decided < span.end), default=decided)
    return again if again == decided else _retreat(every, again)


def unescape(text: str) -> str:
    """Write the characters that JSON's escapes stand for, save those that must be escaped; it stays the same JSON."""
    return _ESCAPED.sub(_unescape_one, text) if "\\" in text else text


def _unescape_one(match: re.Match[str]) -> str:
    high, low, single = match.groups()
    if high is not None:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    if single is None:
        return "/" if match[0] == r"\/" else match[0]
    code = int(single, 16)
    return match[0] if code < 0x20 or code in (0x22, 0x5C) or 0xD800 <= code < 0xE000 else chr(code)


def _find_escape(text: str, at: int) -> int:
    """Find the first escape that stands for an ordinary character, or one that is not whole; else the end."""
    for pair in _PAIR.finditer(text, at):
        if pair[1] is not None:
            return pair.start()
    return len(text)


def _cuts_pair(text: str, at: int, place: int) -> bool:
    """Whether a place lies behind a backslash that belongs to what follows."""
    before = place
    while before > at and text[before - 1] == "\\":
        before -= 1
    return (place - before) % 2 == 1


def find_all(finders: Sequence[Finder], text: str, *, strict: int = 0, json: bool = False) -> list[str | Found]:
    """Cut a whole text into what is plain and what was found."""
    return Scan(finders, strict=strict, json=json).finish(text)
