"""Which models has Ollama?"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from quorate.errors import UpstreamError
from quorate.models.providers import ListedModel, Listing
from quorate.models.providers.ollama.request import build_url
from quorate.models.target import Sending, Target


class Row(Struct, gc=False):
    """One model."""

    name: str
    modified_at: datetime | None = None


class Answer(Struct, gc=False):
    """The whole list."""

    models: list[Row]


_decode = msgspec.json.Decoder(Answer).decode


def encode(target: Target, *, page: str = "") -> Sending:
    """Write a request, without its credential; all models are on one page."""
    return Sending(url=build_url(target.base_url, "tags"), method="GET")


def decode(body: bytes) -> Listing:
    """Read the models.

    Raises:
        UpstreamError: It is no list of models.
    """
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The answer is garbled: it lists no models.", retryable=True) from error
    return Listing(models=tuple([_read_row(row) for row in answer.models]))


def _read_row(row: Row) -> ListedModel:
    return ListedModel(name=row.name, created=row.modified_at.timestamp() if row.modified_at else None)
