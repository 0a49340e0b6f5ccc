"""How does one talk to OpenAI's Responses, keeping nothing there?

Nothing is stored at the provider: the whole conversation is sent each time, and reasoning goes back encrypted.
"""

from __future__ import annotations

from quorate.messages import Reply
from quorate.models.framing import Framing
from quorate.models.providers.openai import decode_error, sign
from quorate.models.providers.responses import reply, request
from quorate.models.providers.responses.stream import StreamDecoder
from quorate.models.target import Sending, Target
from quorate.specs import Request

__all__ = ["build_decoder", "decode", "decode_error", "encode", "framing", "sign"]

framing: Framing = "events"


def encode(asked: Request, target: Target, *, stream: bool = False) -> Sending:
    """Write a request; raises what the protocol says."""
    url = f"{target.base_url.rstrip('/')}/responses"
    return Sending(url=url, body=request.encode(asked, target, stream=stream))


def decode(body: bytes, target: Target) -> Reply:
    """Read a whole reply; raises what `reply.decode` raises."""
    return reply.decode(body, provider=target.provider.otel)


def build_decoder(target: Target) -> StreamDecoder:
    """Build the reader of one streamed reply."""
    return StreamDecoder(provider=target.provider.otel)
