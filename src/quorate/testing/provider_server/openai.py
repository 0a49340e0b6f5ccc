"""How are chat completions served, and vectors and models in the same style?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from quorate.messages import ToolCall, Usage
from quorate.testing.provider_server.script import Answer, Json, Sent, choose_vectors, split

stream_type = "text/event-stream"
_encode = msgspec.json.Encoder().encode


def is_allowed(sent: Sent, key: str) -> bool:
    """Whether a request bears the key, in either of the two ways there are."""
    return sent.headers.get("authorization") == f"Bearer {key}" or sent.headers.get("api-key") == key


def is_stream(sent: Sent) -> bool:
    """Whether a request asks for a stream."""
    return sent.body.get("stream") is True


def build_body(answer: Answer, sent: Sent) -> bytes:
    """Build an answer in one piece: a completion, vectors, or the models there are."""
    if sent.path.endswith("/embeddings"):
        return build_vectors(answer, sent)
    if sent.method == "GET":
        return build_models(answer)
    return build_completion(answer, model=str(sent.body.get("model", "")))


def build_frames(answer: Answer, sent: Sent) -> Sequence[bytes]:
    """Build a streamed answer."""
    options = sent.body.get("stream_options")
    with_usage = isinstance(options, dict) and cast("Json", options).get("include_usage") is True
    return build_events(answer, model=str(sent.body.get("model", "")), with_usage=with_usage)


def build_error(status: int, code: str) -> bytes:
    """Build the body of a refusal."""
    error = {"message": f"The test server refuses: {code}.", "type": "invalid_request_error", "code": code}
    return _encode({"error": {**error, "param": None}})


def build_fault(code: str) -> bytes:
    """Build an event that says that the provider failed."""
    return b"data: " + build_error(500, code) + b"\n\n"


def build_vectors(answer: Answer, sent: Sent) -> bytes:
    """Build an answer of vectors, the last one first: each says whose it is."""
    asked = sent.body.get("input")
    texts = cast("Sequence[str]", asked) if isinstance(asked, list) else [str(asked)]
    rows = [
        {"object": "embedding", "index": place, "embedding": vector}
        for place, vector in enumerate(choose_vectors(answer, texts))
    ]
    body: Json = {"object": "list", "data": rows[::-1], "model": sent.body.get("model")}
    if answer.usage is not None:
        body["usage"] = {"prompt_tokens": answer.usage.input_tokens, "total_tokens": answer.usage.input_tokens}
    return _encode(body)


def build_models(answer: Answer) -> bytes:
    """Build the list of models."""
    rows = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "test"} for name in answer.models]
    return _encode({"object": "list", "data": rows})


def build_completion(answer: Answer, *, model: str = "test-model") -> bytes:
    """Build the body of an answer in one piece."""
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": answer.refusal or None}
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.signature is not None:
        message["reasoning_details"] = [_build_detail(answer, answer.thinking)]
    if answer.calls:
        message["tool_calls"] = [_build_call(call) for call in answer.calls]
    choice = {"index": 0, "message": message, "finish_reason": _choose_finish(answer)}
    body: Json = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
    if answer.usage is not None:
        body["usage"] = _build_usage(answer.usage)
    return _encode(body)


def build_events(answer: Answer, *, model: str = "test-model", with_usage: bool = True) -> list[bytes]:
    """Build the events of a streamed answer, each with the empty line that ends it."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for piece in split(answer.thinking, answer.piece):
        details = [] if answer.signature is None else [{"type": "reasoning.text", "text": piece, "index": 0}]
        deltas.append({"reasoning_content": piece, **({"reasoning_details": details} if details else {})})
    if answer.signature is not None:
        deltas.append({"reasoning_details": [_build_detail(answer, "")]})
    for name, text in (("content", answer.text), ("refusal", answer.refusal)):
        deltas.extend({name: piece} for piece in split(text, answer.piece))
    for place, call in enumerate(answer.calls):
        first = _build_call(call)
        cast("Json", first["function"])["arguments"] = ""
        deltas.append({"tool_calls": [{"index": place, **first}]})
        for piece in split(call.arguments, answer.piece):
            deltas.append({"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
    choices: list[list[Json]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    finish = _choose_finish(answer)
    if finish is not None:
        choices.append([{"index": 0, "delta": {}, "finish_reason": finish}])
    common: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": model}
    chunks: list[Json] = [{**common, "choices": one} for one in choices]
    if with_usage and answer.usage is not None:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**common, "choices": [], "usage": _build_usage(answer.usage)})
    return [*(b"data: " + _encode(chunk) + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n"]


def _build_detail(answer: Answer, text: str) -> Json:
    """Build a signed part of the reasoning, as OpenRouter has it."""
    return {"type": "reasoning.text", "text": text, "signature": answer.signature, "index": 0}


def _build_call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _build_usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _choose_finish(answer: Answer) -> str | None:
    if answer.finish is None or answer.finish:
        return answer.finish
    if answer.stop:
        return "length" if answer.stop == "length" else "content_filter"
    return "tool_calls" if answer.calls else "stop"
