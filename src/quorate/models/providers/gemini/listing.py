"""Which models does Gemini serve?"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from quorate.errors import UpstreamError
from quorate.models.providers import ListedModel, Listing
from quorate.models.providers.gemini.wire import Page
from quorate.models.target import Sending, Target

PAGE_SIZE = 1000
_decode = msgspec.json.Decoder(Page).decode


def encode(target: Target, *, page: str = "") -> Sending:
    """Write a request, without its credential."""
    after = f"&pageToken={quote(page, safe='')}" if page else ""
    return Sending(url=f"{target.base_url.rstrip('/')}/models?pageSize={PAGE_SIZE}{after}", method="GET")


def decode(body: bytes) -> Listing:
    """Read the models.

    Raises:
        UpstreamError: It is no list of models.
    """
    try:
        page = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The provider's list of models is garbled.", retryable=True) from error
    models = tuple(
        ListedModel(name=model.name.removeprefix("models/"), context_tokens=model.input_token_limit)
        for model in page.models or ()
    )
    return Listing(models=models, next=page.next_page_token or "")
