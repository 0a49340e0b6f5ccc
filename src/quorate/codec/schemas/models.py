"""What is sent to models, comes back from them, and is kept of a call?"""

from __future__ import annotations

from msgspec import Struct, field

from quorate.messages import Reply, Usage
from quorate.specs import EmbedRequest, Request


class LlmRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to a model."""

    id: str
    model: str
    """Its name in full, an alias or a route."""
    request: Request
    stream: bool = False


class LlmResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model answered, or why it did not."""

    id: str
    """The id of the request."""
    reply: Reply | None = None
    code: str = ""
    """The error's word, where there is no reply."""
    message: str = ""
    """The error's sentence."""


class LlmOperation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call of a model, for those who count."""

    id: str
    model: str
    provider: str = ""
    agent: str = ""
    run: str = ""
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    """US dollars; `None` when no price is known."""
    began: float = 0.0
    """Wall time in seconds since 1970 (UTC)."""
    seconds: float = 0.0
    first_seconds: float | None = None
    """Until the first piece of a streamed reply."""
    code: str = ""
    """The error's word; empty where it went well."""
    cached: bool = False
    labels: dict[str, str] = field(default_factory=dict[str, str])


class EmbeddingRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Texts that are to become vectors."""

    id: str
    model: str
    request: EmbedRequest
