"""What did the model answer, whole or piece by piece?

A whole answer is a stream of one piece, so both are gathered alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import (
    AnyPart,
    Audio,
    File,
    Image,
    Message,
    Reply,
    ReplyDone,
    StreamItem,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
)
from quorate.models.bounds import check_document
from quorate.models.providers.calls import build_call, check_count, read_raw
from quorate.models.providers.gemini.contents import write_signature
from quorate.models.providers.gemini.failure import build_stream_error
from quorate.models.providers.gemini.wire import Blob, Call, Candidate, Counts, Part, Response
from quorate.models.providers.outcome import Stop, read_count
from quorate.models.target import Target

STOPS: Mapping[str, Stop] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "SAFETY": "filtered",
    "RECITATION": "filtered",
    "BLOCKLIST": "filtered",
    "PROHIBITED_CONTENT": "filtered",
    "SPII": "filtered",
    "MODEL_ARMOR": "filtered",
    "IMAGE_SAFETY": "filtered",
    "IMAGE_PROHIBITED_CONTENT": "filtered",
    "IMAGE_RECITATION": "filtered",
}
UNKNOWN_CALL = "UNEXPECTED_TOOL_CALL"
"""The model called what it was not shown; whoever makes the calls tells it so."""
BROKEN = frozenset({
    "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", UNKNOWN_CALL, "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE", "OTHER", "LANGUAGE", "NO_IMAGE", "IMAGE_OTHER",
})  # fmt: skip
"""The model went wrong; another attempt may go well."""
MAX_PARTS = 4096
_decode = msgspec.json.Decoder(Response).decode


class _Run:
    """Pieces of text that belong together."""

    __slots__ = ("is_thought", "pieces", "signature")

    def __init__(self, *, is_thought: bool) -> None:
        self.is_thought = is_thought
        self.pieces: list[str] = []
        self.signature: str | None = None


class Decoder:
    """Gathers one reply; it has a state, and does no I/O."""

    __slots__ = ("_calls", "_finish", "_id", "_model", "_parts", "_target", "_usage", "is_done")

    def __init__(self, target: Target) -> None:
        self.is_done = False
        """Never: this format has no last event, so that only the connection's end is one."""
        self._target = target
        self._parts: list[_Run | AnyPart] = []
        self._calls = 0
        self._finish: str | None = None
        self._usage: Counts | None = None
        self._model = ""
        self._id = ""

    @property
    def partial(self) -> str:
        """The text so far."""
        return "".join(["".join(run.pieces) for run in self._parts if isinstance(run, _Run) and not run.is_thought])

    def feed(self, data: bytes) -> Sequence[StreamItem]:
        """Take one piece of the answer and return what it says.

        Raises:
            UpstreamError: It is garbled, or says that the provider failed.
            RateLimited: It says that the provider wants fewer calls.
        """
        try:
            response = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError("The model's reply is garbled: a piece is no JSON of it.", retryable=True) from error
        if response.error is not None:
            raise build_stream_error(response.error, self._target)
        if response.usage_metadata is not None:
            self._usage = response.usage_metadata
        if not self._id:
            self._id, self._model = response.response_id or "", response.model_version or ""
        if not response.candidates:
            if response.prompt_feedback is not None and response.prompt_feedback.block_reason:
                self._finish = self._finish or "SAFETY"
            return ()
        return self._take(response.candidates[0])

    def finish(self) -> ReplyDone:
        """Return the whole reply.

        Raises:
            Incomplete: It was cut; the text that came is in `context["partial"]`.
            UpstreamError: It ended for a reason nobody knows, or because the model went wrong.
        """
        stop = self._read_stop()
        parts = [self._build_text(part) if isinstance(part, _Run) else part for part in self._parts]
        return ReplyDone(
            Reply(
                message=Message(role="assistant", parts=tuple(parts)),
                usage=read_usage(self._usage),
                model=self._model,
                stop=stop,
                id=self._id,
            )
        )

    def _take(self, candidate: Candidate) -> Sequence[StreamItem]:
        if candidate.index:
            return ()
        self._finish = candidate.finish_reason or self._finish
        items: list[StreamItem] = []
        for part in (candidate.content.parts if candidate.content else None) or ():
            if part.text is not None:
                self._take_text(part, part.text, items)
            elif part.function_call is not None:
                items.append(self._take_call(part.function_call, part.thought_signature))
            elif part.inline_data is not None and not part.thought:
                self._check_room()
                self._parts.append(read_blob(part.inline_data))
        return items

    def _take_text(self, part: Part, text: str, items: list[StreamItem]) -> None:
        """Add words to the run they belong to; signed ones are one of their own, and go back as such."""
        signature = part.thought_signature
        if not text and not signature:
            return
        last = self._parts[-1] if self._parts else None
        if not isinstance(last, _Run) or last.is_thought != part.thought or last.signature or signature:
            self._check_room()
            last = _Run(is_thought=part.thought)
            last.signature = signature
            self._parts.append(last)
        last.pieces.append(text)
        if text:
            items.append(ThinkingDelta(text) if part.thought else TextDelta(text))

    def _take_call(self, call: Call, signature: str | None) -> ToolCallDelta:
        self._check_room()
        place, self._calls = self._calls, self._calls + 1
        check_count(self._calls)
        built = build_call(
            call.id or "",
            call.name or "",
            read_raw(call.args),
            place=place,
            signature=write_signature(signature, self._target),
        )
        self._parts.append(built)
        return ToolCallDelta(built.id, built.name, built.arguments)

    def _check_room(self) -> None:
        if len(self._parts) >= MAX_PARTS:
            raise UpstreamError(f"The model's reply has more than {MAX_PARTS} pieces.", limit=MAX_PARTS)

    def _build_text(self, run: _Run) -> AnyPart:
        text = "".join(run.pieces)
        if run.is_thought:
            return Thinking(text=text, signature=run.signature, provider=self._target.provider.otel)
        return Text(text=text, signature=write_signature(run.signature, self._target))

    def _read_stop(self) -> Stop:
        reason, partial = self._finish, self.partial
        if not reason:
            raise Incomplete("The model's reply has no end: it was cut.", limit="stream", partial=partial)
        stop = STOPS.get(reason)
        if reason == UNKNOWN_CALL and self._calls:
            return "tool_calls"
        if reason in BROKEN:
            raise UpstreamError(
                f"The model went wrong, the provider says (`{reason}`).", retryable=True, partial=partial
            )
        if stop is None:
            known = ", ".join(f"`{name}`" for name in STOPS)
            raise UpstreamError(
                f"The model stopped for an unknown reason {reason[:40]!r}; known: {known}.", partial=partial
            )
        return "tool_calls" if stop == "end" and self._calls else stop


def read_blob(blob: Blob) -> Image | Audio | File:
    """Read what a model drew or said aloud."""
    kind = blob.mime_type.partition("/")[0]
    if kind == "image":
        return Image(media_type=blob.mime_type, data=blob.data)
    if kind == "audio":
        return Audio(media_type=blob.mime_type, data=blob.data)
    return File(media_type=blob.mime_type, data=blob.data)


def decode(body: bytes, target: Target) -> Reply:
    """Read a whole reply; raises what `Decoder` raises."""
    check_document(body)
    decoder = Decoder(target)
    decoder.feed(body)
    return decoder.finish().reply


def read_usage(counts: Counts | None) -> Usage:
    """Read what was used up; a count that is missing or makes no sense is 0."""
    if counts is None:
        return Usage(requests=1)
    thought = read_count(counts.thoughts_token_count)
    return Usage(
        input_tokens=read_count(counts.prompt_token_count) + read_count(counts.tool_use_prompt_token_count),
        output_tokens=read_count(counts.candidates_token_count) + thought,
        cached_tokens=read_count(counts.cached_content_token_count),
        reasoning_tokens=thought,
        requests=1,
    )
