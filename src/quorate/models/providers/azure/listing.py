"""Which models can Azure deploy? Which ones are deployed, and as what, is known to its management alone."""

from __future__ import annotations

from quorate.models.providers.openai.listing import decode
from quorate.models.target import Sending, Target

__all__ = ["decode", "encode"]


def encode(target: Target, *, page: str = "") -> Sending:
    """Write a request, without its credential; all models are on one page."""
    base = target.base_url.rstrip("/").removesuffix("/v1").removesuffix("/openai")
    return Sending(url=f"{base}/openai/v1/models", method="GET")
