"""Which models of Google's does Vertex AI serve?"""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec
from msgspec import Struct

from quorate.errors import UpstreamError
from quorate.models.providers import ListedModel, Listing
from quorate.models.providers.vertex import build_base_url
from quorate.models.target import Sending, Target

PAGE_SIZE = 100
_PROJECT = re.compile(r"/v1(beta1)?/projects/.*$")


class Model(Struct, gc=False):
    """A model that is listed."""

    name: str


class Page(Struct, rename="camel", gc=False):
    """One page of the models."""

    publisher_models: list[Model] | None = None
    next_page_token: str | None = None


_decode = msgspec.json.Decoder(Page).decode


def encode(target: Target, *, page: str = "") -> Sending:
    """Write a request, without its credential; the models are those of all projects."""
    place = _PROJECT.sub("", build_base_url(target))
    after = f"&pageToken={quote(page, safe='')}" if page else ""
    return Sending(url=f"{place}/v1beta1/publishers/google/models?pageSize={PAGE_SIZE}{after}", method="GET")


def decode(body: bytes) -> Listing:
    """Read the models.

    Raises:
        UpstreamError: It is no list of models.
    """
    try:
        page = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The provider's list of models is garbled.", retryable=True) from error
    models = tuple(ListedModel(name=model.name.rpartition("/")[2]) for model in page.publisher_models or ())
    return Listing(models=models, next=page.next_page_token or "")
