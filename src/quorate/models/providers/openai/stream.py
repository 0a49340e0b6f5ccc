"""What did the model answer, piece by piece?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import ReplyDone, StreamItem, TextDelta, ThinkingDelta, ToolCall, ToolCallDelta
from quorate.models.providers.openai.failure import build_stream_error
from quorate.models.providers.openai.reply import MAX_CALLS, build_call, build_reply
from quorate.models.providers.openai.wire import Body, Call, Chunk, Counts

END = b"[DONE]"
_decode = msgspec.json.Decoder(Chunk).decode


class _Gathered:
    """A tool call under way."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class StreamDecoder:
    """Gathers one streamed reply; it has a state, and does no I/O."""

    __slots__ = (
        "_calls", "_finish", "_id", "_last", "_model", "_refusal", "_text", "_thinking", "_usage", "is_done",
    )  # fmt: skip

    def __init__(self) -> None:
        self.is_done = False
        """Whether the provider said that nothing more comes."""
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _Gathered] = {}
        self._last = -1
        self._finish: str | None = None
        self._usage: Counts | None = None
        self._model = ""
        self._id = ""

    def feed(self, data: bytes) -> Sequence[StreamItem]:
        """Take the data of one event and return what it says.

        Raises:
            UpstreamError: It is garbled, or says that the provider failed.
            RateLimited: It says that the provider wants fewer calls.
        """
        if data == END:
            self.is_done = True
            return ()
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError("The model's stream is garbled: an event is no chunk.", retryable=True) from error
        if not chunk.choices:
            return self._take_rest(chunk)
        choice = chunk.choices[0]
        if choice.finish_reason is not None or chunk.usage is not None or not self._id or chunk.error is not None:
            self._take_facts(chunk, choice.finish_reason)
        delta = choice.delta
        if delta is None or choice.index:
            return ()
        text = delta.content
        if text and delta.tool_calls is None and delta.refusal is None:  # nearly every event
            self._text.append(text)
            if delta.reasoning_content is None and delta.reasoning is None:
                return (TextDelta(text),)
            return (*self._think(delta), TextDelta(text))
        return self._take(delta)

    def finish(self) -> ReplyDone:
        """Return the whole reply.

        Raises:
            Incomplete: It was cut; the text that came is in `context["partial"]`.
            UpstreamError: It ended for a reason nobody knows.
        """
        said = "".join(self._text)
        if not self.is_done or self._finish is None:
            missing = "its last event" if self._finish is not None else "the reason why it ended"
            raise Incomplete(f"The model's stream was cut: {missing} never came.", limit="stream", partial=said)
        reply = build_reply(
            Chunk(id=self._id, model=self._model, usage=self._usage),
            text=(said, "".join(self._refusal)),
            thinking="".join(self._thinking),
            calls=[self._build_call(place, call) for place, call in enumerate(self._calls.values())],
            finish=self._finish,
        )
        return ReplyDone(reply)

    @property
    def partial(self) -> str:
        """The text so far."""
        return "".join(self._text)

    def _take_facts(self, chunk: Chunk, finish: str | None) -> None:
        if chunk.error is not None:
            raise build_stream_error(chunk.error)
        self._id = self._id or chunk.id or ""
        self._model = self._model or chunk.model or ""
        self._usage = chunk.usage or self._usage
        self._finish = finish or self._finish

    def _take_rest(self, chunk: Chunk) -> Sequence[StreamItem]:
        self._take_facts(chunk, None)
        return ()

    def _take(self, delta: Body) -> Sequence[StreamItem]:
        items: list[StreamItem] = self._think(delta)
        if delta.content:
            self._text.append(delta.content)
            items.append(TextDelta(delta.content))
        if delta.refusal:
            self._refusal.append(delta.refusal)
            items.append(TextDelta(delta.refusal))
        for call in delta.tool_calls or ():
            items.append(self._take_call(call))
        return items

    def _think(self, delta: Body) -> list[StreamItem]:
        thought = delta.reasoning_content or delta.reasoning
        if not thought:
            return []
        self._thinking.append(thought)
        return [ThinkingDelta(thought)]

    def _take_call(self, piece: Call) -> ToolCallDelta:
        index = piece.index
        if index is None:  # some servers give no index: a new id begins a new call
            known = self._calls.get(self._last)
            begins = known is None or (piece.id and known.id and piece.id != known.id)
            index = self._last + 1 if begins else self._last
        self._last = index
        call = self._calls.get(index)
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                raise UpstreamError(f"The model asks for more than {MAX_CALLS} calls at once.", limit=MAX_CALLS)
            call = self._calls[index] = _Gathered()
        call.id = call.id or piece.id or f"call-{len(self._calls) - 1}"
        arguments = ""
        if piece.function is not None:
            call.name = call.name or piece.function.name or ""
            arguments = piece.function.arguments or ""
            call.arguments.append(arguments)
        return ToolCallDelta(call.id, call.name, arguments)

    def _build_call(self, place: int, call: _Gathered) -> ToolCall:
        return build_call(call.id, call.name, "".join(call.arguments), place=place)


def build_decoder() -> StreamDecoder:
    """Build the reader of one streamed reply."""
    return StreamDecoder()
