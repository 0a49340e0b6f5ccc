"""How are texts turned into vectors on Vertex AI?"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from quorate.errors import UpstreamError
from quorate.messages import Embeddings, Usage
from quorate.models.providers.checks import Json
from quorate.models.providers.gemini.embed import FIELDED, PURPOSES, build_embeddings, check_texts, write_text
from quorate.models.providers.gemini.reply import read_usage
from quorate.models.providers.gemini.wire import Counts, Vector
from quorate.models.providers.outcome import read_count
from quorate.models.providers.vertex import build_place
from quorate.models.target import Sending, Target
from quorate.specs import EmbedRequest

MAX_TEXTS: int = 1
"""Newer models take one text in a call."""
_encode = msgspec.json.Encoder().encode


class Statistics(Struct, gc=False):
    """What was counted of one text."""

    token_count: float | None = None
    """A whole number, which may be written with a point."""


class Predicted(Struct, gc=False):
    """One text's vector, as a prediction."""

    values: list[float]
    statistics: Statistics | None = None


class Prediction(Struct, gc=False):
    """What was predicted of one text."""

    embeddings: Predicted


class Answer(Struct, rename="camel", gc=False):
    """A vector in either of the two forms."""

    embedding: Vector | None = None
    usage_metadata: Counts | None = None
    predictions: list[Prediction] | None = None


_decode = msgspec.json.Decoder(Answer).decode


def encode(request: EmbedRequest, target: Target) -> Sending:
    """Write a request, without its credential.

    Raises:
        InvalidInput: A text is empty.
    """
    check_texts(request)
    text, place = write_text(request.texts[0], request, target), build_place(target)
    if target.model_name in FIELDED:  # they are asked for predictions, as all models were before
        instance: Json = {"content": text}
        if request.purpose is not None:
            instance["task_type"] = PURPOSES[request.purpose]
        body: Json = {"instances": [instance]}
        if request.dimensions is not None:
            body["parameters"] = {"outputDimensionality": request.dimensions}
        return Sending(url=f"{place}:predict", body=_encode(body))
    asked: Json = {"content": {"parts": [{"text": text}]}}
    if request.dimensions is not None:
        asked["embedContentConfig"] = {"outputDimensionality": request.dimensions}
    return Sending(url=f"{place}:embedContent", body=_encode(asked))


def decode(body: bytes, target: Target) -> Embeddings:
    """Read the vector.

    Raises:
        UpstreamError: It is none.
    """
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The provider's vectors are garbled.", retryable=True) from error
    if found.embedding is not None:
        return build_embeddings((tuple(found.embedding.values),), read_usage(found.usage_metadata), target)
    predicted = [one.embeddings for one in found.predictions or ()]
    if not predicted:
        raise UpstreamError("The provider's vectors are garbled: there are none.", retryable=True)
    counted = sum(read_count(int(one.statistics.token_count or 0)) for one in predicted if one.statistics is not None)
    vectors = tuple(tuple(one.values) for one in predicted)
    return build_embeddings(vectors, Usage(input_tokens=counted, requests=1), target)
