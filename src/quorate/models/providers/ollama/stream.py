"""What did Ollama answer, line by line?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.errors import Incomplete
from quorate.messages import ReplyDone, StreamItem, TextDelta, ThinkingDelta, ToolCall, ToolCallDelta
from quorate.models.providers.ollama.reply import build_reply, decode_chunk, read_call
from quorate.models.providers.ollama.wire import Chunk


class StreamDecoder:
    """Gathers one streamed reply; it has a state, and does no I/O."""

    __slots__ = ("_calls", "_last", "_provider", "_text", "_thinking")

    def __init__(self, *, provider: str = "") -> None:
        self._provider = provider
        """Whose reasoning it is."""
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[ToolCall] = []
        self._last: Chunk | None = None

    @property
    def is_done(self) -> bool:
        """Whether the server said that nothing more comes."""
        return self._last is not None

    @property
    def partial(self) -> str:
        """The text so far."""
        return "".join(self._text)

    def feed(self, data: bytes) -> Sequence[StreamItem]:
        """Take one line and return what it says; raises what `decode_chunk` raises."""
        chunk = decode_chunk(data)
        items: list[StreamItem] = []
        said = chunk.message
        if said is not None:
            if said.thinking:
                self._thinking.append(said.thinking)
                items.append(ThinkingDelta(said.thinking))
            if said.content:
                self._text.append(said.content)
                items.append(TextDelta(said.content))
            for one in said.tool_calls or ():
                call = read_call(one, len(self._calls))
                self._calls.append(call)
                items.append(ToolCallDelta(call.id, call.name, call.arguments))
        if chunk.done:
            self._last = chunk
        return items

    def finish(self) -> ReplyDone:
        """Return the whole reply.

        Raises:
            Incomplete: It was cut; the text that came is in `context["partial"]`.
            UpstreamError: It ended for a reason nobody knows.
        """
        if self._last is None:
            raise Incomplete(
                "The model's stream was cut: its last line never came.", limit="stream", partial=self.partial
            )
        return ReplyDone(
            build_reply(
                self._last,
                text=self.partial,
                thinking="".join(self._thinking),
                calls=self._calls,
                provider=self._provider,
            )
        )
