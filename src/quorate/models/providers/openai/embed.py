"""How are texts turned into vectors by OpenAI, and by those that imitate it?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from quorate.errors import UpstreamError
from quorate.messages import Embeddings, Usage
from quorate.models.providers.openai.failure import build_stream_error
from quorate.models.providers.openai.wire import Fault
from quorate.models.providers.outcome import read_count
from quorate.models.target import Sending, Target
from quorate.specs import EmbedRequest

MAX_TEXTS = 2048


class Row(Struct, gc=False):
    """One vector, and whose it is."""

    embedding: tuple[float, ...]
    index: int | None = None


class Counts(Struct, gc=False):
    """Tokens read."""

    prompt_tokens: int | None = None


class Answer(Struct, gc=False):
    """The whole answer."""

    data: list[Row] | None = None
    model: str | None = None
    usage: Counts | None = None
    error: Fault | str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Answer).decode


def encode(request: EmbedRequest, target: Target) -> Sending:
    """Write a request, without its credential."""
    return Sending(url=f"{target.base_url.rstrip('/')}/embeddings", body=encode_body(request, target))


def encode_body(request: EmbedRequest, target: Target) -> bytes:
    """Write the body alone."""
    body: dict[str, object] = {"model": target.model_name, "input": request.texts, "encoding_format": "float"}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return _encode(body)


def decode(body: bytes, target: Target) -> Embeddings:
    """Read the vectors, in the order of the texts.

    Raises:
        UpstreamError: It is no such answer, or does not say whose each vector is.
    """
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The answer is garbled: it holds no vectors.", retryable=True) from error
    if answer.error is not None:
        raise build_stream_error(answer.error)
    if answer.data is None:
        raise UpstreamError("The answer is garbled: it holds no vectors.", retryable=True)
    counted = read_count(answer.usage.prompt_tokens) if answer.usage else 0
    return Embeddings(
        vectors=order_rows(answer.data),
        usage=Usage(input_tokens=counted, requests=1),
        model=answer.model or target.model_name,
    )


def order_rows(rows: Sequence[Row]) -> tuple[tuple[float, ...], ...]:
    """Put the vectors in the order of the texts; raises what `decode` raises."""
    if all(row.index is None for row in rows):  # some servers keep the order and do not say it
        return tuple([row.embedding for row in rows])
    found = {row.index: row.embedding for row in rows}
    if len(found) != len(rows) or any(place not in found for place in range(len(rows))):
        raise UpstreamError("The answer is garbled: a vector is missing, or there twice.", retryable=True)
    return tuple([found[place] for place in range(len(rows))])
