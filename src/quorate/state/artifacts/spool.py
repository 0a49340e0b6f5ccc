"""Where do bytes wait until all of them are there and it is known what they are?"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import BinaryIO

from quorate.errors import InvalidInput, TooLarge
from quorate.state.disk import explain_disk
from quorate.state.threads import Threads

IN_MEMORY = 4 << 20
"""Up to how many bytes wait in memory; more wait in a temporary file that has no name."""
PIECE = 1 << 20

Data = bytes | str | AsyncIterable[bytes]


class Spool:
    """Bytes that are all there, and can be read again and again."""

    def __init__(self, threads: Threads) -> None:
        self.size = 0
        self.digest = hashlib.sha256(b"").hexdigest()
        """SHA-256 of all of them."""
        self._threads = threads
        self._hash = hashlib.sha256()
        self._memory = bytearray()
        self._file: BinaryIO | None = None

    @property
    def head(self) -> bytes:
        """The first bytes; at least 16 KiB when there are so many."""
        return bytes(self._memory[:PIECE])

    async def add(self, piece: bytes) -> None:
        """Add bytes at the end.

        Raises:
            StorageFull: The temporary file has no room.
        """
        self.size += len(piece)
        if self.size <= IN_MEMORY:
            await self._threads.compute(partial(self._hash.update, piece), size=len(piece))
            self._memory += piece
        else:
            await self._threads.run(partial(self._write, piece))

    def close(self) -> None:
        """Let go of the temporary file."""
        if self._file is not None:
            self._file.close()

    def settle(self) -> None:
        """Say that all bytes are there."""
        self.digest = self._hash.hexdigest()

    async def read(self) -> AsyncIterator[bytes]:
        """Yield the bytes in pieces."""
        for begin in range(0, len(self._memory), PIECE):
            yield bytes(self._memory[begin : begin + PIECE])
        at = 0
        while (file := self._file) is not None and (piece := await self._threads.run(partial(_read, file, at))):
            at += len(piece)
            yield piece

    def _write(self, piece: bytes) -> None:
        self._hash.update(piece)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # closed by `close`  # noqa: SIM115
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) or 0 :]
        except OSError as error:
            raise explain_disk(error, "the folder for temporary files") from error


@asynccontextmanager
async def open_spool(data: Data, *, max_bytes: int, threads: Threads) -> AsyncGenerator[Spool]:
    """Collect bytes, and let go of them at the end of the block.

    Raises:
        TooLarge: There are more than `max_bytes`; the rest is not read.
        InvalidInput: Text that is not text.
        StorageFull: There is no room for them to wait in.
    """
    spool = Spool(threads)
    try:
        async for piece in _cut(data):
            if spool.size + len(piece) > max_bytes:
                raise TooLarge(
                    f"an artifact has at most {max_bytes} bytes, and this has more: split it, or raise the setting.",
                    max_bytes=max_bytes,
                )
            await spool.add(piece)
        spool.settle()
        yield spool
    finally:
        spool.close()


async def _cut(data: Data) -> AsyncIterator[bytes]:
    if isinstance(data, str):
        try:
            data = data.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"the text has a lone surrogate at {error.start}: it is not UTF-8. Mend it.") from error
    if isinstance(data, bytes | bytearray | memoryview):
        view = memoryview(data)
        for begin in range(0, len(view), PIECE):
            yield bytes(view[begin : begin + PIECE])
        return
    async for chunk in data:
        for begin in range(0, len(chunk), PIECE):
            yield chunk[begin : begin + PIECE] if len(chunk) > PIECE else chunk


def _read(file: BinaryIO, at: int) -> bytes:
    try:
        file.seek(at)
        return file.read(PIECE)
    except OSError as error:
        raise explain_disk(error, "the folder for temporary files") from error
