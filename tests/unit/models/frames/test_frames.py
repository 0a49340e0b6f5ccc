"""Are AWS's binary frames cut and checked as they should be?"""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import TooLarge, UpstreamError
from quorate.models.frames import FrameParser, name_error
from quorate.testing.provider_server.bedrock import build_frame

HELLO = build_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Grüße"}})
END = build_frame("messageStop", {"stopReason": "end_turn"})
DECODED = [
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Grüße"}}},
    {"messageStop": {"stopReason": "end_turn"}},
]


def seal(headers: bytes, payload: bytes = b"{}", *, total: int | None = None, size: int | None = None) -> bytes:
    """Put both checksums around whatever is inside."""
    size = len(headers) if size is None else size
    prelude = pack("!II", 16 + len(headers) + len(payload) if total is None else total, size)
    whole = prelude + pack("!I", crc32(prelude)) + headers + payload
    return whole + pack("!I", crc32(whole))


def write(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + pack("!H", len(value)) + value.encode()


def read(*pieces: bytes) -> list[object]:
    parser = FrameParser()
    return [msgspec.json.decode(event) for piece in pieces for event in parser.feed(piece)]


def test_frames_come_out_with_their_names() -> None:
    """One after another, from one piece."""
    assert read(HELLO + END) == DECODED


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11, 12, 13, 100])
def test_frames_may_be_cut_anywhere_on_the_way(size: int) -> None:
    """They are the same however few bytes arrive at a time."""
    whole = HELLO + END + HELLO
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert read(*pieces) == [*DECODED, DECODED[0]]


def test_every_spoilt_byte_is_found() -> None:
    """Each of the two checksums covers its part."""
    for place in range(len(HELLO)):
        for flip in (1, 0x80):
            spoilt = bytearray(HELLO)
            spoilt[place] ^= flip
            parser = FrameParser()
            with pytest.raises((UpstreamError, TooLarge), match=r"garbled|more than"):
                parser.feed(bytes(spoilt))


def test_an_unfinished_frame_is_held_back() -> None:
    """Nobody sees the beginning of one."""
    for end in range(len(HELLO)):
        assert read(HELLO[:end]) == []


def test_an_exception_is_an_event_with_its_name() -> None:
    """So a decoder needs to know nothing of frames."""
    frame = build_frame("throttlingException", {"message": "slow"}, kind="exception")
    assert read(frame) == [{"throttlingException": {"message": "slow"}}]


def test_an_error_without_a_payload_is_an_event() -> None:
    """Its words are in its headers."""
    headers = write(":message-type", "error") + write(":error-code", "Internal") + write(":error-message", 'a "b"')
    assert read(seal(headers, b"")) == [{"error": {"code": "Internal", "message": 'a "b"'}, "payload": {}}]


def test_headers_of_every_type_are_skipped() -> None:
    """Only texts say something here."""
    others = b"".join(
        bytes([1, 97 + kind, kind]) + value
        for kind, value in enumerate(
            [b"", b"", b"1", b"12", b"1234", b"12345678", b"\x00\x02ab", b"\x00\x01x", b"12345678", b"1" * 16]
        )
    )
    headers = others + write(":message-type", "event") + write(":event-type", "metadata")
    assert read(seal(headers)) == [{"metadata": {}}]


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"\x05",
        b"\x01a",
        b"\x01a\x07\x00\x09x",
        b"\x01a\x63",
        b"\x01a\x04\x00",
        b"\x01a\x07\x00\x01\xff",
        write(":message-type", "event"),
        write(":message-type", "event") + write(":event-type", 'a":1,"b'),
        write(":message-type", "event") + write(":event-type", ""),
        write(":message-type", "other") + write(":event-type", "metadata"),
    ],
)
def test_headers_that_are_none_are_named(headers: bytes) -> None:
    """With right checksums around them."""
    with pytest.raises(UpstreamError, match="garbled"):
        FrameParser().feed(seal(headers))


def test_a_frame_over_the_bound_is_refused_before_it_is_here() -> None:
    """By its first twelve bytes."""
    with pytest.raises(TooLarge):
        FrameParser().feed(seal(b"", total=(1 << 24) + 1)[:12])
    with pytest.raises(TooLarge):
        FrameParser().feed(seal(b"", total=1 << 19, size=1 << 18)[:12])


@pytest.mark.parametrize(("total", "size"), [(0, 0), (15, 0), (16, 1), (100, 90)])
def test_lengths_that_cannot_be_are_named(total: int, size: int) -> None:
    with pytest.raises(UpstreamError, match="shorter than its headers"):
        FrameParser().feed(seal(b"", total=total, size=size)[:12])


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(headers: bytes, payload: bytes) -> None:
    """Bare, and with right checksums around them."""
    for data in (headers + payload, seal(headers, payload)):
        with suppress(UpstreamError, TooLarge):
            FrameParser().feed(data)


def test_an_errors_name_comes_from_its_header() -> None:
    """It is put around the body, and nothing else is changed."""
    header = {"x-amzn-errortype": "com.amazon#ThrottlingException:http://internal.amazon.com/"}
    assert name_error(header, b'{"message":"slow"}') == b'{"ThrottlingException":{"message":"slow"}}'
    assert name_error(header, b" ") == b'{"ThrottlingException":{}}'
    assert name_error({}, b"x") == b"x"
    assert name_error({"x-amzn-errortype": '"},'}, b"x") == b"x"
