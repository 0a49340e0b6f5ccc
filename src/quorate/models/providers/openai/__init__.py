"""How does one talk to OpenAI's chat completions, and to the many servers that imitate them?"""

from __future__ import annotations

from msgspec import structs

from quorate.errors import QuorateError
from quorate.messages import Reply
from quorate.models.credentials import Credentials, find_key, find_token
from quorate.models.framing import Framing
from quorate.models.providers.openai import failure, reply, request
from quorate.models.providers.openai.stream import StreamDecoder
from quorate.models.target import Sending, Target
from quorate.specs import Request

framing: Framing = "events"


def encode(asked: Request, target: Target, *, stream: bool = False) -> Sending:
    """Write a request; raises what the protocol says."""
    return Sending(url=request.build_url(target.base_url), body=request.encode(asked, target, stream=stream))


def sign(sending: Sending, target: Target, *, credentials: Credentials, now: float) -> Sending:
    """Add the token or the key; raises what the protocol says."""
    provider = target.provider
    headers = request.build_headers(find_token(provider, credentials) or find_key(provider, credentials))
    return structs.replace(sending, headers=sending.headers | headers)


def decode(body: bytes, target: Target) -> Reply:
    """Read a whole reply; raises what `reply.decode` raises."""
    return reply.decode(body, provider=target.provider.otel)


def decode_error(status: int, body: bytes, target: Target, *, retry_after_s: float | None = None) -> QuorateError:
    """Read a refusal."""
    return failure.decode_error(
        status, body, provider=target.provider, model_name=target.model_name, retry_after_s=retry_after_s
    )


def build_decoder(target: Target) -> StreamDecoder:
    """Build the reader of one streamed reply."""
    return StreamDecoder(provider=target.provider.otel, end_event=target.provider.end_event)
