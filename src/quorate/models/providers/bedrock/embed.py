"""How are texts turned into vectors on Bedrock? Each family of models has a form of its own, through InvokeModel."""

from __future__ import annotations

from typing import cast

import msgspec

from quorate.errors import InvalidInput, UpstreamError
from quorate.messages import Embeddings, Usage
from quorate.models.providers.bedrock.request import build_url
from quorate.models.providers.outcome import read_count
from quorate.models.target import Sending, Target
from quorate.specs import EmbedRequest

MAX_TEXTS = 1
"""One of the families takes no more."""
COHERE_TEXTS = 96
COHERE_PURPOSES = {None: "search_document", "document": "search_document", "query": "search_query"}
NOVA_PURPOSES = {None: "GENERIC_INDEX", "document": "GENERIC_INDEX", "query": "GENERIC_RETRIEVAL"}
Json = dict[str, object]
_encode = msgspec.json.Encoder().encode
_convert = msgspec.convert


def find_max_texts(target: Target) -> int:
    """Find how many texts one call to a model may have."""
    return COHERE_TEXTS if "cohere.embed" in target.model_name else MAX_TEXTS


def encode(request: EmbedRequest, target: Target) -> Sending:
    """Write a request, without its credential.

    Raises:
        InvalidInput: The model's form is unknown, or cannot carry what is asked for.
    """
    name = target.model_name
    if "cohere.embed" in name:
        body = _build_cohere(request, name)
    elif len(request.texts) != 1:
        raise InvalidInput(f"{name!r} takes one text a call, not {len(request.texts)}.")
    elif "amazon.titan-embed" in name:
        body = _build_titan(request, name)
    elif "amazon.nova" in name and "embed" in name:
        body = _build_nova(request)
    else:
        raise InvalidInput(f"How {name!r} wants texts is unknown; known: Amazon Titan, Amazon Nova and Cohere.")
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return Sending(url=build_url(target, "invoke"), body=_encode(body), headers=headers)


def decode(body: bytes, target: Target) -> Embeddings:
    """Read the vectors, in the order of the texts.

    Raises:
        UpstreamError: It holds none.
    """
    try:
        found = msgspec.json.decode(body, type=Json)
        vectors = _read_vectors(found)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError) as error:
        raise UpstreamError("The vectors are garbled: they are none of a model on Bedrock.", retryable=True) from error
    if not vectors or len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
        raise UpstreamError("The vectors are missing, or of different lengths.", retryable=True)
    count = found.get("inputTextTokenCount")
    tokens = read_count(count) if isinstance(count, int) else 0
    return Embeddings(vectors=vectors, usage=Usage(input_tokens=tokens, requests=1), model=target.model_name)


def _build_titan(request: EmbedRequest, name: str) -> Json:
    body: Json = {"inputText": request.texts[0]}
    if request.dimensions is not None:
        if "v2" not in name:
            raise InvalidInput(f"The vectors of {name!r} have one length alone: leave `dimensions` out.")
        body["dimensions"] = request.dimensions
    return body


def _build_cohere(request: EmbedRequest, name: str) -> Json:
    body: Json = {
        "texts": request.texts,
        "input_type": COHERE_PURPOSES[request.purpose],
        "embedding_types": ["float"],
    }
    if request.dimensions is not None:
        if "-v3" in name:
            raise InvalidInput(f"The vectors of {name!r} have one length alone: leave `dimensions` out.")
        body["output_dimension"] = request.dimensions
    return body


def _build_nova(request: EmbedRequest) -> Json:
    asked: Json = {
        "embeddingPurpose": NOVA_PURPOSES[request.purpose],
        "text": {"truncationMode": "NONE", "value": request.texts[0]},
    }
    if request.dimensions is not None:
        asked["embeddingDimension"] = request.dimensions
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": asked}


def _read_vectors(found: Json) -> tuple[tuple[float, ...], ...]:
    if "embedding" in found:  # Titan
        return (_convert(found["embedding"], tuple[float, ...]),)
    vectors = found["embeddings"]
    if isinstance(vectors, dict):  # Cohere, by type
        return _convert(cast("Json", vectors)["float"], tuple[tuple[float, ...], ...])
    if isinstance(vectors, list) and vectors and isinstance(vectors[0], dict):  # Nova
        rows = cast("list[Json]", vectors)
        return tuple(_convert(row["embedding"], tuple[float, ...]) for row in rows)
    return _convert(vectors, tuple[tuple[float, ...], ...])
