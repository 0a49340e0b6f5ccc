"""How are texts turned into vectors by Gemini?"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from quorate.errors import InvalidInput, UpstreamError
from quorate.messages import Embeddings, Usage
from quorate.models.providers.checks import Json
from quorate.models.providers.gemini.reply import read_usage
from quorate.models.providers.gemini.wire import Vectors
from quorate.models.target import Sending, Target
from quorate.specs import EmbedRequest

MAX_TEXTS: int = 100
PURPOSES = {"document": "RETRIEVAL_DOCUMENT", "query": "RETRIEVAL_QUERY"}
PREFIXES = {"document": "title: none | text: ", "query": "task: search result | query: "}
FIELDED = frozenset({"gemini-embedding-001"})
"""Models that are told by a field what texts are for; the others are told in the text itself."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Vectors).decode


def encode(request: EmbedRequest, target: Target) -> Sending:
    """Write a request, without its credential.

    Raises:
        InvalidInput: A text is empty.
    """
    check_texts(request)
    name = f"models/{target.model_name}"
    requests: list[Json] = []
    for text in request.texts:
        asked: Json = {"model": name, "content": {"parts": [{"text": write_text(text, request, target)}]}}
        if request.dimensions is not None:
            asked["outputDimensionality"] = request.dimensions
        if request.purpose is not None and target.model_name in FIELDED:
            asked["taskType"] = PURPOSES[request.purpose]
        requests.append(asked)
    place = f"{target.base_url.rstrip('/')}/models/{quote(target.model_name, safe='')}"
    return Sending(url=f"{place}:batchEmbedContents", body=_encode({"requests": requests}))


def write_text(text: str, request: EmbedRequest, target: Target) -> str:
    """Write a text, with what it is for where the model reads that in it."""
    is_told = request.purpose is None or target.model_name in FIELDED
    return text if is_told else PREFIXES[request.purpose or "document"] + text


def check_texts(request: EmbedRequest) -> None:
    """Raise `InvalidInput` when a text says nothing."""
    for place, text in enumerate(request.texts):
        if not text.strip():
            raise InvalidInput(f"Text {place} is empty, and has no vector: leave it out.")


def decode(body: bytes, target: Target) -> Embeddings:
    """Read the vectors, in the order of the texts.

    Raises:
        UpstreamError: They are none, or not all of the same length.
    """
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The provider's vectors are garbled.", retryable=True) from error
    vectors = tuple(tuple(one.values) for one in found.embeddings)
    return build_embeddings(vectors, read_usage(found.usage_metadata), target)


def build_embeddings(vectors: tuple[tuple[float, ...], ...], usage: Usage, target: Target) -> Embeddings:
    """Build what is given out; raises what `decode` raises."""
    if not all(vectors) or len(set(map(len, vectors))) > 1:
        raise UpstreamError("The provider's vectors are garbled: they are not of one length.", retryable=True)
    return Embeddings(vectors=vectors, usage=usage, model=target.model_name)
