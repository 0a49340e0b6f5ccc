"""How are the lines of a file of any size read without holding more than a piece of it?"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from quorate.errors import ToolError
from quorate.tools.workspace import Workspace

CHUNK_BYTES = 256 * 1024
MAX_LINE_BYTES = 8192
MAX_STREAM_BYTES = 4 << 30
"""The largest file that tools read as a stream, whatever a workspace allows to be held in memory."""


def iter_lines(stream: BinaryIO, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[bytes]:
    """Yield lines without their ends; what a line has beyond `max_line_bytes` is left out."""
    rest = b""
    while chunk := stream.read(CHUNK_BYTES):
        pieces = chunk.split(b"\n")
        pieces[0] = rest + pieces[0]
        rest = pieces.pop()
        for piece in pieces:
            yield piece[:max_line_bytes].rstrip(b"\r")
        if len(rest) > max_line_bytes:
            # One byte more than is shown keeps a `\r` at the cut from being taken for a line's end.
            rest = rest[: max_line_bytes + 1]
    if rest:
        yield rest[:max_line_bytes].rstrip(b"\r")


@contextmanager
def open_stream(workspace: Workspace, path: str) -> Generator[BinaryIO, None, None]:
    """Open a file that is read from its beginning to its end, unpacked if it is gzip; its size does not matter.

    Raises:
        ToolError: The name is refused or missing, or the gzip data is broken.
    """
    with workspace.open_file(path, max_bytes=max(MAX_STREAM_BYTES, workspace.max_file_bytes)) as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        if raw.seekable():
            raw.seek(0)
        if not packed:
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                yield stream  # type: ignore[misc]  # it reads bytes, which is all that is used
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ToolError(f"The file {path!r} is not whole gzip data: {error}") from error


def looks_binary(head: bytes) -> bool:
    """Tell whether the beginning of a file is something else than text."""
    return b"\0" in head[:8192]
