"""Are events found, wherever the bytes were cut?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import TooLarge
from quorate.models.sse import EventParser

LINE_ENDS = ("\n", "\r", "\r\n")


def feed(*pieces: bytes, **options: int) -> list[bytes]:
    parser = EventParser(**options)
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\ndata\n\n", [b"\n"]),
        (b"data: \n\n", []),
        (b": ping\n\n", []),
        (b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
        (b"datax: a\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\r\n", [b"a", b"b", b"c"]),
        ("data: \u2028\x0b\x1c\n\n".encode(), ["\u2028\x0b\x1c".encode()]),
    ],
)
def test_lines_become_events(stream: bytes, events: list[bytes]) -> None:
    """Whole, and one byte at a time."""
    assert feed(stream) == events
    assert feed(*(stream[n : n + 1] for n in range(len(stream)))) == events


@pytest.mark.parametrize("stream", [b"data: a", b"data: a\n", b"data: a\r", b"data: a\r\n"])
def test_an_event_without_its_empty_line_is_none(stream: bytes) -> None:
    assert feed(stream) == []


@settings(max_examples=max(200, settings().max_examples))
@given(st.data())
def test_events_survive_any_cut_and_any_line_end(data: st.DataObject) -> None:
    """What was written is what is read: several lines each, comments between, every way of ending a line."""
    text = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
    wanted = data.draw(st.lists(st.lists(text, min_size=1, max_size=3), max_size=5))
    stream = b""
    for lines in wanted:
        if data.draw(st.booleans()):
            stream += b": ping" + data.draw(st.sampled_from(LINE_ENDS)).encode()
        for line in lines:
            stream += f"data: {line}{data.draw(st.sampled_from(LINE_ENDS))}".encode()
        # An LF after a CR would end the same line, so an event ends as its last line did.
        stream += b"\r" if stream.endswith(b"\r") else data.draw(st.sampled_from(LINE_ENDS)).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert feed(*pieces) == ["\n".join(lines).encode() for lines in wanted if lines != [""]]


@settings(max_examples=max(200, settings().max_examples))
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_any_bytes_read_the_same_however_they_are_cut(stream: bytes, cuts: list[int]) -> None:
    places = sorted(min(cut, len(stream)) for cut in cuts)
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    assert feed(*pieces) == feed(stream)


@pytest.mark.parametrize(
    "pieces",
    [[b"data: " + b"x" * 200], [b"data: xxxxxxxx"] * 20, [b"data: xxxxxxxxxxxxxxxx\n"] * 20, [b"data\n"] * 200],
)
def test_an_event_that_does_not_end_is_refused(pieces: list[bytes]) -> None:
    """A long line, at once or in pieces, and many short lines."""
    with pytest.raises(TooLarge, match="more than 100 bytes"):
        feed(*pieces, max_event_bytes=100)


def test_many_events_in_one_piece_are_not_one_large_event() -> None:
    assert len(feed(b"data: xxxxxxxx\n\n" * 100, max_event_bytes=100)) == 100
