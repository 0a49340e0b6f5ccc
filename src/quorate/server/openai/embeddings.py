"""How are texts turned into vectors in OpenAI's protocol?"""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from quorate.messages import Embeddings
from quorate.server.openai.say import Json
from quorate.server.openai.wire import Name
from quorate.server.parts import read_body, refuse
from quorate.specs import Caller, EmbedRequest

MAX_TEXTS = 2_048
_encode = msgspec.json.Encoder().encode


class EmbeddingsRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Texts to be turned into vectors."""

    model: Name
    input: str | Annotated[tuple[str | int | tuple[int, ...], ...], Meta(min_length=1)]
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


_decoder = msgspec.json.Decoder(EmbeddingsRequest)


def read_embeddings(body: bytes) -> EmbeddingsRequest:
    """Read what is to be turned into vectors.

    Raises:
        InvalidInput: It is no such request.
    """
    return read_body(_decoder, body, what="request for embeddings")


def build_embed_request(asked: EmbeddingsRequest, caller: Caller) -> EmbedRequest:
    """Build what an embedder is asked.

    Raises:
        InvalidInput: It holds tokens instead of text, or too many texts.
    """
    texts = [asked.input] if isinstance(asked.input, str) else [one for one in asked.input if isinstance(one, str)]
    if not isinstance(asked.input, str) and len(texts) < len(asked.input):
        raise refuse("input", "holds tokens, which each model cuts in its own way: send the text.")
    if len(texts) > MAX_TEXTS:
        raise refuse("input", f"holds {len(texts)} texts; at most {MAX_TEXTS} are taken at once.")
    for place, text in enumerate(texts):
        if not text.strip():
            raise refuse(f"input[{place}]", "is empty, and nothing has no vector.")
    return EmbedRequest(texts=tuple(texts), dimensions=asked.dimensions, caller=caller)


def build_embeddings(found: Embeddings, asked: EmbeddingsRequest) -> bytes:
    """Write vectors, as numbers or as the bytes of 32-bit floats."""
    is_packed = asked.encoding_format == "base64"
    rows: list[Json] = [
        {"object": "embedding", "index": place, "embedding": _pack(vector) if is_packed else vector}
        for place, vector in enumerate(found.vectors)
    ]
    usage = {"prompt_tokens": found.usage.input_tokens, "total_tokens": found.usage.total_tokens}
    return _encode({"object": "list", "data": rows, "model": asked.model, "usage": usage})


def _pack(vector: tuple[float, ...]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
