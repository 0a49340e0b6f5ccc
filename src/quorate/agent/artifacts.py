"""How does a model read an artifact in pieces, and keep one?"""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.errors import NotFound, ToolError
from quorate.ports import ArtifactInfo, RunContext
from quorate.tools.define import AnyTool, tool

MAX_READ = 32_000
"""The most characters or bytes that one call gives."""
USUAL_LINES = 200
ARTIFACTS_TAG = "artifacts"
"""Marks the tools about artifacts."""

Handle = Annotated[str, Meta(max_length=255, description="An artifact's handle, such as art-…, or its name.")]
Offset = Annotated[int, Meta(ge=0, description="How many lines, or bytes, to leave out at the beginning.")]
Length = Annotated[int, Meta(ge=1, le=MAX_READ, description="How many lines, or bytes, to read.")]


class Kept(Struct, frozen=True):
    """What was kept, and how to name it."""

    artifact: str
    """The handle."""
    name: str
    version: int
    size: int
    media_type: str


class Excerpt:
    """A part of a text that is read to its end in pieces, so that it can be verified; holds no more than the part."""

    def __init__(self, offset: int, length: int, *, lines: bool) -> None:
        self.total = 0
        """How many lines, or bytes, went by."""
        self.is_binary = False
        self.given = 0
        """How many of them are in the excerpt."""
        self.is_cut = False
        """Whether there are fewer than were asked for, since they would be too many characters."""
        self._offset = offset
        self._end = offset + length
        self._lines = lines
        self._found: list[str] = []
        self._size = 0
        self._whole_size = 0
        self._raw = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = False

    def feed(self, piece: bytes) -> None:
        """Take in bytes."""
        self.is_binary = self.is_binary or b"\0" in piece
        if self._lines:
            self._feed_text(self._decoder.decode(piece))
            return
        begin, end = max(0, self._offset - self.total), max(0, self._end - self.total)
        self._raw += piece[begin:end]
        self.total += len(piece)

    def finish(self) -> str:
        """Return the excerpt."""
        if not self._lines:
            self.given = len(self._raw)
            return self._raw.decode("utf-8", "replace")
        self._feed_text(self._decoder.decode(b"", final=True))
        self.total += self._partial
        text = "".join(self._found)
        if self.is_cut:
            # Whole lines, so that it can be gone on behind them; only of a single one a part.
            return text[: self._whole_size] if self.given else text
        self.given = max(0, min(self._end, self.total) - self._offset)
        return text

    def _feed_text(self, text: str) -> None:
        if not text:
            return
        lines = text.split("\n")
        for place, line in enumerate(lines):
            is_whole = place < len(lines) - 1
            if self._offset <= self.total < self._end and not self.is_cut:
                self._keep(line + "\n" * is_whole, is_whole=is_whole)
            self.total += is_whole
        self._partial = lines[-1] != ""

    def _keep(self, text: str, *, is_whole: bool) -> None:
        kept = text[: MAX_READ - self._size]
        self.is_cut = len(kept) < len(text)
        self._size += len(kept)
        self._found.append(kept)
        if is_whole and not self.is_cut:
            self.given += 1
            self._whole_size = self._size


@tool(effect="idempotent", timeout_s=120, tags=(ARTIFACTS_TAG,))
async def read_artifact(
    context: RunContext[object],
    artifact: Handle,
    offset: Offset = 0,
    length: Length = USUAL_LINES,
    unit: Literal["lines", "bytes"] = "lines",
) -> str:
    """Read a part of an artifact's text.

    Args:
        unit: Whether `offset` and `length` count lines or bytes.
    """
    info = await _find(context, artifact)
    excerpt = Excerpt(offset, length, lines=unit == "lines")
    try:
        async for piece in context.artifacts.open(info):
            excerpt.feed(piece)
    except NotFound as error:  # it was deleted meanwhile
        raise _absent(artifact) from error
    text = excerpt.finish()
    if excerpt.is_binary:
        raise ToolError(f"Artifact {info.id} ({info.name}) is no text but {info.media_type}, {info.size} bytes.")
    end = offset + excerpt.given
    told = f"{info.id} {info.name} v{info.version}: {info.media_type}, {info.size} bytes, {excerpt.total} {unit}."
    told += f" Here are {unit} {offset} to {end}"
    if excerpt.is_cut and not excerpt.given:
        told = told.removesuffix(f" Here are {unit} {offset} to {end}")
        told += f" Line {offset} is too long: here are its first {MAX_READ} characters; read it with unit=bytes"
    elif end < excerpt.total:
        told += f"; go on with offset={end}"
    return f"[{told}.]\n{text}"


@tool(effect="idempotent", timeout_s=60, tags=(ARTIFACTS_TAG,))
async def save_artifact(
    context: RunContext[object],
    name: Annotated[str, Meta(min_length=1, max_length=255)],
    text: str,
    media_type: Annotated[str, Meta(max_length=128)] = "text/plain",
) -> Kept:
    """Keep a text beside the conversation, as the next version of its name; others find it by the handle.

    Args:
        name: What it is called, such as report.md.
        text: What to keep.
        media_type: Such as text/markdown.
    """
    info = await context.artifacts.save(name, text, media_type=media_type)
    return Kept(artifact=info.id, name=info.name, version=info.version, size=info.size, media_type=info.media_type)


def artifact_tools() -> list[AnyTool]:
    """Build the tools with which a model reads and keeps artifacts: `read_artifact` and `save_artifact`."""
    return [read_artifact, save_artifact]


async def _find(context: RunContext[object], artifact: str) -> ArtifactInfo:
    info = await context.artifacts.find(artifact)
    if info is None:
        raise _absent(artifact)
    return info


def _absent(artifact: str) -> ToolError:
    return ToolError(f"There is no artifact {artifact!r} for this run: use a handle or name that you were given.")
