"""Which models does Bedrock say it serves? First the models there are, then the inference profiles of the account.

Both are asked of another host than the models themselves: `bedrock.` in place of `bedrock-runtime.`.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from quorate.errors import UpstreamError
from quorate.models.providers import ListedModel, Listing
from quorate.models.target import Sending, Target

PROFILES = "inference-profiles"
PAGE_SIZE = 200
MAX_TOKEN = 2_048


class _Summary(Struct):
    modelId: str  # noqa: N815  # the wire's own spelling, here and below
    outputModalities: list[str] | None = None  # noqa: N815


class _Profile(Struct):
    inferenceProfileId: str  # noqa: N815


class _Page(Struct):
    modelSummaries: list[_Summary] | None = None  # noqa: N815
    inferenceProfileSummaries: list[_Profile] | None = None  # noqa: N815
    nextToken: str | None = None  # noqa: N815


_decode = msgspec.json.Decoder(_Page).decode


def encode(target: Target, *, page: str = "") -> Sending:
    """Write a request, without its credential."""
    parts = urlsplit(target.base_url)
    host = parts.netloc.replace("bedrock-runtime", "bedrock", 1)
    path = f"{parts.path.rstrip('/')}/{PROFILES if page else 'foundation-models'}"
    token = page.removeprefix(PROFILES).removeprefix(":")
    query = ""
    if page:
        query = f"maxResults={PAGE_SIZE}" + (f"&nextToken={quote(token, safe='')}" if token else "")
    return Sending(url=urlunsplit((parts.scheme, host, path, query, "")), method="GET")


def decode(body: bytes) -> Listing:
    """Read the models.

    Raises:
        UpstreamError: It is no list of models.
    """
    try:
        page = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The list of models is garbled.", retryable=True) from error
    if page.modelSummaries is not None:
        models = tuple(ListedModel(name=one.modelId) for one in page.modelSummaries)
        return Listing(models=models, next=PROFILES)
    if page.inferenceProfileSummaries is None:
        raise UpstreamError("The list of models holds none.", retryable=True)
    token = page.nextToken or ""
    if len(token) > MAX_TOKEN or not token.isprintable():
        raise UpstreamError("The list of models goes on at a place that is none.", retryable=True)
    profiles = tuple(ListedModel(name=one.inferenceProfileId) for one in page.inferenceProfileSummaries)
    return Listing(models=profiles, next=f"{PROFILES}:{token}" if token else "")
