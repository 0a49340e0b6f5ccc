"""How does an answer look on a store that others can write to?

A sealed answer carries a MAC over itself, its key and its end, so that what somebody else wrote, moved to another key,
or put back when its time was over, is no answer. It is data of one known type: nothing in it is run or looked up.
"""

from __future__ import annotations

import hmac
import math
from struct import Struct as Layout

import msgspec

from quorate.models.cache.rule import Stored, write_stored

MAC_BYTES = 32
_VERSION = b"\x02"
_UNTIL = Layout(">d")
_decoder = msgspec.msgpack.Decoder(Stored)


def seal(key: bytes, stored: Stored, *, secret: bytes, until: float = math.inf) -> bytes | None:
    """Write an answer down: version, MAC, key, when it ends, and the answer itself; `None` where that cannot be.

    Args:
        key: What it is kept under.
        stored: The answer.
        secret: What it is sealed with.
        until: Until when it may be given again, in seconds since 1970.
    """
    written = write_stored(stored)
    if written is None:
        return None
    body = key + _UNTIL.pack(until) + written
    return _VERSION + _sign(body, secret) + body


def unseal(data: bytes, *, secret: bytes, key: bytes | None = None, now: float = -math.inf) -> Stored | None:
    """Read an answer; `None` when it is of another key, version or secret, was changed, or is over.

    Args:
        data: What the store holds.
        secret: The one it was sealed with.
        key: Whose answer it must be; any when it is not given.
        now: The time, in seconds since 1970.
    """
    begin = 1 + MAC_BYTES
    body = data[begin:]
    if data[:1] != _VERSION or not hmac.compare_digest(data[1:begin], _sign(body, secret)):
        return None
    if key is not None and body[: len(key)] != key:
        return None
    begin = MAC_BYTES + _UNTIL.size
    if len(body) < begin or _UNTIL.unpack(body[MAC_BYTES:begin])[0] <= now:
        return None
    try:
        return _decoder.decode(body[begin:])
    except msgspec.DecodeError:  # another version of us wrote it
        return None


def _sign(body: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"quorate.cache.entry\0" + body, "sha256")
