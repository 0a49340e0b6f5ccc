"""How is an answer written as a chat completion, whole or in pieces?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from quorate.messages import Reply, TextDelta, ThinkingDelta, ToolCall, ToolCallDelta, Usage

Json = dict[str, object]
FINISH: Mapping[str, str] = {
    "end": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "filtered": "content_filter",
}
DONE = b"data: [DONE]\n\n"
TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
"""What OpenAI calls the kinds of errors; all others are `api_error`."""
_encode = msgspec.json.Encoder().encode


def build_completion(reply: Reply, *, id: str, model: str, created: float) -> bytes:
    """Write an answer in one piece."""
    message: Json = {"role": "assistant", "content": reply.message.text or None, "refusal": None}
    calls = [_build_call(part) for part in reply.message.parts if isinstance(part, ToolCall)]
    if calls:
        message["tool_calls"] = calls
    choice: Json = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[reply.stop]}
    return _encode(
        {
            "id": id,
            "object": "chat.completion",
            "created": int(created),
            "model": model,
            "choices": [choice],
            "usage": build_usage(reply.usage),
        }
    )


class Chunks:
    """Writes the pieces of one streamed answer."""

    def __init__(self, *, id: str, model: str, created: float, with_usage: bool) -> None:
        self._common: Json = {"id": id, "object": "chat.completion.chunk", "created": int(created), "model": model}
        self._with_usage = with_usage
        self._places: dict[str, int] = {}

    def begin(self) -> bytes:
        """Write the first piece: who speaks."""
        return self._write({"role": "assistant", "content": ""})

    def write(self, item: TextDelta | ThinkingDelta | ToolCallDelta) -> bytes:
        """Write some more."""
        if isinstance(item, TextDelta):
            return self._write({"content": item.text})
        if isinstance(item, ThinkingDelta):
            return self._write({"reasoning_content": item.text})
        known = item.call_id in self._places
        place = self._places.setdefault(item.call_id, len(self._places))
        function: Json = {"arguments": item.arguments}
        call: Json = {"index": place, "function": function}
        if not known:
            function["name"] = item.name
            call |= {"id": item.call_id, "type": "function"}
        return self._write({"tool_calls": [call]})

    def end(self, stop: str, usage: Usage) -> list[bytes]:
        """Write why it ends, what it used where that is wanted, and that it has ended."""
        frames = [self._write({}, finish=FINISH[stop])]
        if self._with_usage:
            frames.append(_frame({**self._common, "choices": [], "usage": build_usage(usage)}))
        return [*frames, DONE]

    def _write(self, delta: Json, *, finish: str | None = None) -> bytes:
        choice: Json = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk: Json = {**self._common, "choices": [choice]}
        return _frame({**chunk, "usage": None} if self._with_usage else chunk)


def build_usage(usage: Usage) -> Json:
    """Write what was used."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def build_models(names: Sequence[str], *, created: float) -> bytes:
    """Write which models there are."""
    rows = [{"id": name, "object": "model", "created": int(created), "owned_by": "quorate"} for name in names]
    return _encode({"object": "list", "data": rows})


def build_error(status: int, code: str, message: str) -> bytes:
    """Write why it did not work."""
    error = {"message": message, "type": TYPES.get(status, "api_error"), "param": None, "code": code}
    return _encode({"error": error})


def frame_error(status: int, code: str, message: str) -> bytes:
    """Write why a stream breaks off; who reads it knows that it is not whole, as the end is missing."""
    return b"data: " + build_error(status, code, message) + b"\n\n"


def _build_call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _frame(chunk: Json) -> bytes:
    return b"data: " + _encode(chunk) + b"\n\n"
