"""How are bytes of any size kept in a SQLite file, each blob there as a whole or not at all, and nobody waits for it?

Pieces are written by themselves, between appends; a last small transaction gives them their name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from functools import partial
from zlib import crc32

from quorate.clock import Clock
from quorate.errors import NotFound, QuorateError
from quorate.ports import BlobInfo
from quorate.state.backends._checks import check_blob_name
from quorate.state.backends._pieces import STRAY_S, build_corrupt, build_deleted, build_swept, cut, verify_piece
from quorate.state.backends._sqlite_line import Line
from quorate.state.backends._sqlite_values import build_range

PIECE_BYTES = 256 << 10
"""As much as goes into one transaction: an append never waits for more."""

_SWEPT = 4
_PIECES_AT_ONCE = 16

Statements = Mapping[str, str]


class SqliteBlobs:
    """A `Blobs` in a SQLite file."""

    __slots__ = ("_clock", "_line")

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Store bytes; see `quorate.ports.Blobs`."""
        check_blob_name(name)
        async with aclosing(cut(chunks, PIECE_BYTES)) as pieces:
            first = await anext(pieces, b"")
            second = await anext(pieces, b"")
            if second:
                size = await self._put_pieces(name, first, second, pieces)
            else:
                size = len(first)
                await self._line.change(partial(self._put_small, name=name, body=first), size=size)
        with suppress(QuorateError):  # it was stored, whatever becomes of others
            await self.sweep()
        return size

    async def _put_pieces(self, name: str, first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> int:
        version = await self._line.change(partial(self._begin, name=name))
        count = size = 0
        try:
            for piece in (first, second):
                await self._add(name, version, count, piece)
                count, size = count + 1, size + len(piece)
            async for piece in rest:
                await self._add(name, version, count, piece)
                count, size = count + 1, size + len(piece)
            await self._line.change(partial(self._publish, name=name, version=version, size=size, count=count))
        except BaseException:
            with suppress(QuorateError):  # what cannot be removed now is swept later
                await self._clear(version)
            raise
        return size

    def _begin(self, connection: sqlite3.Connection, statements: Statements, *, name: str) -> int:
        version = connection.execute(statements["begin_blob"], (name, self._clock.now())).lastrowid
        assert version is not None, "an insert has a row"
        return version

    def _put_small(self, connection: sqlite3.Connection, statements: Statements, *, name: str, body: bytes) -> None:
        version = self._begin(connection, statements, name=name)
        if body:
            connection.execute(statements["insert_piece"], (version, 0, crc32(body), body))
        self._publish(connection, statements, name=name, version=version, size=len(body), count=1 if body else 0)

    async def _add(self, name: str, version: int, number: int, body: bytes) -> None:
        row = (version, number, crc32(body), body)

        def write(connection: sqlite3.Connection, statements: Statements) -> None:
            self._touch(connection, statements, name=name, version=version)
            connection.execute(statements["insert_piece"], row)

        await self._line.change(write, size=len(body))

    def _touch(self, connection: sqlite3.Connection, statements: Statements, *, name: str, version: int) -> None:
        values = {"now": self._clock.now(), "version": version}
        if not connection.execute(statements["touch_stray"], values).rowcount:
            raise build_swept(name)

    def _publish(
        self, connection: sqlite3.Connection, statements: Statements, *, name: str, version: int, size: int, count: int
    ) -> None:
        self._touch(connection, statements, name=name, version=version)
        now, replaced = self._clock.now(), connection.execute(statements["get_blob"], (name,)).fetchone()
        connection.execute(statements["publish_blob"], (name, version, size, count, now))
        connection.execute(statements["delete_stray"], (version,))
        if replaced is not None:
            connection.execute(statements["insert_stray"], (replaced[0], name, now))

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """Yield bytes; see `quorate.ports.Blobs`."""
        found = await self._line.ask(partial(_get_blob, name=check_blob_name(name)))
        if found is None:
            raise NotFound(f"There is no blob {name!r}.", name=name)
        version, size, count = found
        read = 0
        for number in range(count):
            row = await self._line.ask(partial(_get_piece, version=version, number=number))
            if row is None:
                await self._check_published(name, version)
            body = verify_piece(name, f"piece {number} of {count}", row)
            read += len(body)
            yield body
        if read != size:
            raise build_corrupt(name, f"it has {read} bytes, and {size} were written")

    async def _check_published(self, name: str, version: int) -> None:
        found = await self._line.ask(partial(_get_blob, name=name))
        if found is None or found[0] != version:
            raise build_deleted(name)

    async def delete(self, name: str) -> bool:
        """Forget a blob; see `quorate.ports.Blobs`."""
        check_blob_name(name)

        def write(connection: sqlite3.Connection, statements: Statements) -> tuple[bool, list[int]]:
            found = _get_blob(connection, statements, name=name)
            if found is not None:
                connection.execute(statements["delete_blob"], (name,))
                connection.execute(statements["insert_stray"], (found[0], name, self._clock.now()))
            # Whatever happens from here on, the next sweep takes them.
            connection.execute(statements["condemn_strays_of"], (name,))
            strays = connection.execute(statements["find_strays_of"], (name,)).fetchall()
            return found is not None, [version for (version,) in strays]

        was_there, versions = await self._line.change(write)
        with suppress(QuorateError):  # it has no name any more, and the next sweep takes what is left
            for version in versions:
                await self._clear(version)
        return was_there

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        """List blobs; see `quorate.ports.Blobs`."""
        statement, values = build_range("list_blobs", prefix, after, limit)

        def read(connection: sqlite3.Connection, statements: Statements) -> list[BlobInfo]:
            rows = connection.execute(statements[statement], values).fetchall()
            return [BlobInfo(name=name, size=size, saved=saved) for name, size, saved in rows]

        return await self._line.ask(read)

    async def sweep(self, *, older_s: float = STRAY_S) -> None:
        """Remove a few versions that nobody can need any more: every put does, so that they never pile up.

        Args:
            older_s: How long they rested.
        """
        until = self._clock.now() - older_s

        def read(connection: sqlite3.Connection, statements: Statements) -> list[int]:
            return [version for (version,) in connection.execute(statements["find_strays"], (until, _SWEPT)).fetchall()]

        for version in await self._line.ask(read):
            await self._clear(version, until=until)

    async def _clear(self, version: int, *, until: float = float("inf")) -> None:
        """Remove a version that rests since before a moment, a few pieces at a time."""

        def write(connection: sqlite3.Connection, statements: Statements) -> bool:
            # From here on whoever still writes it is refused, so that no half of it is ever given a name.
            if not connection.execute(statements["condemn_stray"], (version, until)).rowcount:
                return False
            if connection.execute(statements["delete_pieces"], (version, _PIECES_AT_ONCE)).rowcount == _PIECES_AT_ONCE:
                return True
            connection.execute(statements["delete_stray"], (version,))
            return False

        while await self._line.change(write):
            pass


def _get_blob(connection: sqlite3.Connection, statements: Statements, *, name: str) -> tuple[int, int, int] | None:
    row: tuple[int, int, int] | None = connection.execute(statements["get_blob"], (name,)).fetchone()
    return row


def _get_piece(
    connection: sqlite3.Connection, statements: Statements, *, version: int, number: int
) -> tuple[int, object] | None:
    row: tuple[int, object] | None = connection.execute(statements["get_piece"], (version, number)).fetchone()
    return row
