"""What stands on the outside of a message between rooms, processes and versions?"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from quorate.codec.json import decode, encode
from quorate.errors import Forbidden, InvalidInput

MAJOR = 1
MINOR = 0


class Envelope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outside of a message: who it belongs to and how to read it, without reading it."""

    id: str
    kind: str
    tenant: str
    time: float
    version: str = f"{MAJOR}.{MINOR}"
    content_type: str = "application/json"
    correlation: str | None = None
    """The id of the message this one answers."""
    trace: str | None = None
    """A W3C `traceparent`."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: msgspec.Raw = msgspec.Raw(b"null")


def seal(envelope: Envelope, body: object) -> bytes:
    """Write an envelope with `body` inside."""
    return encode(msgspec.structs.replace(envelope, body=msgspec.Raw(encode(body))))


def unseal(data: bytes, *, tenant: str, max_bytes: int = 1 << 20) -> Envelope:
    """Read an envelope that must belong to `tenant`; the body stays closed.

    A newer minor version is read, its unknown fields passed over.

    Raises:
        InvalidInput: It is malformed, or of another major version.
        TooLarge: It has more than `max_bytes`.
        Forbidden: It belongs to another tenant.
    """
    envelope = decode(data, Envelope, what="envelope", max_bytes=max_bytes)
    major = envelope.version.split(".", 1)[0]
    if major != str(MAJOR):
        raise InvalidInput(f"envelope has version {envelope.version!r}; this version reads {MAJOR}.x.")
    if envelope.tenant != tenant:
        raise Forbidden(f"envelope {envelope.id!r} belongs to another tenant.")
    return envelope
