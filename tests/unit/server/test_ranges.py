"""Which bytes does a range mean, and are they given out only once all are known to be good?"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import CorruptState
from quorate.server.ranges import Span, Unsatisfiable, build_disposition, cut, read_range

DATA = bytes(range(100))


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=0-99", Span(0, 100)),
        ("bytes=90-", Span(90, 100)),
        ("bytes=90-1000", Span(90, 100)),
        (f"bytes=90-{'9' * 400}", Span(90, 100)),
        ("bytes=-5", Span(95, 100)),
        ("bytes=-500", Span(0, 100)),
        (f"bytes=-{'9' * 5000}", Span(0, 100)),
        ("BYTES=0-9", Span(0, 10)),
        ("bytes= 0-9 ", Span(0, 10)),
        ("bytes=0007-0009", Span(7, 10)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=a-b", None),
        ("bytes=0-1,5-6", None),
        ("bytes=٣-٤", None),
        ("bytes=+1-2", None),
        ("lines=1-2", None),
        ("", None),
        (None, None),
    ],
)
def test_a_range_is_read_as_the_standard_says(header: str | None, span: Span | None) -> None:
    """What is none, or several of them, means everything."""
    assert read_range(header, size=100) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={'9' * 5000}-"])
def test_bytes_that_are_not_there_are_refused(header: str) -> None:
    with pytest.raises(Unsatisfiable, match="There are 100 bytes"):
        read_range(header, size=100)


def test_of_nothing_there_is_no_part() -> None:
    assert read_range("bytes=-5", size=0) is None
    with pytest.raises(Unsatisfiable):
        read_range("bytes=0-", size=0)


@given(st.integers(0, 120), st.none() | st.integers(0, 120), st.lists(st.integers(1, 40), max_size=20))
async def test_a_span_is_cut_out_of_any_pieces(first: int, last: int | None, cuts: list[int]) -> None:
    try:
        span = read_range(f"bytes={first}-{'' if last is None else last}", size=100)
    except Unsatisfiable:
        assert first >= 100
        return
    if span is None:
        return
    got = b"".join([piece async for piece in cut(split(cuts), span)])
    assert got == DATA[first : None if last is None else last + 1]
    assert len(got) == span.size


async def test_the_last_bytes_wait_for_the_end() -> None:
    """Whoever has all bytes of a span knows that the whole was found good. part of row E11"""

    async def spoiled() -> AsyncGenerator[bytes]:
        for begin in range(0, 100, 10):
            yield DATA[begin : begin + 10]
        raise CorruptState("others")

    for span in (Span(0, 100), Span(0, 1), Span(20, 40), Span(95, 100)):
        got = list[bytes]()
        with pytest.raises(CorruptState):
            await take_all(cut(spoiled(), span), got)
        assert len(b"".join(got)) < span.size


async def test_a_source_is_closed_with_its_reader() -> None:
    closed: list[bool] = []

    async def source() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"x" * 10
        finally:
            closed.append(True)

    pieces = cut(source(), Span(0, 10**9))
    assert await anext(pieces) == b"x" * 10
    await pieces.aclose()
    assert closed == [True]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("plan.md", 'attachment; filename="plan.md"'),
        ("a/b/plan.md", 'attachment; filename="plan.md"'),
        ('x".exe', "attachment; filename=\"x_.exe\"; filename*=UTF-8''x%22.exe"),
        ("naïve.txt", "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt"),
        ("a b;c", "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%20b%3Bc"),
    ],
)
def test_a_download_has_a_name_that_leads_nowhere(name: str, header: str) -> None:
    """part of row E11"""
    assert build_disposition(name) == header
    header.encode("ascii")


async def split(cuts: list[int]) -> AsyncGenerator[bytes]:
    at = 0
    for size in (*cuts, 100):
        if at < 100:
            yield DATA[at : at + size]
        at += size


async def take_all(pieces: AsyncGenerator[bytes], got: list[bytes]) -> None:
    async for piece in pieces:
        got.append(piece)
