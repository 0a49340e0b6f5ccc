"""How are bytes of any size kept in PostgreSQL, each blob there as a whole or not at all?"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from zlib import crc32

from quorate.errors import NotFound, QuorateError, Unavailable
from quorate.ports import BlobInfo
from quorate.state.backends._checks import MAX_CHUNK, check_blob_name
from quorate.state.backends._pieces import STRAY_S, build_corrupt, build_deleted, build_swept, cut, verify_piece
from quorate.state.backends._postgres_lines import Lines
from quorate.state.backends._postgres_values import build_range

_SWEPT = 4


class PostgresBlobs:
    """A `Blobs` in a PostgreSQL database, in pieces of at most 1 MiB."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Store bytes; see `quorate.ports.Blobs`."""
        check_blob_name(name)
        pieces = cut(chunks, MAX_CHUNK)
        first = await anext(pieces, b"")
        second = await anext(pieces, b"")
        if second:
            size = await self._put_pieces(name, first, second, pieces)
        else:
            size = len(first)
            await self._lines.write(tuple[()], "put_small_blob", name, size, 1 if first else 0, crc32(first), first)
        with suppress(QuorateError):  # it is stored; what is left over goes with a later one
            await self.sweep()
        return size

    async def _put_pieces(self, name: str, first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> int:
        ((version,),) = await self._lines.write(tuple[int], "begin_blob", name)
        count = size = 0
        try:
            for piece in (first, second):
                await self._add(name, version, count, piece)
                count, size = count + 1, size + len(piece)
            async for piece in rest:
                await self._add(name, version, count, piece)
                count, size = count + 1, size + len(piece)
            if not await self._lines.write(tuple[int], "publish_blob", name, version, size, count):
                raise build_swept(name)
        except BaseException as error:
            if not isinstance(error, Unavailable):
                # The database answers, so nothing of it need stay until it is swept.
                with suppress(QuorateError):
                    await self._lines.write(tuple[()], "drop_stray", version)
            raise
        return size

    async def _add(self, name: str, version: int, number: int, piece: bytes) -> None:
        if not await self._lines.write(tuple[int], "add_piece", version, number, crc32(piece), piece):
            raise build_swept(name)

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """Yield bytes; see `quorate.ports.Blobs`."""
        found = await self._lines.read(tuple[int, int, int], "get_blob", check_blob_name(name))
        if not found:
            raise NotFound(f"There is no blob {name!r}.", name=name)
        version, size, count = found[0]
        read = 0
        for number in range(count):
            rows = await self._lines.read(tuple[int, bytes], "get_piece", version, number)
            if not rows:
                await self._check_published(name, version)
            body = verify_piece(name, f"piece {number} of {count}", rows[0] if rows else None)
            read += len(body)
            yield body
        if read != size:
            raise build_corrupt(name, f"it has {read} bytes, and {size} were written")

    async def _check_published(self, name: str, version: int) -> None:
        ((is_there,),) = await self._lines.read(tuple[bool], "is_published", name, version)
        if not is_there:
            raise build_deleted(name)

    async def delete(self, name: str) -> bool:
        """Forget a blob; see `quorate.ports.Blobs`."""
        ((count,),) = await self._lines.write(tuple[int], "delete_blob", check_blob_name(name))
        return bool(count)

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        """List blobs; see `quorate.ports.Blobs`."""
        rows = await self._lines.read(
            tuple[str, int, float], *build_range(self._lines, "list_blobs", prefix, after, limit)
        )
        return [BlobInfo(name=name, size=size, saved=saved) for name, size, saved in rows]

    async def sweep(self, *, older_s: float = STRAY_S) -> None:
        """Remove some of what no name leads to any more: versions replaced or left half-written before a while."""
        await self._lines.write(tuple[()], "sweep_strays", older_s, _SWEPT)
