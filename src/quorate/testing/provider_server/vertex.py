"""How is Vertex AI served? As Gemini is, with a token, at other addresses, and with vectors in two forms of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from quorate.testing.provider_server import gemini
from quorate.testing.provider_server.script import Answer, Json, Sent, choose_vectors

PATHS = r"/publishers/google/models(/[^/]+:(generateContent|streamGenerateContent|embedContent|predict))?"
stream_type = gemini.stream_type
is_stream = gemini.is_stream
build_error = gemini.build_error
build_fault = gemini.build_fault
_encode = msgspec.json.Encoder().encode


def is_allowed(sent: Sent, key: str) -> bool:
    """Whether a request bears the token."""
    return sent.headers.get("authorization") == f"Bearer {key}"


def build_body(answer: Answer, sent: Sent) -> bytes:
    """Build an answer in one piece: a reply, a vector, or the models there are."""
    if sent.method == "GET":
        return _encode({"publisherModels": [{"name": f"publishers/google/models/{name}"} for name in answer.models]})
    counted = answer.usage.input_tokens if answer.usage is not None else 0
    if sent.path.endswith(":embedContent"):
        content = cast("dict[str, list[dict[str, str]]]", sent.body.get("content"))
        vector = choose_vectors(answer, [content["parts"][0]["text"]])[0]
        return _encode({"embedding": {"values": vector}, "usageMetadata": {"promptTokenCount": counted}})
    if sent.path.endswith(":predict"):
        instances = cast("list[dict[str, str]]", sent.body.get("instances"))
        vectors = choose_vectors(answer, [instance["content"] for instance in instances])
        rows: list[Json] = [{"values": vector, "statistics": {"token_count": counted}} for vector in vectors]
        return _encode({"predictions": [{"embeddings": row} for row in rows]})
    return gemini.build_body(answer, sent)


def build_frames(answer: Answer, sent: Sent) -> Sequence[bytes]:
    """Build a streamed answer."""
    return gemini.build_frames(answer, sent)
