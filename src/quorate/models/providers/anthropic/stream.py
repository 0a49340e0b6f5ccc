"""What did the model answer, piece by piece?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import AnyPart, ReplyDone, StreamItem, Text, TextDelta, ThinkingDelta, ToolCallDelta
from quorate.models.providers.anthropic.failure import build_stream_error
from quorate.models.providers.anthropic.reply import build_reply, check_blocks, read_block
from quorate.models.providers.anthropic.wire import Block, Body, Counts, Delta, Event
from quorate.models.providers.calls import build_call, check_count, read_raw
from quorate.models.target import Target

_decode = msgspec.json.Decoder(Event).decode


class _Gathered:
    """A block under way."""

    __slots__ = ("block", "call_id", "pieces", "signature")

    def __init__(self, block: Block, call_id: str) -> None:
        self.block = block
        self.call_id = call_id
        self.pieces: list[str] = []
        self.signature: list[str] = []


class StreamDecoder:
    """Gathers one streamed reply; it has a state, and does no I/O."""

    __slots__ = ("_blocks", "_body", "_calls", "_target", "_usage", "is_done")

    def __init__(self, target: Target) -> None:
        self.is_done = False
        """Whether the provider said that nothing more comes."""
        self._target = target
        self._body: Body | None = None
        self._blocks: dict[int, _Gathered] = {}
        self._calls = 0
        self._usage: Counts | None = None

    @property
    def partial(self) -> str:
        """The text so far."""
        return "".join(["".join(one.pieces) for one in self._blocks.values() if one.block.type == "text"])

    def feed(self, data: bytes) -> Sequence[StreamItem]:
        """Take the data of one event and return what it says; events that are not known are skipped.

        Raises:
            UpstreamError: It is garbled, or says that the provider failed.
            RateLimited: It says that the provider wants fewer calls.
        """
        try:
            event = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError("The model's stream is garbled: an event is no JSON of it.", retryable=True) from error
        if event.type == "content_block_delta":
            return self._take_delta(event.index, event.delta)
        match event.type:
            case "content_block_start":
                return self._begin_block(event.index, event.content_block)
            case "message_start":
                self._begin(event.message)
            case "message_delta":
                self._take_end(event)
            case "message_stop":
                self.is_done = True
            case "error":
                raise build_stream_error(event.error, self._target) if event.error else _build_garbled("an error")
            case _:
                pass
        return ()

    def finish(self) -> ReplyDone:
        """Return the whole reply.

        Raises:
            Incomplete: It was cut; the text that came is in `context["partial"]`.
            UpstreamError: It ended for a reason nobody knows.
        """
        body = self._body
        if not self.is_done or body is None or body.stop_reason is None:
            missing = "its last event" if body is not None and body.stop_reason else "the reason why it ended"
            raise Incomplete(f"The model's stream was cut: {missing} never came.", limit="stream", partial=self.partial)
        body.usage = self._usage
        built = [self._build_part(place, one) for place, one in enumerate(self._blocks.values())]
        return ReplyDone(build_reply(body, [part for part in built if part is not None]))

    def _begin(self, body: Body | None) -> None:
        if body is None or self._body is not None:
            raise _build_garbled("its beginning")
        body.stop_reason = None
        self._body, self._usage = body, body.usage

    def _begin_block(self, index: int, block: Block | None) -> Sequence[StreamItem]:
        if block is None or self._body is None or index in self._blocks:
            raise _build_garbled("the beginning of a piece")
        check_blocks(len(self._blocks) + 1)
        call_id = block.id or f"call-{len(self._blocks)}"
        gathered = self._blocks[index] = _Gathered(block, call_id)
        if block.type == "tool_use":
            self._calls += 1
            check_count(self._calls)
            whole = read_raw(block.input)
            arguments = "" if whole == "{}" else whole  # some servers give the arguments at once
            if arguments:
                gathered.pieces.append(arguments)
            return (ToolCallDelta(call_id, block.name or "", arguments),)
        if block.type == "text" and block.text:
            gathered.pieces.append(block.text)
            return (TextDelta(block.text),)
        return ()

    def _take_delta(self, index: int, delta: Delta | None) -> Sequence[StreamItem]:
        gathered = self._blocks.get(index)
        if gathered is None or delta is None:
            raise _build_garbled("a piece")
        if delta.text:
            if gathered.block.type != "text":
                raise _build_garbled("a piece of text")
            gathered.pieces.append(delta.text)
            return (TextDelta(delta.text),)
        if delta.partial_json is not None:
            gathered.pieces.append(delta.partial_json)
            if gathered.block.type == "tool_use":
                return (ToolCallDelta(gathered.call_id, gathered.block.name or "", delta.partial_json),)
        elif delta.thinking:
            gathered.pieces.append(delta.thinking)
            return (ThinkingDelta(delta.thinking),)
        elif delta.signature:
            gathered.signature.append(delta.signature)
        return ()

    def _take_end(self, event: Event) -> None:
        if self._body is None:
            raise _build_garbled("its end")
        if event.delta is not None:
            self._body.stop_reason = event.delta.stop_reason or self._body.stop_reason
        self._body.input_transformations = event.input_transformations or self._body.input_transformations
        if event.usage is not None:
            self._usage = _join(self._usage, event.usage)

    def _build_part(self, place: int, gathered: _Gathered) -> AnyPart | None:
        """Build a part from its block; blocks of a type that is not known are skipped."""
        block, text = gathered.block, "".join(gathered.pieces)
        if block.type == "text":
            return Text(text=text) if text else None
        if block.type == "tool_use":
            return build_call(gathered.call_id, block.name or "", text, place=place)
        if block.type == "thinking":
            block.thinking = (block.thinking or "") + text
            block.signature = "".join(gathered.signature) or block.signature or None
        return read_block(block, place, self._target)


def _join(old: Counts | None, new: Counts) -> Counts:
    """Join two counts of the same answer: what the later one leaves out is as before."""
    if old is None:
        return new
    for name in new.__struct_fields__:
        if getattr(new, name) is None:
            setattr(new, name, getattr(old, name))
    return new


def _build_garbled(what: str) -> UpstreamError:
    return UpstreamError(f"The model's stream is garbled: {what} makes no sense where it is.", retryable=True)
