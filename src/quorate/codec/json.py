"""How are values written as JSON, and read back without surprises?"""

from __future__ import annotations

import re
from functools import cache
from typing import TypeVar, cast

import msgspec

from quorate.errors import CorruptState, InvalidInput, TooLarge
from quorate.events import SCHEMA_VERSION, AnyEvent

T = TypeVar("T")
MAX_DEPTH = 64
_OPENERS = b"{["
_NO_BRACKETS = bytes(set(range(256)) - set(b"{[]}"))
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or what may be one that was cut off."""

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
    if not is_bounded(type_):
        check_depth(data, what=what)
    try:
        return msgspec.json.decode(data, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{what} is not valid: {error}", what=what) from error


def check_depth(data: bytes | str, *, what: str = "JSON", max_depth: int = MAX_DEPTH) -> None:
    """Raise `InvalidInput` when arrays and objects nest deeper than `max_depth`; brackets in strings do not count."""
    if has_few_openers(data, max_depth):
        return
    text = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    depth = 0
    for bracket in _STRING.sub(b"", text).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in _OPENERS else -1
        if depth > max_depth:
            raise InvalidInput(f"{what} nests deeper than {max_depth} levels.", what=what)


@cache
def is_bounded(type_: object) -> bool:
    """Whether a type says how deep its values nest; what it does not know is passed over, however deep that is.

    To look for brackets takes longer than to read the rest.
    """
    from msgspec import inspect  # a program that reads nothing from outside does without

    inner: set[object] = set()

    def is_closed(node: inspect.Type) -> bool:
        if isinstance(node, (inspect.AnyType, inspect.RawType, inspect.CustomType)) or id(node) in inner:
            return False  # anything, now or when it is opened, or itself again
        inner.add(id(node))
        try:
            found = [cast("object", getattr(node, name)) for name in node.__struct_fields__]
            flat = [one for part in found for one in (cast("list[object]", part) if type(part) is tuple else [part])]
            kinds = [part.type if isinstance(part, inspect.Field) else part for part in flat]
            return all(is_closed(kind) for kind in kinds if isinstance(kind, inspect.Type))
        finally:
            inner.discard(id(node))

    return is_closed(inspect.type_info(type_))


def has_few_openers(data: bytes | str, most: int) -> bool:
    """Whether there are no more than `most` brackets that open something, wherever they stand."""
    left = most
    # To find them one by one is three times as quick as to count them, where there are few, as there mostly are.
    for opener in ("{", "[") if isinstance(data, str) else (b"{", b"["):
        place = data.find(opener)  # pyright: ignore[reportArgumentType, reportCallIssue]
        while place >= 0:
            left -= 1
            if left < 0:
                return False
            place = data.find(opener, place + 1)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return True


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
