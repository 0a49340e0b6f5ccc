"""What did the model answer, piece by piece?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import ReplyDone, StreamItem, TextDelta, ThinkingDelta, ToolCall, ToolCallDelta
from quorate.models.providers.calls import build_call, check_count
from quorate.models.providers.openai.failure import build_stream_error
from quorate.models.providers.openai.reply import build_reply, build_thoughts, read_content
from quorate.models.providers.openai.wire import Body, Call, Chunk, Counts, Detail

END = b"[DONE]"
MAX_PARTS = 128
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
        "_calls", "_details", "_end_event", "_finish", "_id", "_last", "_model", "_open", "_provider", "_refusal",
        "_text", "_thinking", "_usage", "is_done",
    )  # fmt: skip

    def __init__(self, *, provider: str = "", end_event: bool = True) -> None:
        self._provider = provider
        """Whose reasoning it is."""
        self._end_event = end_event
        """Whether its end is said by an event of its own."""
        self.is_done = False
        """Whether the provider said that nothing more comes."""
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._details: dict[int, Detail] = {}
        self._refusal: list[str] = []
        self._calls: list[_Gathered] = []
        self._open: dict[int, _Gathered] = {}
        """By index, the call that a piece goes on with."""
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
        if type(text) is str and text and delta.tool_calls is None and delta.refusal is None:  # nearly every event
            self._text.append(text)
            if delta.reasoning_content is None and delta.reasoning is None and delta.reasoning_details is None:
                return (TextDelta(text),)
            return (*self._think(delta, ""), TextDelta(text))
        return self._take(delta)

    def finish(self) -> ReplyDone:
        """Return the whole reply.

        Raises:
            Incomplete: It was cut; the text that came is in `context["partial"]`.
            UpstreamError: It ended for a reason nobody knows.
        """
        said = "".join(self._text)
        if self._finish is None or (self._end_event and not self.is_done):
            missing = "its last event" if self._finish is not None else "the reason why it ended"
            raise Incomplete(f"The model's stream was cut: {missing} never came.", limit="stream", partial=self.partial)
        reply = build_reply(
            Chunk(id=self._id, model=self._model, usage=self._usage),
            text=(said, "".join(self._refusal)),
            thoughts=build_thoughts("".join(self._thinking), list(self._details.values()), self._provider),
            calls=[self._build_call(place, call) for place, call in enumerate(self._calls)],
            finish=self._finish,
        )
        return ReplyDone(reply)

    @property
    def partial(self) -> str:
        """The text so far, or what it is refused with."""
        return "".join(self._text) + "".join(self._refusal)

    def _take_facts(self, chunk: Chunk, finish: str | None) -> None:
        if chunk.error is not None:
            raise build_stream_error(chunk.error)
        self._id = self._id or chunk.id or ""
        self._model = self._model or chunk.model or ""
        self._usage = chunk.usage or self._usage or (chunk.x_groq.usage if chunk.x_groq is not None else None)
        self._finish = finish or self._finish

    def _take_rest(self, chunk: Chunk) -> Sequence[StreamItem]:
        self._take_facts(chunk, None)
        return ()

    def _take(self, delta: Body) -> Sequence[StreamItem]:
        said, thought = read_content(delta.content)
        items: list[StreamItem] = self._think(delta, thought)
        if said:
            self._text.append(said)
            items.append(TextDelta(said))
        if delta.refusal:
            self._refusal.append(delta.refusal)
            items.append(TextDelta(delta.refusal))
        for call in delta.tool_calls or ():
            items.append(self._take_call(call))
        return items

    def _think(self, delta: Body, thought: str) -> list[StreamItem]:
        thought += delta.reasoning_content or delta.reasoning or ""
        for piece in delta.reasoning_details or ():
            self._take_detail(piece)
            thought = thought or piece.text or piece.summary or ""
        if not thought:
            return []
        self._thinking.append(thought)
        return [ThinkingDelta(thought)]

    def _take_detail(self, piece: Detail) -> None:
        index = piece.index or 0
        known = self._details.get(index)
        if known is None:
            if len(self._details) >= MAX_PARTS:
                raise UpstreamError(f"The model's reasoning has more than {MAX_PARTS} parts.", limit=MAX_PARTS)
            self._details[index] = piece
            return
        for name in ("text", "summary", "data"):
            more = getattr(piece, name)
            if more:
                setattr(known, name, (getattr(known, name) or "") + more)
        known.signature = piece.signature or known.signature
        known.id = known.id or piece.id
        known.format = known.format or piece.format

    def _take_call(self, piece: Call) -> ToolCallDelta:
        index = self._last if piece.index is None else piece.index
        call = self._open.get(index)
        # Some servers give no index, or the same one to all: a new id with a name begins a new call.
        is_named = piece.index is None or (piece.function is not None and bool(piece.function.name))
        if call is None or (is_named and piece.id and call.id and piece.id != call.id):
            check_count(len(self._calls) + 1)
            call = self._open[index] = _Gathered()
            self._calls.append(call)
        self._last = index
        call.id = call.id or piece.id or f"call-{len(self._calls) - 1}"
        arguments = ""
        if piece.function is not None:
            call.name = call.name or piece.function.name or ""
            arguments = piece.function.arguments or ""
            call.arguments.append(arguments)
        return ToolCallDelta(call.id, call.name, arguments)

    def _build_call(self, place: int, call: _Gathered) -> ToolCall:
        return build_call(call.id, call.name, "".join(call.arguments), place=place)
