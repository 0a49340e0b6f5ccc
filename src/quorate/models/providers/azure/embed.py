"""How are texts turned into vectors by the models of OpenAI that Azure serves?"""

from __future__ import annotations

from quorate.models.providers.azure import build_url
from quorate.models.providers.openai.embed import MAX_TEXTS, decode, encode_body
from quorate.models.target import Sending, Target
from quorate.specs import EmbedRequest

__all__ = ["MAX_TEXTS", "decode", "encode"]


def encode(request: EmbedRequest, target: Target) -> Sending:
    """Write a request, without its credential."""
    return Sending(url=build_url(target, "embeddings"), body=encode_body(request, target))
