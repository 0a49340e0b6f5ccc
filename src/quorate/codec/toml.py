"""On which line of a TOML file is a key, so that a fault can be found where it was written?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_PARTS = re.compile(_PART)
# Triple quotes come first, so that they are not read as an empty string and the start of another.
_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*')


def find_line(toml: str, path: Sequence[str | int], *, containing: str = "", first: int = 1) -> int:
    """Find the line of the file on which a key is set, or the nearest table above it.

    Args:
        toml: The TOML as it was written.
        path: Names and, for arrays of tables, numbers: `("playbook", "steps", 2, "tool")`.
        containing: A text to look for in the key's value, where that spans several lines.
        first: The file's line on which the TOML begins.
    """
    wanted = tuple(path)
    best, line, end = 0, first if wanted else max(1, first - 1), 0
    entries = list(_scan(toml, first))
    for number, (place, at) in enumerate(entries):
        shared = _count_shared(at, wanted)
        if shared > best:
            best, line = shared, place
            end = entries[number + 1][0] if number + 1 < len(entries) else toml.count("\n") + first
    if containing and best == len(wanted):
        lines = toml.split("\n")
        return next((n for n in range(line, end) if containing in lines[n - first]), line)
    return line


def _count_shared(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _scan(toml: str, first: int) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    section: tuple[str | int, ...] = ()
    counts: dict[tuple[str | int, ...], int] = {}
    delimiter, depth = "", 0
    for number, line in enumerate(toml.split("\n"), first):
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
