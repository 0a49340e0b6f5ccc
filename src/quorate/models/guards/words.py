"""Where does a text say one of many words, however it writes them?

All words are looked for at once (Aho-Corasick): the time grows with the text alone, and what is held back of a stream
is exactly the longest end of it that begins a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

from quorate.errors import InvalidInput
from quorate.models.guards.spans import Span

MOST_CHARS = 400_000
"""Of all words of a list."""
_SPACELESS = 0x0E00
"""From here on scripts have no spaces between words, so that a word's border is no sign."""
_OVERLAID = range(0xFE00, 0xFE10)
_SPACES = str.maketrans("\t\n\v\f\r\x1c\x1d\x1e\x1f", " " * 9)
_TOKEN = re.compile(r"\s+|[\x21-\x7e]+|[^\s\x21-\x7e]+")


class WordFinder:
    """A `Finder` of literal words and phrases: the case, the width and the spacing of letters do not matter."""

    def __init__(self, words: Sequence[str], *, whole_words: bool = True, label: str = "WORD") -> None:
        """Build it.

        Raises:
            InvalidInput: A word is nothing but spaces and invisible characters, or there are too many.
        """
        self._label = label
        self._whole = whole_words
        self._moves: list[dict[str, int]] = [{}]
        self._depths = [0]
        self._lengths: list[int] = [0]
        """The length of the word that ends in a state; 0 where none does."""
        total = 0
        for word in words:
            folded = fold(word)[0].strip()
            total += len(folded)
            if not folded:
                raise InvalidInput(f"{word!r} is no word that can be found: it has no visible character.")
            if total > MOST_CHARS:
                raise InvalidInput(f"The words have more than {MOST_CHARS} characters in all: take fewer.")
            self._add(folded)
        self._falls, self._shorter = self._connect()

    def scan(self, text: str, start: int) -> tuple[Sequence[Span], int]:
        """Find what begins at `start` or later, and the first place that is not decided."""
        view, places = fold(text, start)
        moves, falls, lengths, shorter = self._moves, self._falls, self._lengths, self._shorter
        found: list[Span] = []
        state = 0
        for at, character in enumerate(view):
            while state and character not in moves[state]:
                state = falls[state]
            state = moves[state].get(character, 0)
            ending = state if lengths[state] else shorter[state]
            if not ending or (self._whole and _joins(character, view[at + 1 : at + 2])):
                continue
            while ending:
                begin = at + 1 - lengths[ending]
                if not self._whole or not _joins(_get_before(view, begin, text, start), view[begin]):
                    found.append(_build_span(self._label, places, start, begin, at + 1))
                    break  # whatever else ends here lies within it
                ending = shorter[ending]
        begun = len(view) - self._depths[state]
        if begun >= len(view):
            return found, len(text)
        return found, begun + start if places is None else places[begun]

    def _add(self, word: str) -> None:
        state = 0
        for character in word:
            following = self._moves[state].get(character)
            if following is None:
                following = len(self._moves)
                self._moves[state][character] = following
                self._moves.append({})
                self._depths.append(self._depths[state] + 1)
                self._lengths.append(0)
            state = following
        self._lengths[state] = len(word)

    def _connect(self) -> tuple[list[int], list[int]]:
        """Work out where to fall from each state when the text goes another way, and which shorter word ends there."""
        falls, shorter = [0] * len(self._moves), [0] * len(self._moves)
        states = deque(self._moves[0].values())
        while states:
            state = states.popleft()
            for character, following in self._moves[state].items():
                fall = falls[state]
                while fall and character not in self._moves[fall]:
                    fall = falls[fall]
                fall = self._moves[fall].get(character, 0)
                falls[following] = fall
                shorter[following] = fall if self._lengths[fall] else shorter[fall]
                states.append(following)
        return falls, shorter


def _build_span(label: str, places: Sequence[int] | None, start: int, begin: int, end: int) -> Span:
    if places is None:
        return Span(begin + start, end + start, label, begin + start)
    return Span(places[begin], places[end - 1] + 1, label, places[begin])


def _get_before(view: str, begin: int, text: str, start: int) -> str:
    """The character before a place; that before the view is looked up in the text."""
    return view[begin - 1] if begin else fold(text[max(0, start - 8) : start])[0][-1:]


def _joins(left: str, right: str) -> bool:
    """Whether two characters stand in one word."""
    if not left or not right or ord(left) >= _SPACELESS or ord(right) >= _SPACELESS:
        return False
    return (left.isalnum() or left == "_") and (right.isalnum() or right == "_")


def fold(text: str, start: int = 0) -> tuple[str, list[int] | None]:
    """Write a text as words are compared, and say where each of its characters comes from.

    Letters lose their case and width, spaces are one space, invisible characters are nothing. The places are `None`
    where every character stands for the one at its own place behind `start`.
    """
    rest = text[start:] if start else text
    if rest.isascii():
        lower = rest.translate(_SPACES).lower()
        if "  " not in lower:
            return lower, None
    view: list[str] = []
    places: list[int] = []
    for token in _TOKEN.finditer(text, start):
        begin, end = token.span()
        found = token[0]
        if found.isspace():
            if not view or view[-1] != " ":
                view.append(" ")
                places.append(begin)
        elif found.isascii():
            view += found.lower()
            places += range(begin, end)
        else:
            for place, character in enumerate(found, begin):
                for plain in _fold_character(character):
                    view.append(plain)
                    places.append(place)
    return "".join(view), places


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    if unicodedata.category(character) == "Cf" or ord(character) in _OVERLAID:
        return ""
    return unicodedata.normalize("NFKC", character).casefold()
