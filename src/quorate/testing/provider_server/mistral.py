"""How are chat completions served by Mistral? Reasoning comes in pieces of the content, and usage without asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from quorate.testing.provider_server import openai
from quorate.testing.provider_server.openai import build_error, build_fault, is_allowed, is_stream
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

PATHS = r"/mistral/v1/(chat/completions|embeddings|models)"
stream_type = "text/event-stream"
_encode = msgspec.json.Encoder().encode


def build_body(answer: Answer, sent: Sent) -> bytes:
    """Build an answer in one piece: a completion, vectors, or the models there are."""
    body = openai.build_body(answer, sent)
    return _rewrite(body, "message") if sent.path.endswith("/chat/completions") else body


def build_frames(answer: Answer, sent: Sent) -> Sequence[bytes]:
    """Build a streamed answer."""
    frames = openai.build_events(answer, model=str(sent.body.get("model", "")), with_usage=True)
    *events, end = [frame.removeprefix(b"data: ") for frame in frames]
    return [*(b"data: " + _rewrite(event, "delta") + b"\n\n" for event in events), b"data: " + end]


def _rewrite(data: bytes, name: str) -> bytes:
    """Write reasoning as a piece of the content."""
    whole = msgspec.json.decode(data, type=Json)
    for choice in cast("Sequence[dict[str, Json]]", whole["choices"]):
        said = choice[name]
        thought = said.pop("reasoning_content", None)
        if thought is not None:
            pieces: list[Json] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}]
            if said.get("content"):
                pieces.append({"type": "text", "text": said["content"]})
            said["content"] = pieces
    return _encode(whole)
