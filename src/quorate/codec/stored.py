"""How does a value that is kept in a store say in which format it is?

JSON is kept as it is, as it always was. A value in another format begins with a byte that begins neither JSON nor
MessagePack nor text, and one for the format, so that whoever reads it need not be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from quorate.codec.formats import MAX_BYTES, Codec, find_codec
from quorate.errors import UnknownName

T = TypeVar("T")
MARK = 0xC1
"""What MessagePack never uses, and UTF-8 neither."""
NUMBERS: Mapping[str, int] = MappingProxyType({"msgpack": 2, "protobuf": 3})
"""The byte behind the mark; a number is never given to another format."""


def write_stored(value: object, *, codec: Codec | None = None) -> bytes:
    """Write a value so that `read_stored` reads it; JSON when nothing is said.

    Raises:
        InvalidInput: It cannot be written in that format.
    """
    codec = codec or find_codec()
    data = codec.encode(value)
    return data if codec.name not in NUMBERS else bytes((MARK, NUMBERS[codec.name])) + data


def read_stored(data: bytes, type_: type[T], *, what: str = "a stored value", max_bytes: int = MAX_BYTES) -> T:
    """Read a value in the format that it says it is in.

    Raises:
        UnknownName: It is in a format that this version does not know.
        MissingExtra: What its format needs is not installed.
        TooLarge: There are more than `max_bytes`.
        InvalidInput: It is malformed, too deep, or not of that type.
    """
    if data[:1] != bytes((MARK,)):
        return find_codec().decode(data, type_, what=what, max_bytes=max_bytes)
    number = data[1] if len(data) > 1 else 0
    name = next((name for name, known in NUMBERS.items() if known == number), None)
    if name is None:
        hint = f"Upgrade Quorate to read {what}, or look who else writes there."
        raise UnknownName("format of stored values", f"number {number}", [*NUMBERS, "json"], hint)
    return find_codec(name).decode(data[2:], type_, what=what, max_bytes=max_bytes)
