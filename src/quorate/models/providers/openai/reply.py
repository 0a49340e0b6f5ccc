"""What did the model answer, once the whole answer is here?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from quorate.errors import UpstreamError
from quorate.messages import AnyPart, Message, Reply, Text, Thinking, ToolCall, Usage
from quorate.models.bounds import check_document
from quorate.models.providers.calls import build_call, check_count
from quorate.models.providers.openai.failure import build_stream_error
from quorate.models.providers.openai.wire import Call, Chunk, Counts, Detail, Piece
from quorate.models.providers.outcome import Stop, read_count, read_stop

STOPS: Mapping[str, Stop] = {
    "stop": "end",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "filtered",
    "eos": "end",
    "model_length": "length",
}
FAILURES = frozenset({"error", "abort", "insufficient_system_resource"})
"""Why an answer stopped, where the server failed."""
_decode_chunk = msgspec.json.Decoder(Chunk).decode
_encode = msgspec.json.Encoder().encode


def decode(body: bytes, *, provider: str = "") -> Reply:
    """Read a whole reply; `provider` is whose reasoning it holds.

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
    text, thought = read_content(message.content)
    thought += message.reasoning_content or message.reasoning or ""
    return build_reply(
        chunk,
        text=(text, message.refusal or ""),
        thoughts=build_thoughts(thought, message.reasoning_details or (), provider),
        calls=[read_call(call, place) for place, call in enumerate(message.tool_calls or ())],
        finish=choice.finish_reason,
    )


def read_content(content: str | list[Piece] | None) -> tuple[str, str]:
    """Read what was said, and what was thought, where both come in pieces."""
    if not isinstance(content, list):
        return content or "", ""
    said, thought = "", ""
    for piece in content:
        if isinstance(piece.thinking, list):
            thought += "".join([one.text or "" for one in piece.thinking])
        else:
            thought += piece.thinking or ""
            said += piece.text or ""
    return said, thought


def build_thoughts(words: str, details: Sequence[Detail], provider: str) -> list[Thinking]:
    """Build the reasoning: in parts that are given back as they came, or as words alone."""
    if details:
        return [
            Thinking(
                text=detail.text or detail.summary or "",
                signature=_encode(detail).decode(),
                id=detail.id or "",
                provider=provider,
                redacted=detail.data is not None,
            )
            for detail in details
        ]
    return [Thinking(text=words, provider=provider)] if words else []


def decode_chunk(data: bytes) -> Chunk:
    """Read one JSON document of the reply.

    Raises:
        UpstreamError: It is none, or nests too deep; what it says is not repeated.
    """
    check_document(data)
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


def build_reply(
    chunk: Chunk,
    *,
    text: tuple[str, str],
    thoughts: Sequence[Thinking],
    calls: Sequence[ToolCall],
    finish: str | None,
) -> Reply:
    """Build the reply from what was gathered; `text` is what the model said, and what it refused with."""
    check_count(len(calls))
    said, refused = text
    parts: list[AnyPart] = list(thoughts)
    if said or refused:
        parts.append(Text(text=said + refused))
    parts += calls
    if finish in FAILURES and not refused:
        raise UpstreamError(f"The model's provider failed in the middle ({finish}).", retryable=True, partial=said)
    return Reply(
        message=Message(role="assistant", parts=tuple(parts)),
        usage=read_usage(chunk.usage),
        model=chunk.model or "",
        stop="filtered" if refused else read_stop(finish, STOPS, has_calls=bool(calls), partial=said),
        id=chunk.id or "",
    )


def read_usage(counts: Counts | None) -> Usage:
    """Read what was used up; a count that is missing or makes no sense is 0."""
    if counts is None:
        return Usage(requests=1)
    read, written = counts.prompt_tokens_details, counts.completion_tokens_details
    asked, said = read_count(counts.prompt_tokens), read_count(counts.completion_tokens)
    cached = (read.cached_tokens if read else 0) or counts.cached_tokens or counts.prompt_cache_hit_tokens or 0
    return Usage(
        input_tokens=asked,
        # Some count reasoning in the total alone: all that was not asked was written, and is paid for.
        output_tokens=max(said, read_count(counts.total_tokens) - asked),
        cached_tokens=read_count(cached),
        cache_write_tokens=read_count(read.cache_write_tokens) if read else 0,
        reasoning_tokens=read_count(written.reasoning_tokens) if written else 0,
        requests=1,
    )
