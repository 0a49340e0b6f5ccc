"""Does a long event come through whole, at a cost in step with its length?"""

import json
import time

import pytest

from quorate.errors import TooLarge
from quorate.models.framing import LineParser, build_parser
from quorate.models.providers import gemini
from quorate.models.sse import MAX_EVENT_BYTES
from quorate.models.target import find_target


def test_a_picture_in_a_stream_is_one_event() -> None:
    """Pictures of Gemini's have some megabytes."""
    data = "iVBO" * (1 << 20)
    part = {"inlineData": {"mimeType": "image/png", "data": data}}
    answer = {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}
    body = b"data: " + json.dumps(answer).encode() + b"\r\n\r\n"
    parser = build_parser("events")
    decoder = gemini.build_decoder(find_target("gemini:gemini-3.8-flash", credentials={}.get, base_urls={}))
    for start in range(0, len(body), 16 << 10):
        for event in parser.feed(body[start : start + (16 << 10)]):
            decoder.feed(event)
    assert len(decoder.finish().reply.message.parts[0].data) == 3 << 20  # type: ignore[union-attr]


def test_a_line_in_many_pieces_is_joined_once() -> None:
    """A server that drips a long line must not cost the square of its length."""
    parser = LineParser()
    started = time.process_time()
    for _ in range(100_000):
        assert not parser.feed(b"x" * 10)
    assert [len(line) for line in parser.feed(b"\n")] == [1_000_000]
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize("framing", ["events", "lines"])
def test_a_line_without_end_is_refused(framing: str) -> None:
    parser = build_parser(framing)  # type: ignore[arg-type]
    piece = b"x" * (1 << 20)
    for _ in range(MAX_EVENT_BYTES // len(piece)):
        parser.feed(piece)
    with pytest.raises(TooLarge, match="more than 16777216 bytes"):
        parser.feed(b"x")


def test_lines_are_the_same_however_they_are_cut() -> None:
    body = b'{"a": 1}\r\n\n  \n{"b": 2}\n{"c"'
    wanted = [b'{"a": 1}', b'{"b": 2}']
    for size in range(1, len(body) + 1):
        parser = LineParser()
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        assert [line for piece in pieces for line in parser.feed(piece)] == wanted
