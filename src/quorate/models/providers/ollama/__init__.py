"""How does one talk to Ollama in its own words?"""

from __future__ import annotations

from quorate.messages import Reply
from quorate.models.framing import Framing
from quorate.models.providers.ollama import reply, request
from quorate.models.providers.ollama.stream import StreamDecoder
from quorate.models.providers.openai import decode_error, sign
from quorate.models.target import Sending, Target
from quorate.specs import Request

__all__ = ["build_decoder", "decode", "decode_error", "encode", "framing", "sign"]

framing: Framing = "lines"


def encode(asked: Request, target: Target, *, stream: bool = False) -> Sending:
    """Write a request; raises what the protocol says."""
    return Sending(url=request.build_url(target.base_url, "chat"), body=request.encode(asked, target, stream=stream))


def decode(body: bytes, target: Target) -> Reply:
    """Read a whole reply; raises what `reply.decode` raises."""
    return reply.decode(body, provider=target.provider.otel)


def build_decoder(target: Target) -> StreamDecoder:
    """Build the reader of one streamed reply."""
    return StreamDecoder(provider=target.provider.otel)
