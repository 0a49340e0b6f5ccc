"""Which part of a list that is known as a whole stands on a page, and how does the list go on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from litestar.params import QueryParameter
from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.server.views import Page

T = TypeVar("T")
MAX_PAGE_BYTES = 4 << 20
"""How large a page grows before it ends early; one thing is always on it."""
Cursor = Annotated[
    str | None, QueryParameter(max_length=1000, description="The `next_cursor` of the page before, to go on there.")
]
PlaceOrder = Annotated[
    Literal["oldest", "newest"], QueryParameter(description="From the beginning on, or from the end back.")
]


class Place(Struct, frozen=True):
    """How far a list was read, which only ever grows at its end."""

    seen: int | None
    """Up to which place; nothing of it yet where it is `None`."""
    backwards: bool

    def take(self, items: Sequence[T], *, limit: int) -> Page[T]:
        """Take what stands on the next page."""
        if self.backwards:
            end = len(items) if self.seen is None else min(self.seen - 1, len(items))
            found = _cut(items[max(0, end - limit) : end][::-1])
            place = end - len(found) + 1
            return Page(data=found, next_cursor=f"<{place}" if place > 1 and found else None)
        begin = self.seen or 0
        found = _cut(items[begin : begin + limit])
        place = begin + len(found)
        return Page(data=found, next_cursor=f">{place}" if place < len(items) and found else None)


def read_place(cursor: str | None, *, order: Literal["oldest", "newest"]) -> Place:
    """Read how far a list was read.

    Raises:
        InvalidInput: The cursor is not from a page of this list in this order.
    """
    backwards = order == "newest"
    if cursor is None:
        return Place(None, backwards)
    mark, digits = cursor[:1], cursor[1:]
    if mark != ("<" if backwards else ">") or not digits.isascii() or not digits.isdecimal() or len(digits) > 12:
        raise InvalidInput(f"cursor {cursor[:80]!r} is not from a page before: list from the beginning.")
    return Place(int(digits), backwards)


def _cut(items: Sequence[T]) -> list[T]:
    """Cut a page where it becomes too large."""
    found, size = list[T](), 0
    for item in items:
        size += len(msgspec.json.encode(item))
        if found and size > MAX_PAGE_BYTES:
            break
        found.append(item)
    return found
