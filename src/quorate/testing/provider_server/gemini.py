"""How is Gemini served, and Vertex AI in the same style?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from quorate.messages import ToolCall, Usage
from quorate.testing.provider_server.script import Answer, Json, Sent, choose_vectors, split

PATHS = r"/v1beta/models(/[^/]+:(generateContent|streamGenerateContent|batchEmbedContents))?"
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
stream_type = "text/event-stream"
_encode = msgspec.json.Encoder().encode


def is_allowed(sent: Sent, key: str) -> bool:
    """Whether a request bears the key."""
    return sent.headers.get("x-goog-api-key") == key


def is_stream(sent: Sent) -> bool:
    """Whether a request asks for a stream."""
    return sent.path.endswith(":streamGenerateContent") and sent.query == "alt=sse"


def build_body(answer: Answer, sent: Sent) -> bytes:
    """Build an answer in one piece: a reply, vectors, or the models there are."""
    if sent.method == "GET":
        rows = [{"name": f"models/{name}", "inputTokenLimit": 1000} for name in answer.models]
        return _encode({"models": rows})
    if sent.path.endswith(":batchEmbedContents"):
        return build_vectors(answer, sent)
    calls: list[Json] = [_build_call(call) for call in answer.calls]
    parts: list[Json] = []
    if answer.thinking:
        parts.append({"text": answer.thinking, "thought": True})
    if answer.text or answer.refusal:
        parts.append({"text": answer.text + answer.refusal})
    return _encode(_build_response(answer, sent, _sign([*parts, *calls], answer), is_last=True))


def build_frames(answer: Answer, sent: Sent) -> Sequence[bytes]:
    """Build a streamed answer: each piece with the counts so far, the last one with the end."""
    thoughts: list[Json] = [{"text": piece, "thought": True} for piece in split(answer.thinking, answer.piece)]
    words: list[Json] = [{"text": piece} for piece in split(answer.text + answer.refusal, answer.piece)]
    calls: list[Json] = [_build_call(call) for call in answer.calls]
    pieces: list[list[Json]] = [[part] for part in _sign([*thoughts, *words, *calls], answer)]
    # The last piece bears the end, and the last words with it.
    last: list[Json] = pieces.pop() if pieces else [{"text": ""}]
    responses = [_build_response(answer, sent, piece, is_last=False) for piece in pieces]
    responses.append(_build_response(answer, sent, last, is_last=True))
    return [b"data: " + _encode(response) + b"\n\n" for response in responses]


def build_error(status: int, code: str) -> bytes:
    """Build the body of a refusal."""
    word = STATUSES.get(status, "INTERNAL")
    return _encode({"error": {"code": status, "message": f"The test server refuses: {code}.", "status": word}})


def build_fault(code: str) -> bytes:
    """Build an event that says that the provider failed."""
    return b"data: " + build_error(503, code) + b"\n\n"


def build_vectors(answer: Answer, sent: Sent) -> bytes:
    """Build an answer of vectors."""
    requests = cast("list[dict[str, dict[str, list[dict[str, str]]]]]", sent.body.get("requests"))
    texts = [request["content"]["parts"][0]["text"] for request in requests]
    body: Json = {"embeddings": [{"values": vector} for vector in choose_vectors(answer, texts)]}
    if answer.usage is not None:
        body["usageMetadata"] = {"promptTokenCount": answer.usage.input_tokens}
    return _encode(body)


def _build_call(call: ToolCall) -> Json:
    built: Json = {"name": call.name, "args": msgspec.Raw(call.arguments.encode())}
    return {"functionCall": built | ({"id": call.id} if call.id else {})}


def _sign(parts: list[Json], answer: Answer) -> list[Json]:
    """Put the signature where Gemini does: on the first call, or else on the last words."""
    if answer.signature is None or not parts:
        return parts
    place = next((place for place, part in enumerate(parts) if "functionCall" in part), len(parts) - 1)
    parts[place] = {**parts[place], "thoughtSignature": answer.signature}
    return parts


def _build_response(answer: Answer, sent: Sent, parts: list[Json], *, is_last: bool) -> Json:
    candidate: Json = {"index": 0}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    if is_last:
        finish = _choose_finish(answer)
        candidate |= {"finishReason": finish} if finish is not None else {}
    name = sent.path.rpartition("/")[2].partition(":")[0]
    response: Json = {"candidates": [candidate], "modelVersion": name, "responseId": "response-1"}
    if answer.usage is not None:
        response["usageMetadata"] = _build_usage(answer.usage, is_last=is_last)
    return response


def _build_usage(usage: Usage, *, is_last: bool) -> Json:
    counts: Json = {"promptTokenCount": usage.input_tokens, "totalTokenCount": usage.total_tokens}
    if usage.cached_tokens:
        counts["cachedContentTokenCount"] = usage.cached_tokens
    if is_last:
        counts["candidatesTokenCount"] = usage.output_tokens - usage.reasoning_tokens
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    return counts


def _choose_finish(answer: Answer) -> str | None:
    if answer.finish is None or answer.finish:
        return answer.finish
    if answer.stop or answer.refusal:
        return "MAX_TOKENS" if answer.stop == "length" else "SAFETY"
    return "STOP"
