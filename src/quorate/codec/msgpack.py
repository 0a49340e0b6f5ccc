"""How are values written as MessagePack, and read back within bounds?"""

from __future__ import annotations

from typing import NoReturn, TypeVar

import msgspec

from quorate.codec.formats import MAX_BYTES, MSGPACK
from quorate.errors import InvalidInput, TooLarge

T = TypeVar("T")


class MsgpackCodec:
    """MessagePack as msgspec writes it, without extension types."""

    name = "msgpack"
    content_type = MSGPACK

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()

    def encode(self, value: object) -> bytes:
        """Write a value; see `Codec`."""
        try:
            return self._encoder.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInput(f"{type(value).__name__} cannot be written as MessagePack: {error}.") from error

    def decode(self, data: bytes, type_: type[T], *, what: str = "MessagePack", max_bytes: int = MAX_BYTES) -> T:
        """Read and check a value; see `Codec`."""
        if len(data) > max_bytes:
            raise TooLarge(f"{what} has {len(data)} bytes; at most {max_bytes} are read.", what=what)
        try:
            return msgspec.msgpack.decode(data, type=type_, ext_hook=_refuse_extension)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
            raise InvalidInput(f"{what} is not valid: {error}", what=what) from error


def _refuse_extension(code: int, _: memoryview) -> NoReturn:
    raise msgspec.ValidationError(f"extension type {code} is not known")
