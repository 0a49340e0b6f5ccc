"""How do bytes come from a file and go into one, safely?"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from pathlib import Path
from typing import BinaryIO

from quorate.cli.console import say
from quorate.errors import InvalidInput, StorageFull, TooLarge

PIECE = 1 << 20
STANDARD = "-"
"""Standard input or output."""
MAX_SHOWN = 1 << 20

Advance = Callable[[int], None]
"""Told of so many more bytes, or other things."""


def measure_file(path: str) -> int | None:
    """Return how many bytes a file has; `None` where that is not known before it ends.

    Raises:
        InvalidInput: There is no such file, or it is a directory.
    """
    if path == STANDARD:
        return None
    try:
        found = os.stat(path)
    except OSError as error:
        raise InvalidInput(f"{path!r} cannot be read: {error.strerror}.") from error
    if stat.S_ISDIR(found.st_mode):
        raise InvalidInput(f"{path!r} is a directory: name a file, or pack it first.")
    return found.st_size if stat.S_ISREG(found.st_mode) else None


async def read_file(path: str, advance: Advance) -> AsyncGenerator[bytes]:
    """Yield the bytes of a file, or of standard input, in pieces.

    Raises:
        InvalidInput: It cannot be read.
    """
    try:
        stream = sys.stdin.buffer if path == STANDARD else await asyncio.to_thread(_open, path)
        try:
            while piece := await asyncio.to_thread(stream.read, PIECE):
                yield piece
                advance(len(piece))
        finally:
            if path != STANDARD:
                stream.close()
    except OSError as error:
        raise InvalidInput(f"{path!r} cannot be read: {error.strerror}.") from error


async def write_file(path: str, pieces: AsyncIterable[bytes], advance: Advance, *, force: bool = False) -> int:
    """Write a file that is there as a whole or not at all; return how many bytes it has.

    Raises:
        InvalidInput: There is something of that name already, or it cannot be written.
        StorageFull: The disk is full.
    """
    check_target(path, force=force)
    temporary = os.path.join(os.path.dirname(path), f".quorate-{secrets.token_hex(6)}.part")
    size = 0
    try:
        stream = await asyncio.to_thread(_create, temporary)
        try:
            with stream:
                async for piece in pieces:
                    await asyncio.to_thread(stream.write, piece)
                    size += len(piece)
                    advance(len(piece))
                await asyncio.to_thread(_sync, stream)
            await asyncio.to_thread(_place, temporary, path, force)
        finally:
            Path(temporary).unlink(missing_ok=True)  # noqa: ASYNC240  # must happen whoever was cancelled
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"there is no room for {path!r}: make some, then try again.") from error
        raise InvalidInput(f"{path!r} cannot be written: {error.strerror}.") from error
    return size


def check_target(path: str, *, force: bool) -> None:
    """Raise `InvalidInput` when a file of that name may not be written."""
    try:
        found = os.lstat(path)
    except OSError:
        return  # whatever is wrong is told when it is written
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        raise InvalidInput(f"{path!r} is a directory or a device: name a file.")
    if not force:
        raise _taken(path)


async def write_output(pieces: AsyncIterable[bytes], *, size: int, media_type: str) -> None:
    """Write bytes on standard output; on a terminal only text, with what could move the cursor spelled out.

    Raises:
        InvalidInput: It is no text, and a terminal would show it.
        TooLarge: It is more than a terminal should show.
    """
    if not sys.stdout.isatty():
        async for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    if size > MAX_SHOWN:
        raise TooLarge(f"{size} bytes are too much for a terminal: write them to a file with `-o FILE`.")
    try:
        text = b"".join([piece async for piece in pieces]).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"it is no text but {media_type}: write it to a file with `-o FILE`.") from error
    say(text)


def _open(path: str) -> BinaryIO:
    return open(path, "rb")  # closed by whoever reads


def _create(path: str) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    return open(descriptor, "wb")


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _place(temporary: str, path: str, force: bool) -> None:
    """Give a file its name; without `force`, never over another one, whenever that came."""
    if force:
        Path(temporary).replace(path)
        return
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # Some file systems know no second name for a file: look once more, then move it.
        check_target(path, force=False)
        Path(temporary).rename(path)


def _taken(path: str) -> InvalidInput:
    return InvalidInput(f"there is a file {path!r} already: choose another name, or say `--force`.")
