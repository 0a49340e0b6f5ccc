"""What did the model answer, once the whole answer is here?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import AnyPart, Message, Reply, Text, Thinking, ToolCall, Usage
from quorate.models.providers.openai.failure import build_stream_error
from quorate.models.providers.openai.wire import Call, Chunk, Counts

Stop = Literal["end", "tool_calls", "length", "filtered"]
STOPS: Mapping[str, Stop] = {
    "stop": "end",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "filtered",
}
MAX_CALLS = 128
MAX_NAME = 256
_decode_chunk = msgspec.json.Decoder(Chunk).decode


def decode(body: bytes) -> Reply:
    """Read a whole reply.

    Raises:
        UpstreamError: It is not a reply, or ends for a reason nobody knows.
        Incomplete: It has no end.
    """
    chunk = decode_chunk(body)
    if chunk.error is not None:
        raise build_stream_error(chunk.error)
    choice = chunk.choices[0] if chunk.choices else None
    if choice is None or choice.message is None:
        raise UpstreamError("The model's reply holds no message.", retryable=True)
    message = choice.message
    return build_reply(
        chunk,
        text=(message.content or "", message.refusal or ""),
        thinking=message.reasoning_content or message.reasoning or "",
        calls=[read_call(call, place) for place, call in enumerate(message.tool_calls or ())],
        finish=choice.finish_reason,
    )


def decode_chunk(data: bytes) -> Chunk:
    """Read one JSON document of the reply.

    Raises:
        UpstreamError: It is none, or nests too deep; what it says is not repeated.
    """
    try:
        return _decode_chunk(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The model's reply is garbled: it is no chat completion.", retryable=True) from error


def read_call(call: Call, place: int) -> ToolCall:
    """Read a tool call; its arguments stay text, as the tool checks them.

    Raises:
        UpstreamError: It names no tool.
    """
    function = call.function
    name, arguments = (function.name or "", function.arguments or "") if function else ("", "")
    return build_call(call.id or "", name, arguments, place=place)


def build_call(id_: str, name: str, arguments: str, *, place: int) -> ToolCall:
    """Build a tool call, with an id of our own where the server gave none."""
    if not name or len(name) > MAX_NAME or len(id_) > MAX_NAME:
        raise UpstreamError("The model's reply is garbled: a tool call has no usable name.", retryable=True)
    return ToolCall(id=id_ or f"call-{place}", name=name, arguments=arguments if arguments.strip() else "{}")


def build_reply(
    chunk: Chunk, *, text: tuple[str, str], thinking: str, calls: Sequence[ToolCall], finish: str | None
) -> Reply:
    """Build the reply from what was gathered; `text` is what the model said, and what it refused with."""
    said, refused = text
    parts: list[AnyPart] = []
    if thinking:
        parts.append(Thinking(text=thinking))
    if said or refused:
        parts.append(Text(text=said + refused))
    parts += calls
    return Reply(
        message=Message(role="assistant", parts=tuple(parts)),
        usage=read_usage(chunk.usage),
        model=chunk.model or "",
        stop="filtered" if refused else read_stop(finish, has_calls=bool(calls), has_text=bool(said), partial=said),
        id=chunk.id or "",
    )


def read_stop(finish: str | None, *, has_calls: bool, has_text: bool, partial: str) -> Stop:
    """Say why the model stopped.

    Raises:
        Incomplete: It did not say so.
        UpstreamError: It gave a reason nobody knows, or stopped for calls it did not make.
    """
    if not finish:
        raise Incomplete("The model's reply has no end: it was cut.", limit="stream", partial=partial)
    stop = STOPS.get(finish)
    if stop is None:
        known = ", ".join(f"`{name}`" for name in STOPS)
        raise UpstreamError(
            f"The model stopped for an unknown reason {finish[:40]!r}; known: {known}.", partial=partial
        )
    if stop == "end" and has_calls:
        return "tool_calls"
    if stop == "tool_calls" and not has_calls:
        if not has_text:
            raise UpstreamError("The model stopped to call tools and named none.", retryable=True)
        return "end"
    return stop


def read_usage(counts: Counts | None) -> Usage:
    """Read what was used up; a count that is missing or makes no sense is 0."""
    if counts is None:
        return Usage(requests=1)
    read, written = counts.prompt_tokens_details, counts.completion_tokens_details
    return Usage(
        input_tokens=max(0, counts.prompt_tokens or 0),
        output_tokens=max(0, counts.completion_tokens or 0),
        cached_tokens=max(0, read.cached_tokens or 0) if read else 0,
        cache_write_tokens=max(0, read.cache_write_tokens or 0) if read else 0,
        reasoning_tokens=max(0, written.reasoning_tokens or 0) if written else 0,
        requests=1,
    )
