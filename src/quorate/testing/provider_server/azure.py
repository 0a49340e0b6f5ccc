"""How are OpenAI's models served by Azure? As chat completions, and each answer says what its filters saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from quorate.testing.provider_server import openai
from quorate.testing.provider_server.openai import build_error, build_fault, is_stream
from quorate.testing.provider_server.script import Answer, Json, Sent

__all__ = [
    "PATHS",
    "build_body",
    "build_error",
    "build_fault",
    "build_frames",
    "is_allowed",
    "is_stream",
    "stream_type",
]

PATHS = r"/openai/(v1|deployments/[^/]+)/(chat/completions|embeddings|models)"
SEEN = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}
stream_type = "text/event-stream"
_encode = msgspec.json.Encoder().encode


def is_allowed(sent: Sent, key: str) -> bool:
    """Whether a request bears the key, or a token; and a dated address its version."""
    is_dated = "/deployments/" in sent.path
    return openai.is_allowed(sent, key) and is_dated == ("api-version=20" in sent.query)


def build_body(answer: Answer, sent: Sent) -> bytes:
    """Build an answer in one piece: a completion, vectors, or the models there are."""
    body = openai.build_body(answer, sent)
    if not sent.path.endswith("/chat/completions"):
        return body
    whole = msgspec.json.decode(body, type=Json)
    for choice in cast("Sequence[Json]", whole["choices"]):
        choice["content_filter_results"] = SEEN
    return _encode({**whole, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SEEN}]})


def build_frames(answer: Answer, sent: Sent) -> Sequence[bytes]:
    """Build a streamed answer: what was seen in the question comes first."""
    first: Json = {
        "id": "",
        "object": "",
        "model": "",
        "choices": [],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SEEN}],
    }
    return [b"data: " + _encode(first) + b"\n\n", *openai.build_frames(answer, sent)]
