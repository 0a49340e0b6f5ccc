"""How is an answer written as a chat completion, whole or in pieces?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import msgspec

from quorate.messages import Reply, ReplyDone, TextDelta, Thinking, ThinkingDelta, ToolCall, ToolCallDelta, Usage
from quorate.server.problems import Problem
from quorate.server.speech import Said

Json = dict[str, object]
FINISH: Mapping[str, str] = {
    "end": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "filtered": "content_filter",
}
DONE = b"data: [DONE]\n\n"
BEAT = b": still there\n\n"
TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}
"""What OpenAI calls the kinds of errors; all others are `api_error`."""
_encode = msgspec.json.Encoder().encode


def build_completion(reply: Reply, *, id: str, model: str, created: float) -> bytes:
    """Write an answer in one piece."""
    text = reply.message.text
    message: Json = {"role": "assistant", "content": text or None, "refusal": None, "annotations": []}
    calls: list[Json] = []
    thoughts: list[str] = []
    for part in reply.message.parts:
        if type(part) is ToolCall:
            calls.append(_build_call(part))
        elif type(part) is Thinking:
            thoughts.append(part.text)
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
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
            "service_tier": None,
            "system_fingerprint": None,
        }
    )


class Chunks:
    """Writes the pieces of one streamed answer."""

    def __init__(self, *, id: str, model: str, created: float, with_usage: bool) -> None:
        self._common: Json = {"id": id, "object": "chat.completion.chunk", "created": int(created), "model": model}
        self._with_usage = with_usage
        self._places: dict[str, int] = {}
        # Most of what a stream writes are words: what stands around them is written once.
        before, _, after = self._write({"content": ""}).partition(b'"content":""')
        self._before, self._after = before + b'"content":', after

    async def write(self, said: Said) -> AsyncGenerator[bytes]:
        """Write what is said, as frames; the first ones come with the first piece."""
        has_begun = False
        async with aclosing(said) as items:
            async for item in items:
                if not has_begun:
                    has_begun = True
                    yield self._write({"role": "assistant", "content": ""})
                if type(item) is TextDelta:
                    yield self._before + _encode(item.text) + self._after
                elif isinstance(item, ReplyDone):
                    for frame in self._write_end(item.reply):
                        yield frame
                else:
                    yield self._write_delta(item)

    def _write_delta(self, item: TextDelta | ThinkingDelta | ToolCallDelta) -> bytes:
        if not isinstance(item, ToolCallDelta):
            return self._write({"reasoning_content" if isinstance(item, ThinkingDelta) else "content": item.text})
        known = item.call_id in self._places
        place = self._places.setdefault(item.call_id, len(self._places))
        function: Json = {"arguments": item.arguments}
        call: Json = {"index": place, "function": function}
        if not known:
            function["name"] = item.name
            call |= {"id": item.call_id, "type": "function"}
        return self._write({"tool_calls": [call]})

    def _write_end(self, reply: Reply) -> list[bytes]:
        """Write why it ends, what it used where that is wanted, and that it has ended."""
        frames = [self._write_call(call) for call in reply.message.tool_calls if self._lacks(call)]
        frames.append(self._write({}, finish=FINISH[reply.stop]))
        if self._with_usage:
            frames.append(_frame({**self._common, "choices": [], "usage": build_usage(reply.usage)}))
        return [*frames, DONE]

    def _lacks(self, call: ToolCall) -> bool:
        """Whether a call was not told while it was made, or has to bear something that is known at the end."""
        return call.id not in self._places or call.signature is not None

    def _write_call(self, call: ToolCall) -> bytes:
        known = call.id in self._places
        place = self._places.setdefault(call.id, len(self._places))
        whole = _build_call(call)
        if known:  # only what is new: clients put the pieces together
            whole = {"extra_content": whole["extra_content"]}
        return self._write({"tool_calls": [{"index": place, **whole}]})

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
    return _encode({"object": "list", "data": [_build_model(name, created) for name in names]})


def build_model(name: str, *, created: float) -> bytes:
    """Write one model."""
    return _encode(_build_model(name, created))


def _build_model(name: str, created: float) -> Json:
    return {"id": name, "object": "model", "created": int(created), "owned_by": "quorate"}


def write_error(problem: Problem, error: Exception) -> bytes:
    """Write why it did not work, and which field of the request is to blame where one is."""
    context: Mapping[str, object] = getattr(error, "context", None) or {}
    return _encode({"error": _build_error(problem, context.get("param"))})


def frame_error(problem: Problem) -> bytes:
    """Write why a stream breaks off; who reads it knows that it is not whole, as the end is missing."""
    return _frame({"error": _build_error(problem, None)})


def _build_error(problem: Problem, param: object) -> Json:
    kind = TYPES.get(problem.status, "api_error")
    return {"message": problem.detail, "type": kind, "param": param, "code": problem.code}


def _build_call(call: ToolCall) -> Json:
    built: Json = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    if call.signature is not None:
        built["extra_content"] = {"quorate": {"signature": call.signature}}
    return built


def _frame(chunk: Json) -> bytes:
    return b"data: " + _encode(chunk) + b"\n\n"
