"""How are values written as JSON, and read back without surprises?"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from quorate.errors import CorruptState, InvalidInput, TooLarge
from quorate.events import SCHEMA_VERSION, AnyEvent

T = TypeVar("T")
MAX_DEPTH = 64

_encoder = msgspec.json.Encoder()
_event_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)

encode = _encoder.encode


def encode_text(value: object) -> str:
    """Write a value as JSON text."""
    return _encoder.encode(value).decode()


def decode(data: bytes | str, type_: type[T], *, what: str = "JSON", max_bytes: int = 1 << 20) -> T:
    """Read and check JSON of a declared type.

    Raises:
        TooLarge: There are more than `max_bytes`.
        InvalidInput: It is not JSON, too deep, or not of that type; the message gives the path.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"{what} has {len(data)} bytes; at most {max_bytes} are read.", what=what)
    check_depth(data, what=what)
    try:
        return msgspec.json.decode(data, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{what} is not valid: {error}", what=what) from error


def check_depth(data: bytes | str, *, what: str = "JSON", max_depth: int = MAX_DEPTH) -> None:
    """Raise `InvalidInput` when arrays and objects nest deeper than `max_depth`; brackets in strings do not count."""
    openers = data.count("{") + data.count("[") if isinstance(data, str) else data.count(b"{") + data.count(b"[")
    if openers <= max_depth:
        return
    depth, in_string, escaped = 0, False, False
    for character in data if isinstance(data, str) else data.decode("utf-8", "replace"):
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
            if depth > max_depth:
                raise InvalidInput(f"{what} nests deeper than {max_depth} levels.", what=what)
        elif character in "}]":
            depth -= 1


def decode_event(data: bytes | str, *, where: str = "event", version: str = SCHEMA_VERSION) -> AnyEvent:
    """Read a stored event.

    Raises:
        CorruptState: It does not verify, or was written by a newer major version; the message says where.
    """
    if version != SCHEMA_VERSION and version.split(".", 1)[0] != SCHEMA_VERSION.split(".", 1)[0]:
        raise CorruptState(
            f"{where} has schema version {version!r}; this version reads {SCHEMA_VERSION.split('.')[0]}.x. "
            "Upgrade Quorate to read it."
        )
    try:
        return _event_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptState(
            f"{where} does not verify: {error}. The run is parked; nothing is guessed.", where=where
        ) from error


class JsonCodec:
    """JSON, as one of the formats of `quorate.codec.formats`."""

    name = "json"
    content_type = "application/json"

    def encode(self, value: object) -> bytes:
        """Write a value; see `Codec`."""
        try:
            return _encoder.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInput(f"{type(value).__name__} cannot be written as JSON: {error}.") from error

    def decode(self, data: bytes, type_: type[T], *, what: str = "JSON", max_bytes: int = 1 << 20) -> T:
        """Read and check a value; see `Codec`."""
        return decode(data, type_, what=what, max_bytes=max_bytes)
