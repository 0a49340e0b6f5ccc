"""Which models does Anthropic serve?"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

import msgspec

from quorate.errors import UpstreamError
from quorate.models.providers import ListedModel, Listing
from quorate.models.providers.anthropic.request import build_url
from quorate.models.providers.anthropic.wire import Model, Page
from quorate.models.target import Sending, Target

PAGE_SIZE = 1000
_decode = msgspec.json.Decoder(Page).decode


def encode(target: Target, *, page: str = "") -> Sending:
    """Write a request, without its credential."""
    after = f"&after_id={quote(page, safe='')}" if page else ""
    return Sending(url=build_url(target.base_url, f"models?limit={PAGE_SIZE}{after}"), method="GET")


def decode(body: bytes) -> Listing:
    """Read the models.

    Raises:
        UpstreamError: It is no list of models.
    """
    try:
        page = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The provider's list of models is garbled.", retryable=True) from error
    return Listing(
        models=tuple(map(_read_model, page.data)),
        next=(page.last_id or "") if page.has_more and page.data else "",
    )


def _read_model(model: Model) -> ListedModel:
    return ListedModel(name=model.id, context_tokens=model.max_input_tokens, created=_read_time(model.created_at))


def _read_time(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return None
