"""How does an answer look on a store that others can write to?

A sealed answer carries a MAC over itself and its key, so that what somebody else wrote, or moved to another key, is no
answer. It is data of one known type: nothing in it is run or looked up.
"""

from __future__ import annotations

import hmac

import msgspec

from quorate.models.cache.rule import Stored

MAC_BYTES = 32
_VERSION = b"\x01"

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Stored)


def seal(key: bytes, stored: Stored, *, secret: bytes) -> bytes:
    """Write an answer down: version, MAC, key, and the answer itself."""
    body = key + _encode(stored)
    return _VERSION + _sign(body, secret) + body


def unseal(data: bytes, *, secret: bytes, key: bytes | None = None) -> Stored | None:
    """Read an answer; `None` when it is of another key, version or secret, or was changed.

    Args:
        data: What the store holds.
        secret: The one it was sealed with.
        key: Whose answer it must be; any when it is not given.
    """
    begin = 1 + MAC_BYTES
    body = data[begin:]
    if data[:1] != _VERSION or not hmac.compare_digest(data[1:begin], _sign(body, secret)):
        return None
    if key is not None and body[: len(key)] != key:
        return None
    try:
        return _decoder.decode(body[MAC_BYTES:])
    except msgspec.DecodeError:  # another version of us wrote it
        return None


def _sign(body: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"quorate.cache.entry\0" + body, "sha256")
