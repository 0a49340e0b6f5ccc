"""How do large outputs stay out of the log and the model's window, and yet within reach?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import structs

from quorate.agent.artifacts import ARTIFACTS_TAG
from quorate.errors import TooLarge, mend_text
from quorate.messages import Audio, File, Image, Text, ToolCall, ToolResult
from quorate.ports import ArtifactInfo, RunArtifacts, RunContext, Toolset
from quorate.specs import ToolSpec
from quorate.tools.define import fail

ABOVE_BYTES = 64 << 10
HEAD_CHARS = 2000
TAIL_SHARE = 4
"""The end of a text that is shown has a fourth of the characters that its beginning has."""
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+", re.ASCII)

Piece = Text | Image | Audio | File


class Offloaded:
    """A toolset whose large results are kept as artifacts; the model gets a handle, the beginning and the end.

    The same call of the same run keeps the same artifact, however often it is made. Outside of a runtime there is
    nowhere to keep anything, and results are passed on as they are.
    """

    def __init__(self, inner: Toolset, *, above_bytes: int = ABOVE_BYTES, head_chars: int = HEAD_CHARS) -> None:
        self.inner = inner
        self.above_bytes = above_bytes
        self.head_chars = min(head_chars, above_bytes // 2)
        # What was asked for of an artifact is shown: kept as another one, nobody would ever get to read it.
        self._shown = {spec.name for spec in inner.specs() if ARTIFACTS_TAG in spec.tags}

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self.inner.specs()

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Make the call, and keep what is large of its result.

        Raises:
            StorageFull: There is no room to keep it.
            Unavailable: The store cannot be reached.
        """
        result = await self.inner.call(call, context)
        if context.services is None or call.name in self._shown:
            return result
        if isinstance(result.content, str) and not is_large(result.content, self.above_bytes):
            return result
        name = _UNFIT.sub("_", f"{call.name}-{call.id}")[:200]
        try:
            return await self._shrink(result, name, context.artifacts)
        except TooLarge as error:
            return fail(call, f"its result is too large to keep: {error.message} Ask for less.", error.code)

    async def _shrink(self, result: ToolResult, name: str, artifacts: RunArtifacts) -> ToolResult:
        content = result.content
        if isinstance(content, str):
            told = await keep_text(content, artifacts=artifacts, name=name, head_chars=self.head_chars)
            return structs.replace(result, content=told)
        parts = list[Piece]()
        for place, part in enumerate(content, 1):
            parts.append(await self._shrink_part(part, f"{name}-{place}", artifacts))
        return structs.replace(result, content=tuple(parts)) if parts != list(content) else result

    async def _shrink_part(self, part: Piece, name: str, artifacts: RunArtifacts) -> Piece:
        if isinstance(part, Text):
            if not is_large(part.text, self.above_bytes):
                return part
            return Text(text=await keep_text(part.text, artifacts=artifacts, name=name, head_chars=self.head_chars))
        if part.data is None or len(part.data) <= self.above_bytes:
            return part
        info = await artifacts.save(name, part.data, media_type=_choose_type(part.media_type))
        told = f"[{type(part).__name__} kept as {describe(info)}. It is not shown here.]"
        return Text(text=told)


async def offload_output(
    text: str, *, artifacts: RunArtifacts, name: str, above_bytes: int = ABOVE_BYTES, head_chars: int = HEAD_CHARS
) -> str | None:
    """Keep a final output as an artifact when it is large; return what stands for it, or `None` when it is not.

    Args:
        text: The output.
        artifacts: Where to keep it.
        name: What it is called there.
        above_bytes: From how many bytes on it is large.
        head_chars: How much of its beginning is shown.

    Raises what `RunArtifacts.save` raises.
    """
    if not is_large(text, above_bytes):
        return None
    return await keep_text(text, artifacts=artifacts, name=name, head_chars=head_chars)


async def keep_text(text: str, *, artifacts: RunArtifacts, name: str, head_chars: int = HEAD_CHARS) -> str:
    """Keep a text as an artifact, and return what stands for it: the handle, the beginning and the end."""
    text = mend_text(text)
    info = await artifacts.save(name, text, media_type=_guess_type(text))
    # A text of few wide characters may be large and yet short.
    head_chars = min(head_chars, len(text) // 2)
    tail_chars = head_chars // TAIL_SHARE
    left_out = len(text) - head_chars - tail_chars
    head, tail = text[:head_chars], text[len(text) - tail_chars :]
    return (
        f"[Kept as {describe(info)}, {text.count(chr(10)) + 1} lines. Below are its first {head_chars} and last "
        f'{tail_chars} characters. Read more with the tool `read_artifact`: artifact="{info.id}", offset and length '
        f"in lines.]\n{head}\n[… {left_out} characters are left out …]\n{tail}"
    )


def is_large(text: str, above_bytes: int) -> bool:
    """Whether a text has more bytes than so many."""
    if len(text) > above_bytes:
        return True
    # No character has more than four bytes, and most texts need not be encoded to know.
    return len(text) * 4 > above_bytes and not text.isascii() and len(text.encode("utf-8", "replace")) > above_bytes


def describe(info: ArtifactInfo) -> str:
    """Say which artifact it is, in few words."""
    return f"artifact {info.id} ({info.name}, {info.media_type}, {info.size} bytes)"


def _guess_type(text: str) -> str:
    begin, end = text[:64].lstrip()[:1], text[-64:].rstrip()[-1:]
    return "application/json" if (begin, end) in {("{", "}"), ("[", "]")} else "text/plain"


def _choose_type(media_type: str) -> str:
    """Return a media type as it can be kept; whatever a tool made up is bytes."""
    lowered = media_type.lower()
    return lowered if re.fullmatch(r"[a-z0-9]+/[a-z0-9][a-z0-9.+-]{0,60}", lowered) else "application/octet-stream"
