"""Where in a file does the TOML end and the Markdown begin, and on which line is a key?"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence

from msgspec import Struct

from quorate.errors import InvalidInput

FENCE = "+++"
_FENCE_LINE = re.compile(r"^\+\+\+[ \t]*\r?$", re.MULTILINE)
_TOML_PLACE = re.compile(r"\s*\(at line (\d+), column (\d+)\)")
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_PARTS = re.compile(_PART)
# Triple quotes come first, so that they are not read as an empty string and the start of another.
_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*')


class FrontMatter(Struct, frozen=True, kw_only=True):
    """A file in its two halves."""

    toml: str
    table: dict[str, object]
    body: str
    body_line: int
    """The line of the file on which the body begins."""


def split_front_matter(text: str) -> FrontMatter:
    """Split a file into its TOML, read, and its Markdown.

    Raises:
        InvalidInput: There is no front matter, or it is not TOML; `context["line"]` says where.
    """
    opening = _FENCE_LINE.match(text)
    if opening is None:
        raise InvalidInput(f"the file does not begin with a `{FENCE}` line; put the TOML between two of them", line=1)
    closing = _FENCE_LINE.search(text, opening.end() + 1)
    if closing is None:
        raise InvalidInput(f"the front matter is not closed; write a line `{FENCE}` below the TOML", line=1)
    toml = text[opening.end() + 1 : closing.start()]
    body = text[closing.end() + 1 :]
    try:
        table = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(_describe(str(error)), line=_find_fault(str(error), toml)) from error
    except RecursionError as error:
        raise InvalidInput("the TOML is nested too deeply; write it flatter", line=2) from error
    return FrontMatter(toml=toml, table=table, body=body, body_line=text.count("\n", 0, closing.end()) + 2)


def _describe(message: str) -> str:
    place = _TOML_PLACE.search(message)
    column = f" in column {place[2]}" if place else " at the end of the front matter"
    what = _TOML_PLACE.sub("", message).removesuffix(" (at end of document)")
    return f"this is not TOML: {what}{column}; mend the line"


def _find_fault(message: str, toml: str) -> int:
    place = _TOML_PLACE.search(message)
    return int(place[1]) + 1 if place else toml.count("\n") + 1


def find_line(toml: str, path: Sequence[str | int], *, containing: str = "") -> int:
    """Find the line of the file on which a key is set, or the nearest table above it.

    Args:
        toml: The front matter, whose first line is the file's second.
        path: Names and, for arrays of tables, numbers: `("playbook", "steps", 2, "tool")`.
        containing: A text to look for in the key's value, where that spans several lines.
    """
    wanted = tuple(path)
    best, line, end = 0, 2 if wanted else 1, 0
    entries = list(_scan(toml))
    for number, (place, at) in enumerate(entries):
        shared = _count_shared(at, wanted)
        if shared > best:
            best, line = shared, place
            end = entries[number + 1][0] if number + 1 < len(entries) else toml.count("\n") + 2
    if containing and best == len(wanted):
        lines = toml.split("\n")
        return next((n for n in range(line, end) if containing in lines[n - 2]), line)
    return line


def _count_shared(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _scan(toml: str) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    section: tuple[str | int, ...] = ()
    counts: dict[tuple[str | int, ...], int] = {}
    delimiter, depth = "", 0
    for number, line in enumerate(toml.split("\n"), 2):
        if not delimiter and depth == 0:
            if header := _HEADER.match(line):
                section = _enter(_split(header[2]), repeated=header[1] == "[[", counts=counts)
                yield number, section
                continue
            if key := _KEY.match(line):
                yield number, section + _split(key[1])
        bare, delimiter = _strip(line, delimiter)
        depth = max(0, depth + sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}"))


def _split(name: str) -> tuple[str | int, ...]:
    return tuple(part.strip("\"'") for part in _PARTS.findall(name))


def _enter(
    names: tuple[str | int, ...], *, repeated: bool, counts: dict[tuple[str | int, ...], int]
) -> tuple[str | int, ...]:
    """Return the place a header names, with the numbers of the arrays of tables on the way to it."""
    place: tuple[str | int, ...] = ()
    for position, name in enumerate(names):
        place = (*place, name)
        if repeated and position == len(names) - 1:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def _strip(line: str, delimiter: str) -> tuple[str, str]:
    """Return the line without strings and comments, and the delimiter of a string that goes on below it."""
    bare = ""
    while True:
        if delimiter:
            _, found, line = line.partition(delimiter)
            if not found:
                return bare, delimiter
            delimiter = ""
        token = _TOKEN.search(line)
        if token is None:
            return bare + line, ""
        bare, found, line = bare + line[: token.start()], token[0], line[token.end() :]
        if found in {'"""', "'''"}:
            delimiter = found
        elif found.startswith("#"):
            return bare, ""
