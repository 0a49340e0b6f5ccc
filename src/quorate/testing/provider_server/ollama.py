"""How are Ollama's own answers served?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from quorate.messages import ToolCall
from quorate.testing.provider_server.script import Answer, Json, Sent, choose_vectors, split

PATHS = r"/api/(chat|embed|tags)"
stream_type = "application/x-ndjson"
_encode = msgspec.json.Encoder().encode


def is_allowed(sent: Sent, key: str) -> bool:
    """Whether a request bears the key."""
    return sent.headers.get("authorization") == f"Bearer {key}"


def is_stream(sent: Sent) -> bool:
    """Whether a request asks for a stream, as it does unless it says otherwise."""
    return sent.path.endswith("/chat") and sent.body.get("stream") is not False


def build_body(answer: Answer, sent: Sent) -> bytes:
    """Build an answer in one piece: a message, vectors, or the models there are."""
    if sent.path.endswith("/embed"):
        return _build_vectors(answer, sent)
    if sent.method == "GET":
        return _build_models(answer)
    message: Json = {"role": "assistant", "content": answer.text + answer.refusal}
    if answer.thinking:
        message["thinking"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = [_build_call(place, call) for place, call in enumerate(answer.calls)]
    return _encode({**_build_common(sent), "message": message, **_build_end(answer)})


def build_frames(answer: Answer, sent: Sent) -> Sequence[bytes]:
    """Build a streamed answer, a line for each piece; calls come whole."""
    pieces: list[Json] = []
    pieces.extend({"content": "", "thinking": piece} for piece in split(answer.thinking, answer.piece))
    pieces.extend({"content": piece} for piece in split(answer.text + answer.refusal, answer.piece))
    pieces.extend({"content": "", "tool_calls": [_build_call(*numbered)]} for numbered in enumerate(answer.calls))
    common = _build_common(sent)
    lines = [{**common, "message": {"role": "assistant", **piece}, "done": False} for piece in pieces]
    lines.append({**common, "message": {"role": "assistant", "content": ""}, **_build_end(answer)})
    return [_encode(line) + b"\n" for line in lines]


def build_error(status: int, code: str) -> bytes:
    """Build the body of a refusal."""
    return _encode({"error": f"The test server refuses: {code}."})


def build_fault(code: str) -> bytes:
    """Build a line that says that the server failed."""
    return build_error(500, code) + b"\n"


def _build_common(sent: Sent) -> Json:
    return {"model": sent.body.get("model"), "created_at": "2026-01-01T00:00:00.000000Z"}


def _build_call(place: int, call: ToolCall) -> Json:
    try:
        arguments = msgspec.json.decode(call.arguments, type=Json)
    except msgspec.DecodeError:
        arguments = {}  # this format cannot say what is no object
    return {"id": call.id, "function": {"index": place, "name": call.name, "arguments": arguments}}


def _build_end(answer: Answer) -> Json:
    end: Json = {"done": True}
    reason = answer.finish or ("length" if answer.stop == "length" else "stop")
    if answer.finish is not None:
        end["done_reason"] = reason
    if answer.usage is not None:
        end["prompt_eval_count"] = answer.usage.input_tokens
        end["eval_count"] = answer.usage.output_tokens
    return end


def _build_vectors(answer: Answer, sent: Sent) -> bytes:
    asked = sent.body.get("input")
    texts = cast("Sequence[str]", asked) if isinstance(asked, list) else [str(asked)]
    body: Json = {"model": sent.body.get("model"), "embeddings": choose_vectors(answer, texts)}
    if answer.usage is not None:
        body["prompt_eval_count"] = answer.usage.input_tokens
    return _encode(body)


def _build_models(answer: Answer) -> bytes:
    modified = "2026-01-01T00:00:00Z"
    return _encode({"models": [{"name": name, "model": name, "modified_at": modified} for name in answer.models]})
