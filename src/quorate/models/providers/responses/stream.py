"""What does a response say, piece by piece?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import Reply, ReplyDone, StreamItem, TextDelta, ThinkingDelta, ToolCallDelta
from quorate.models.providers.calls import check_count
from quorate.models.providers.openai.failure import build_stream_error
from quorate.models.providers.openai.wire import Fault
from quorate.models.providers.responses.reply import build_reply, read_arguments
from quorate.models.providers.responses.wire import Event, Item, Response

END = b"[DONE]"
WORDS = "response.output_text.delta"
REFUSAL = "response.refusal.delta"
ARGUMENTS = "response.function_call_arguments.delta"
THOUGHTS = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})
ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
MAX_ITEMS = 1024
_decode = msgspec.json.Decoder(Event).decode


class StreamDecoder:
    """Gathers one streamed response; it has a state, and does no I/O."""

    __slots__ = ("_arguments", "_begun", "_done", "_provider", "_response", "_text", "is_done")

    def __init__(self, *, provider: str = "") -> None:
        self._provider = provider
        """Whose reasoning it is."""
        self.is_done = False
        """Whether the provider said that nothing more comes."""
        self._text: list[str] = []
        self._begun: dict[int, Item] = {}
        self._done: dict[int, Item] = {}
        self._arguments: dict[int, list[str]] = {}
        self._response: Response | None = None

    @property
    def partial(self) -> str:
        """The text so far."""
        return "".join(self._text)

    def feed(self, data: bytes) -> Sequence[StreamItem]:
        """Take the data of one event and return what it says.

        Raises:
            UpstreamError: It is garbled, or says that the provider failed.
            RateLimited: It says that the provider wants fewer calls.
        """
        if data == END:
            return ()
        try:
            event = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError("The model's stream is garbled: an event is none.", retryable=True) from error
        kind = event.type
        if kind in (WORDS, REFUSAL):
            if not event.delta:
                return ()
            self._text.append(event.delta)
            return (TextDelta(event.delta),)
        if kind == ARGUMENTS:
            return self._take_arguments(event)
        if kind in THOUGHTS:
            return (ThinkingDelta(event.delta),) if event.delta else ()
        return self._take_fact(event)

    def finish(self) -> ReplyDone:
        """Return the whole reply.

        Raises:
            Incomplete: It was cut, or pieces of it are missing; the text that came is in `context["partial"]`.
            UpstreamError: It ended for a reason nobody knows.
        """
        response = self._response
        if response is None:
            raise self._cut("its last event never came")
        items = response.output or [self._done[place] for place in sorted(self._done)]
        reply = build_reply(response, items, provider=self._provider)
        if not self._is_whole(reply):
            raise self._cut("what came in pieces is not what it says at its end")
        return ReplyDone(reply)

    def _is_whole(self, reply: Reply) -> bool:
        """Whether the pieces add up to the reply."""
        if self.partial != reply.message.text:
            return False
        given = ["".join(pieces) for _, pieces in sorted(self._arguments.items())]
        wanted = [call.arguments for call in reply.message.tool_calls]
        return len(given) <= len(wanted) and all(
            one == other or not one for one, other in zip(given, wanted, strict=False)
        )

    def _take_arguments(self, event: Event) -> Sequence[StreamItem]:
        item = self._begun.get(event.output_index)
        if item is None or item.type != "function_call":
            raise UpstreamError("The model's stream is garbled: a call goes on that never began.", retryable=True)
        if not event.delta:
            return ()
        self._arguments.setdefault(event.output_index, []).append(event.delta)
        return (ToolCallDelta(item.call_id or "", item.name or "", event.delta),)

    def _take_fact(self, event: Event) -> Sequence[StreamItem]:
        kind = event.type
        if kind == "error" or event.error is not None:
            raise build_stream_error(event.error or Fault(message=event.message, code=event.code))
        if kind in ENDS:
            self._take_end(event)
        elif kind == "response.output_item.added" and event.item is not None:
            if len(self._begun) >= MAX_ITEMS:
                raise UpstreamError(f"The model's reply has more than {MAX_ITEMS} items.", limit=MAX_ITEMS)
            self._begun[event.output_index] = event.item
            if event.item.type == "function_call":
                check_count(len(self._arguments) + 1)
                self._arguments.setdefault(event.output_index, [])
                return (ToolCallDelta(event.item.call_id or "", event.item.name or "", ""),)
        elif kind == "response.output_item.done" and event.item is not None:
            if len(self._done) >= MAX_ITEMS:
                raise UpstreamError(f"The model's reply has more than {MAX_ITEMS} items.", limit=MAX_ITEMS)
            self._done[event.output_index] = event.item
            return self._take_whole(event.output_index, event.item)
        elif kind == "response.reasoning_summary_part.added" and event.summary_index:
            return (ThinkingDelta("\n\n"),)
        return ()

    def _take_whole(self, place: int, item: Item) -> Sequence[StreamItem]:
        """Take an item at its end; a call whose arguments did not come in pieces gives them now."""
        if item.type != "function_call" or self._arguments.get(place) or not item.arguments:
            return ()
        arguments = read_arguments(item)
        self._arguments[place] = [arguments]
        return (ToolCallDelta(item.call_id or "", item.name or "", arguments),)

    def _take_end(self, event: Event) -> None:
        response = event.response
        if response is None:
            raise UpstreamError("The model's stream is garbled: its last event holds no response.", retryable=True)
        if response.status == "failed" or response.error is not None:
            raise build_stream_error(response.error or Fault())
        self._response = response
        self.is_done = True

    def _cut(self, why: str) -> Incomplete:
        return Incomplete(f"The model's stream was cut: {why}.", limit="stream", partial=self.partial)
