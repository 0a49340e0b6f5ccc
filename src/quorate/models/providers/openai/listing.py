"""Which models does OpenAI serve, or one that imitates it?"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from quorate.errors import UpstreamError
from quorate.models.providers import ListedModel, Listing
from quorate.models.target import Sending, Target


class Row(Struct, gc=False):
    """One model; how much it reads has many names."""

    id: str
    created: float | None = None
    context_length: int | None = None
    context_window: int | None = None
    max_context_length: int | None = None
    max_model_len: int | None = None


class Answer(Struct, gc=False):
    """The whole list."""

    data: list[Row]


_Either = Answer | list[Row]
_decoder: msgspec.json.Decoder[_Either] = msgspec.json.Decoder(_Either)


def encode(target: Target, *, page: str = "") -> Sending:
    """Write a request, without its credential; all models are on one page."""
    return Sending(url=f"{target.base_url.rstrip('/')}/models", method="GET")


def decode(body: bytes) -> Listing:
    """Read the models.

    Raises:
        UpstreamError: It is no list of models.
    """
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The answer is garbled: it lists no models.", retryable=True) from error
    rows = answer if isinstance(answer, list) else answer.data
    return Listing(models=tuple([_read_row(row) for row in rows]))


def _read_row(row: Row) -> ListedModel:
    known = row.context_length or row.context_window or row.max_context_length or row.max_model_len
    return ListedModel(name=row.id, context_tokens=known or None, created=row.created or None)
