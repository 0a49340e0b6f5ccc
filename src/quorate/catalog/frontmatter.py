"""Where in a file does the TOML end and the Markdown begin, and on which line is a key?"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

from msgspec import Struct

from quorate.codec import toml as codec_toml
from quorate.errors import InvalidInput

FENCE = "+++"
_FENCE_LINE = re.compile(r"^\+\+\+[ \t]*\r?$", re.MULTILINE)
_TOML_PLACE = re.compile(r"\s*\(at line (\d+), column (\d+)\)")


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
    """Find the line of the file on which a key of the front matter is set; takes what `codec.toml.find_line` does."""
    return codec_toml.find_line(toml, path, containing=containing, first=2)
