"""How is an answer written as a message, whole or as the events that make it up?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec

from quorate.messages import Reply, Usage
from quorate.server.blocks import Begun, Block, Ended, Grown, Step, list_blocks, read_blocks
from quorate.server.problems import Problem
from quorate.server.speech import Said

Json = dict[str, object]
STOPS: Mapping[str, str] = {
    "end": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "filtered": "refusal",
}
TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""What Anthropic calls the kinds of errors; all others are `api_error`."""
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
GROWS: Mapping[str, tuple[str, str]] = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "call": ("input_json_delta", "partial_json"),
}
"""By the kind of a part, how a piece of it is called, and the field that it is in."""
_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def build_message(reply: Reply, *, id: str, model: str) -> bytes:
    """Write an answer in one piece."""
    content = [_build_block(block) for block in list_blocks(reply.message)]
    return _encode({**_build_open(id, model), **_build_end(reply), "content": content})


class Events:
    """Writes the events of one streamed answer.

    Args:
        id: The answer's name.
        model: Whose it is, as it was asked for.
    """

    def __init__(self, *, id: str, model: str) -> None:
        self._open = _build_open(id, model)
        self._around: tuple[bytes, bytes] = (b"", b"")
        """What stands around a piece of the part that grows."""

    async def write(self, said: Said) -> AsyncGenerator[bytes]:
        """Write what is said, as frames; the first ones come with the first piece."""
        has_begun = False
        async with aclosing(read_blocks(said)) as steps:
            async for step in steps:
                if not has_begun:
                    has_begun = True
                    yield _frame("message_start", message={**self._open, "content": [], "usage": build_usage(Usage())})
                    yield PING
                if isinstance(step, Grown):
                    yield self._around[0] + _encode(step.text) + self._around[1]
                else:
                    yield b"".join(self._write_step(step))

    def _write_step(self, step: Step) -> Iterator[bytes]:
        if isinstance(step, Begun):
            block, place = step.block, step.block.place
            empty = Block(place=place, kind=block.kind, call_id=block.call_id, name=block.name)
            shown = _build_block(block if block.redacted else empty)
            yield _frame("content_block_start", index=place, content_block=shown)
            kind, field = GROWS[block.kind]
            delta = _frame("content_block_delta", index=place, delta={"type": kind, field: ""})
            self._around = delta[:-6], delta[-4:]
        elif isinstance(step, Ended):
            if step.block.kind == "thinking" and step.block.seal and not step.block.redacted:
                delta = {"type": "signature_delta", "signature": step.block.seal}
                yield _frame("content_block_delta", index=step.block.place, delta=delta)
            yield _frame("content_block_stop", index=step.block.place)
        elif not isinstance(step, Grown):
            end = _build_end(step.reply)
            usage = end.pop("usage")
            yield _frame("message_delta", delta=end, usage=usage)
            yield _frame("message_stop")


def build_usage(usage: Usage) -> Json:
    """Write what was used; what comes from a cache, or goes into it, is counted apart."""
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


def build_models(names: Sequence[str], *, created: float, has_more: bool) -> bytes:
    """Write a page of the models that there are."""
    rows = [_build_model(name, created) for name in names]
    ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return _encode({"data": rows, "has_more": has_more, **ends})


def build_model(name: str, *, created: float) -> bytes:
    """Write one model."""
    return _encode(_build_model(name, created))


def build_count(tokens: int) -> bytes:
    """Write how many tokens something has."""
    return _encode({"input_tokens": tokens})


def write_error(problem: Problem, _: Exception) -> bytes:
    """Write why it did not work."""
    return _encode(_build_error(problem))


def frame_error(problem: Problem) -> bytes:
    """Write why a stream breaks off; clients raise it."""
    return b"event: error\ndata: " + _encode(_build_error(problem)) + b"\n\n"


def _build_error(problem: Problem) -> Json:
    error = {"type": TYPES.get(problem.status, "api_error"), "message": problem.detail, "code": problem.code}
    return {"type": "error", "error": error, "request_id": problem.request_id}


def _build_open(id: str, model: str) -> Json:
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _build_end(reply: Reply) -> Json:
    return {"stop_reason": STOPS[reply.stop], "stop_sequence": None, "usage": build_usage(reply.usage)}


def _build_block(block: Block) -> Json:
    if block.kind == "text":
        return {"type": "text", "text": block.text, "citations": None}
    if block.kind == "call":
        return {"type": "tool_use", "id": block.call_id, "name": block.name, "input": _read_arguments(block.pieces)}
    if block.redacted:
        return {"type": "redacted_thinking", "data": block.seal}
    return {"type": "thinking", "thinking": block.text, "signature": block.seal}


def _read_arguments(pieces: Iterable[str]) -> object:
    """Read a call's arguments, which are an object in this protocol, whatever the model wrote."""
    text = "".join(pieces)
    if not text.strip():
        return {}
    try:
        return _decode_object(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {"INVALID_JSON": text}


def _build_model(name: str, created: float) -> Json:
    moment = datetime.fromtimestamp(int(created), UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": name, "display_name": name, "created_at": moment, "lifecycle": "active"}


def _frame(kind: str, **facts: object) -> bytes:
    return f"event: {kind}\ndata: ".encode() + _encode({"type": kind, **facts}) + b"\n\n"
