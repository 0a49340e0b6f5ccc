"""How are texts turned into vectors by Ollama?"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from quorate.errors import UpstreamError
from quorate.messages import Embeddings, Usage
from quorate.models.providers.ollama.request import build_url
from quorate.models.providers.openai.failure import build_stream_error
from quorate.models.providers.outcome import read_count
from quorate.models.target import Sending, Target
from quorate.specs import EmbedRequest

MAX_TEXTS = 512


class Answer(Struct, gc=False):
    """The whole answer; the vectors are in the order of the texts."""

    embeddings: tuple[tuple[float, ...], ...] | None = None
    model: str | None = None
    prompt_eval_count: int | None = None
    error: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Answer).decode


def encode(request: EmbedRequest, target: Target) -> Sending:
    """Write a request, without its credential."""
    # A text that is too long is refused; Ollama would leave out its end in silence.
    body: dict[str, object] = {"model": target.model_name, "input": request.texts, "truncate": False}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return Sending(url=build_url(target.base_url, "embed"), body=_encode(body))


def decode(body: bytes, target: Target) -> Embeddings:
    """Read the vectors, in the order of the texts.

    Raises:
        UpstreamError: It is no such answer, or says that the server failed.
    """
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The answer is garbled: it holds no vectors.", retryable=True) from error
    if answer.error is not None:
        raise build_stream_error(answer.error)
    if answer.embeddings is None:
        raise UpstreamError("The answer is garbled: it holds no vectors.", retryable=True)
    return Embeddings(
        vectors=answer.embeddings,
        usage=Usage(input_tokens=read_count(answer.prompt_eval_count), requests=1),
        model=answer.model or target.model_name,
    )
