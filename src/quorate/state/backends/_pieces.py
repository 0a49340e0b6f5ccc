"""How is a blob cut into pieces for a database, and how is each verified when it is read?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from zlib import crc32

from quorate.errors import CorruptState, NotFound, Unavailable

STRAY_S = 3600.0
"""How long a version that was replaced can still be read, and one that is being written may rest."""


async def cut(chunks: AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes]:
    """Cut bytes into pieces of one size, the last one shorter; no piece is empty."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


def verify_piece(name: str, place: str, row: tuple[int, object] | None) -> bytes:
    """Return a piece of a blob from its row.

    Raises:
        CorruptState: There is none, or it is not what was written.
    """
    if row is None:
        raise build_corrupt(name, f"{place} is missing")
    checksum, body = row
    if not isinstance(body, bytes) or crc32(body) != checksum:
        raise build_corrupt(name, f"{place} has another checksum than when it was written")
    return body


def build_corrupt(name: str, what: str) -> CorruptState:
    """Build the error for a blob that does not verify."""
    return CorruptState(f"blob {name!r} does not verify: {what}. Restore it from a backup.", name=name)


def build_swept(name: str) -> Unavailable:
    """Build the error for a version that was removed while it was being written."""
    return Unavailable(f"blob {name!r} rested for so long while it was written that it was removed; put it again.")


def build_deleted(name: str) -> NotFound:
    """Build the error for a version that was removed while it was being read."""
    return NotFound(f"Blob {name!r} was deleted while it was read.", name=name)
