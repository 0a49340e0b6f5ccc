"""What did the model answer, once the whole answer is here?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from quorate.errors import UpstreamError
from quorate.messages import AnyPart, Message, Reply, Text, Thinking, ToolCall, Usage
from quorate.models.bounds import check_document
from quorate.models.providers.anthropic.failure import build_stream_error
from quorate.models.providers.anthropic.wire import Block, Body, Change, Counts
from quorate.models.providers.calls import build_call, check_count, read_raw
from quorate.models.providers.outcome import Stop, read_count, read_stop
from quorate.models.target import Target

STOPS: Mapping[str, Stop] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "refusal": "filtered",
}
MAX_BLOCKS = 4096
_WORD = re.compile(r"[a-z][a-z_]{1,47}")
_decode = msgspec.json.Decoder(Body).decode


def decode(body: bytes, target: Target) -> Reply:
    """Read a whole reply.

    Raises:
        UpstreamError: It is not a reply, or ends for a reason nobody knows.
        Incomplete: It has no end.
    """
    check_document(body)
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The model's reply is garbled: it is no message.", retryable=True) from error
    if found.error is not None:
        raise build_stream_error(found.error, target)
    blocks = found.content or ()
    check_blocks(len(blocks))
    parts = [part for place, block in enumerate(blocks) if (part := read_block(block, place, target)) is not None]
    return build_reply(found, parts)


def check_blocks(count: int) -> None:
    """Raise `UpstreamError` when a reply has more pieces than any should."""
    if count > MAX_BLOCKS:
        raise UpstreamError(f"The model's reply has more than {MAX_BLOCKS} pieces.", limit=MAX_BLOCKS)


def read_block(block: Block, place: int, target: Target) -> AnyPart | None:
    """Read a piece of the content; `None` for one that is empty, or of a type that is not known here."""
    match block.type:
        case "text":
            return Text(text=block.text) if block.text else None
        case "thinking":
            return Thinking(text=block.thinking or "", signature=block.signature, provider=target.provider.otel)
        case "redacted_thinking":
            return Thinking(text="", signature=block.data, provider=target.provider.otel, redacted=True)
        case "tool_use":
            return build_call(block.id or "", block.name or "", read_raw(block.input), place=place)
        case _:
            return None


def build_reply(found: Body, parts: Sequence[AnyPart]) -> Reply:
    """Build the reply from what was gathered; raises what `decode` raises."""
    message = Message(role="assistant", parts=tuple(parts))
    calls = sum(type(part) is ToolCall for part in parts)
    check_count(calls)
    return Reply(
        message=message,
        usage=read_usage(found.usage),
        model=found.model or "",
        stop=read_stop(found.stop_reason, STOPS, has_calls=calls > 0, partial=message.text),
        id=found.id or "",
        notes=read_changes(found.input_transformations),
    )


def read_changes(changes: Sequence[Change] | None) -> tuple[str, ...]:
    """Read what the provider left out of a request, as `what: why`, each once."""
    notes: dict[str, None] = {}
    for one in changes or ():
        if _WORD.fullmatch(one.type):
            why = one.reason if one.reason and _WORD.fullmatch(one.reason) else "no reason given"
            notes[f"{one.type}: {why}"] = None
    return tuple(notes)


def read_usage(counts: Counts | None) -> Usage:
    """Read what was used up; a count that is missing or makes no sense is 0."""
    if counts is None:
        return Usage(requests=1)
    cached = read_count(counts.cache_read_input_tokens)
    written = read_count(counts.cache_creation_input_tokens)
    kept, details = counts.cache_creation, counts.output_tokens_details
    return Usage(
        input_tokens=read_count(counts.input_tokens) + cached + written,
        output_tokens=read_count(counts.output_tokens),
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_long_tokens=min(written, read_count(kept.ephemeral_1h_input_tokens)) if kept else 0,
        reasoning_tokens=read_count(details.thinking_tokens) if details else 0,
        requests=1,
    )
