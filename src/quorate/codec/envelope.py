"""What stands on the outside of a message between rooms, processes and versions?"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct, field

from quorate.codec.formats import MAX_BYTES, Codec, find_codec
from quorate.codec.migrate import NO_MIGRATIONS, Migrations
from quorate.errors import Forbidden, InvalidInput

T = TypeVar("T")
MAJOR = 1
MINOR = 0


class Envelope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outside of a message: who it belongs to and how to read it, without reading it."""

    id: str
    kind: str
    """What is inside: one of `quorate.codec.schemas.KINDS`, or a word of one's own."""
    tenant: str
    time: float
    version: str = f"{MAJOR}.{MINOR}"
    """Of which version of its kind the body is."""
    content_type: str = "application/json"
    """In which format the body is."""
    correlation: str | None = None
    """The id of the message this one answers."""
    trace: str | None = None
    """A W3C `traceparent`."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: msgspec.Raw = msgspec.Raw(b"null")


def seal(envelope: Envelope, body: object, *, codec: Codec | None = None) -> bytes:
    """Write an envelope with `body` inside, both in one format; JSON when nothing is said.

    Raises:
        InvalidInput: The body cannot be written in that format.
    """
    codec = codec or find_codec()
    inside = msgspec.Raw(codec.encode(body))
    return codec.encode(msgspec.structs.replace(envelope, body=inside, content_type=codec.content_type))


def unseal(
    data: bytes,
    *,
    tenant: str,
    codec: Codec | None = None,
    migrations: Migrations = NO_MIGRATIONS,
    max_bytes: int = MAX_BYTES,
) -> Envelope:
    """Read an envelope that must belong to `tenant`; the body stays closed.

    A newer minor version is read, its unknown fields passed over.

    Args:
        data: The envelope.
        tenant: Whose it must be.
        codec: The format; JSON when nothing is said.
        migrations: How bodies of other major versions are read.
        max_bytes: The most it may have.

    Raises:
        InvalidInput: It is malformed, or of another major version that no migration leads from.
        TooLarge: It has more than `max_bytes`.
        Forbidden: It belongs to another tenant.
    """
    envelope = (codec or find_codec()).decode(data, Envelope, what="envelope", max_bytes=max_bytes)
    if envelope.version.split(".", 1)[0] != str(MAJOR) and not migrations.has(envelope.kind, envelope.version):
        raise InvalidInput(f"envelope has version {envelope.version!r}; this version reads {MAJOR}.x.")
    if envelope.tenant != tenant:
        raise Forbidden(f"envelope {envelope.id!r} belongs to another tenant.")
    return envelope


def open_body(envelope: Envelope, type_: type[T], *, migrations: Migrations = NO_MIGRATIONS) -> T:
    """Read what is inside an envelope, brought to the version of today.

    Raises:
        InvalidInput: It is malformed, or not of that type.
        UnknownName: It is in a format that nobody knows.
        MissingExtra: What its format needs is not installed.
    """
    codec, inside, what = find_codec(envelope.content_type), bytes(envelope.body), f"the body of {envelope.kind!r}"
    if envelope.version.split(".", 1)[0] == str(MAJOR):
        return codec.decode(inside, type_, what=what, max_bytes=len(inside))
    old = codec.decode(inside, dict[str, object], what=what, max_bytes=len(inside))
    return migrations.lead(envelope.kind, envelope.version, old, type_)
