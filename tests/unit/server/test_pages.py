"""Is every thing of a list on one page, whichever way it is read?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import InvalidInput
from quorate.server.pages import MAX_PAGE_BYTES, read_place


def read_all(items: list[str], *, backwards: bool, limit: int) -> list[list[str]]:
    order, cursor = "newest" if backwards else "oldest", None
    pages = list[list[str]]()
    while True:
        page = read_place(cursor, order=order).take(items, limit=limit)  # type: ignore[arg-type]
        pages.append(page.data)
        cursor = page.next_cursor
        if cursor is None:
            return pages


@given(st.lists(st.text(max_size=3), max_size=30), st.booleans(), st.integers(1, 10))
def test_pages_make_the_list(items: list[str], backwards: bool, limit: int) -> None:
    pages = read_all(items, backwards=backwards, limit=limit)
    assert [one for page in pages for one in page] == (items[::-1] if backwards else items)
    assert all(len(page) <= limit for page in pages)
    assert all(pages[:-1])


@pytest.mark.parametrize("backwards", [False, True])
def test_a_page_of_large_things_ends_early(backwards: bool) -> None:
    items = [letter * (MAX_PAGE_BYTES // 2) for letter in "abcde"]
    pages = read_all(items, backwards=backwards, limit=5)
    assert [one for page in pages for one in page] == (items[::-1] if backwards else items)
    assert [len(page) for page in pages] == [1] * 5


def test_what_is_said_meanwhile_moves_nothing() -> None:
    """Those who read back from the end see nothing twice when there is more at the end."""
    first = read_place(None, order="newest").take(["a", "b", "c"], limit=2)
    assert first.data == ["c", "b"]
    rest = read_place(first.next_cursor, order="newest").take(["a", "b", "c", "d"], limit=2)
    assert (rest.data, rest.next_cursor) == (["a"], None)


@pytest.mark.parametrize("cursor", ["", "x", ">", ">x", ">-1", ">1.5", ">٣", ">" + "9" * 5000, "<1", "1"])
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="is not from a page before"):
        read_place(cursor, order="oldest")
