"""What did the model on Bedrock answer, once the whole answer is here?"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence

import msgspec

from quorate.errors import UpstreamError
from quorate.messages import AnyPart, Image, Message, Reply, Text, Thinking, ToolCall, Usage
from quorate.models.bounds import check_document
from quorate.models.providers.bedrock.wire import Block, Body, Counts, Picture, Reasoning, ToolUse
from quorate.models.providers.calls import build_call, check_count
from quorate.models.providers.outcome import Stop, read_count, read_stop

STOPS: Mapping[str, Stop] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "filtered",
    "content_filtered": "filtered",
}
MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})
LONG = "1h"
SERVER_TOOL = "server_tool_use"
_decode_body = msgspec.json.Decoder(Body).decode


def decode(body: bytes, *, model_name: str, provider: str) -> Reply:
    """Read a whole reply.

    Raises:
        UpstreamError: It is not a reply, or ends for a reason nobody knows.
        Incomplete: It has no end.
    """
    check_document(body)
    try:
        found = _decode_body(body)
        message = found.output.message if found.output is not None else None
        blocks = message.content if message is not None else None
        parts = [part for place, block in enumerate(blocks or ()) for part in _read_block(block, place, provider)]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UpstreamError("The model's reply is garbled: it is no answer of Converse.", retryable=True) from error
    if blocks is None:
        raise UpstreamError("The model's reply holds no message.", retryable=True)
    return build_reply(parts, stop=found.stopReason, usage=found.usage, model_name=model_name)


def build_reply(parts: Sequence[AnyPart], *, stop: str | None, usage: Counts | None, model_name: str) -> Reply:
    """Build the reply from its parts; raises what `decode` raises."""
    said = "".join([part.text for part in parts if isinstance(part, Text)])
    calls = sum(isinstance(part, ToolCall) for part in parts)
    check_count(calls)
    if stop in MALFORMED:
        raise UpstreamError(f"The model wrote what its provider could not read (`{stop}`).", retryable=True)
    return Reply(
        message=Message(role="assistant", parts=tuple(parts)),
        usage=read_usage(usage),
        model=model_name,
        stop=read_stop(stop, STOPS, has_calls=calls > 0, partial=said),
    )


def read_usage(counts: Counts | None) -> Usage:
    """Read what was used up; what the cache gave and took is not among Bedrock's own count of the input."""
    if counts is None:
        return Usage(requests=1)
    long = [one for one in counts.cacheDetails or () if one.ttl == LONG]
    cached, written = read_count(counts.cacheReadInputTokens), read_count(counts.cacheWriteInputTokens)
    return Usage(
        input_tokens=read_count(counts.inputTokens) + cached + written,
        output_tokens=read_count(counts.outputTokens),
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_long_tokens=min(written, sum(read_count(one.inputTokens) for one in long)),
        requests=1,
    )


def read_picture(format_: str | None, data: str) -> Image:
    """Read a picture; raises `ValueError` when its bytes are none."""
    return Image(media_type=f"image/{(format_ or 'png')[:16]}", data=b64decode(data, validate=True))


def _read_block(block: Block, place: int, provider: str) -> Sequence[AnyPart]:
    if block.text is not None:
        return (Text(text=block.text),) if block.text else ()
    if block.toolUse is not None:
        return _read_call(block.toolUse, place)
    if block.reasoningContent is not None:
        return _read_thinking(block.reasoningContent, provider)
    if block.citationsContent is not None:
        words = "".join([said.text or "" for said in block.citationsContent.content or ()])
        return (Text(text=words),) if words else ()
    return _read_image(block.image) if block.image is not None else ()


def _read_call(call: ToolUse, place: int) -> Sequence[ToolCall]:
    if call.type == SERVER_TOOL:
        return ()
    return (build_call(call.toolUseId or "", call.name or "", bytes(call.input).decode(), place=place),)


def _read_thinking(thought: Reasoning, provider: str) -> Sequence[Thinking]:
    if thought.redactedContent:
        return (Thinking(text="", signature=thought.redactedContent, provider=provider, redacted=True),)
    words = thought.reasoningText
    if words is None or not (words.text or words.signature):
        return ()
    return (Thinking(text=words.text or "", signature=words.signature, provider=provider),)


def _read_image(picture: Picture) -> Sequence[Image]:
    data = picture.source.bytes if picture.source is not None else None
    return (read_picture(picture.format, data),) if data else ()
