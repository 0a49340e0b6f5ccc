"""What did the model on Bedrock answer, piece by piece?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import AnyPart, ReplyDone, StreamItem, Text, TextDelta, Thinking, ThinkingDelta, ToolCallDelta
from quorate.models.providers.bedrock.failure import build_stream_error
from quorate.models.providers.bedrock.reply import SERVER_TOOL, build_reply, read_picture
from quorate.models.providers.bedrock.wire import BlockDelta, BlockStart, Counts, Event, Fault, Piece, ReasoningPiece
from quorate.models.providers.calls import build_call, check_count
from quorate.models.target import Target

MAX_BLOCKS = 1_024
_decode = msgspec.json.Decoder(Event).decode
_decode_fault = msgspec.json.Decoder(dict[str, Fault | None]).decode


class _Block:
    """A piece of the message under way."""

    __slots__ = ("id", "is_done", "kind", "name", "redacted", "signature", "words")

    def __init__(self, kind: Literal["text", "call", "thinking", "image", "skipped"]) -> None:
        self.kind = kind
        self.id = ""
        self.name = ""
        self.words: list[str] = []
        self.signature: list[str] = []
        self.redacted: list[str] = []
        self.is_done = False


class StreamDecoder:
    """Gathers one streamed reply; it has a state, and does no I/O."""

    __slots__ = ("_blocks", "_calls", "_has_metadata", "_provider", "_stop", "_target", "_usage")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._provider = target.provider.otel
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._stop: str | None = None
        self._usage: Counts | None = None
        self._has_metadata = False

    @property
    def is_done(self) -> bool:
        """Whether the provider said that nothing more comes."""
        return self._has_metadata and self._stop is not None

    @property
    def partial(self) -> str:
        """The text so far."""
        return "".join([word for block in self._blocks.values() if block.kind == "text" for word in block.words])

    def feed(self, data: bytes) -> Sequence[StreamItem]:
        """Take the data of one event and return what it says.

        Raises:
            UpstreamError: It is garbled, or says that the provider failed.
            RateLimited: It says that the provider wants fewer calls.
        """
        try:
            event = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _garbled("an event is none of Converse") from error
        if event.contentBlockDelta is not None:
            return self._take(event.contentBlockDelta)
        if event.contentBlockStart is not None:
            return self._begin(event.contentBlockStart)
        if event.contentBlockStop is not None:
            self._end(event.contentBlockStop.contentBlockIndex)
        elif event.messageStop is not None:
            if self._stop is not None:
                raise _garbled("the message ends twice")
            self._stop = event.messageStop.stopReason or ""
        elif event.metadata is not None:
            self._usage = event.metadata.usage
            self._has_metadata = True
        elif event.messageStart is None:
            _check_is_no_fault(data, self._target)
        return ()

    def finish(self) -> ReplyDone:
        """Return the whole reply.

        Raises:
            Incomplete: It was cut; the text that came is in `context["partial"]`.
            UpstreamError: It ended for a reason nobody knows.
        """
        if not self.is_done:
            missing = "its last event" if self._stop is not None else "the reason why it ended"
            raise Incomplete(f"The model's stream was cut: {missing} never came.", limit="stream", partial=self.partial)
        if any(block.kind == "call" and not block.is_done for block in self._blocks.values()):
            raise Incomplete("The model's stream was cut: a call never ended.", limit="stream", partial=self.partial)
        parts = [part for place, block in enumerate(self._blocks.values()) for part in self._build(block, place)]
        return ReplyDone(build_reply(parts, stop=self._stop, usage=self._usage, model_name=self._target.model_name))

    def _take(self, event: BlockDelta) -> Sequence[StreamItem]:
        delta = event.delta
        if delta is None:
            return ()
        block = self._blocks.get(event.contentBlockIndex)
        if block is None:
            block = self._add(event.contentBlockIndex, _name_kind(delta))
        if delta.text is not None:  # nearly every event
            if block.kind == "skipped":
                return ()
            if block.kind != "text":
                raise _garbled("words came where none can be")
            block.words.append(delta.text)
            return (TextDelta(delta.text),) if delta.text else ()
        if delta.toolUse is not None:
            return _take_input(block, delta.toolUse.input or "")
        if delta.reasoningContent is not None:
            return _take_thought(block, delta.reasoningContent)
        if delta.image is not None and delta.image.source is not None and block.kind == "image":
            block.words.append(delta.image.source.bytes or "")
        return ()

    def _begin(self, event: BlockStart) -> Sequence[StreamItem]:
        start = event.start
        if event.contentBlockIndex in self._blocks:
            raise _garbled("a piece begins twice")
        if start is None:
            return ()
        call = start.toolUse
        if call is None:
            if start.image is not None:
                self._add(event.contentBlockIndex, "image").name = start.image.format or ""
            elif start.toolResult is not None:
                self._add(event.contentBlockIndex, "skipped")
            return ()
        if call.type == SERVER_TOOL:
            self._add(event.contentBlockIndex, "skipped")
            return ()
        self._calls += 1
        check_count(self._calls)
        block = self._add(event.contentBlockIndex, "call")
        block.id = call.toolUseId or f"call-{self._calls - 1}"
        block.name = call.name or ""
        return (ToolCallDelta(block.id, block.name, ""),)

    def _end(self, index: int) -> None:
        block = self._blocks.get(index)
        if block is None:
            return  # an empty piece begins without a word
        if block.is_done:
            raise _garbled("a piece ends twice")
        block.is_done = True

    def _add(self, index: int, kind: Literal["text", "call", "thinking", "image", "skipped"]) -> _Block:
        if self._stop is not None:
            raise _garbled("a piece came after the message's end")
        if len(self._blocks) >= MAX_BLOCKS:
            raise UpstreamError(f"The model's reply has more than {MAX_BLOCKS} pieces.", limit=MAX_BLOCKS)
        block = self._blocks[index] = _Block(kind)
        return block

    def _build(self, block: _Block, place: int) -> Sequence[AnyPart]:
        words = "".join(block.words)
        if block.kind == "text":
            return (Text(text=words),) if words else ()
        if block.kind == "call":
            return (build_call(block.id, block.name, words, place=place),)
        if block.kind == "image":
            try:
                return (read_picture(block.name, words),) if words else ()
            except ValueError as error:
                raise _garbled("a picture's bytes are none") from error
        if block.kind == "skipped":
            return ()
        if block.redacted:
            return (Thinking(text="", signature="".join(block.redacted), provider=self._provider, redacted=True),)
        signature = "".join(block.signature) or None
        return (Thinking(text=words, signature=signature, provider=self._provider),) if words or signature else ()


def _name_kind(delta: Piece) -> Literal["text", "thinking", "skipped"]:
    """Name what a piece is that began without a word: a call never does."""
    if delta.toolUse is not None:
        raise _garbled("a call goes on that never began")
    if delta.text is not None:
        return "text"
    return "thinking" if delta.reasoningContent is not None else "skipped"


def _take_input(block: _Block, piece: str) -> Sequence[StreamItem]:
    if block.kind == "skipped":
        return ()
    if block.kind != "call" or block.is_done:
        raise _garbled("a call goes on that never began, or has ended")
    block.words.append(piece)
    return (ToolCallDelta(block.id, block.name, piece),)


def _take_thought(block: _Block, piece: ReasoningPiece) -> Sequence[StreamItem]:
    if block.kind != "thinking":
        raise _garbled("reasoning came where none can be")
    if piece.signature:
        block.signature.append(piece.signature)
    if piece.redactedContent:
        block.redacted.append(piece.redactedContent)
    if not piece.text:
        return ()
    block.words.append(piece.text)
    return (ThinkingDelta(piece.text),)


def _check_is_no_fault(data: bytes, target: Target) -> None:
    """Raise what an event says that is an error; one that nobody knows is skipped."""
    try:
        faults = _decode_fault(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    for name, fault in faults.items():
        if name == "error" or name.endswith("Exception"):
            raise build_stream_error(name, fault or Fault(), target)


def _garbled(why: str) -> UpstreamError:
    return UpstreamError(f"The model's stream is garbled: {why}.", retryable=True)
