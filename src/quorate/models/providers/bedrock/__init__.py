"""How does one talk to Amazon Bedrock, through Converse and ConverseStream?"""

from __future__ import annotations

from quorate.errors import QuorateError
from quorate.messages import Reply
from quorate.models.credentials import Credentials
from quorate.models.framing import Framing
from quorate.models.providers.bedrock import failure, reply, request
from quorate.models.providers.bedrock.signing import add_credential
from quorate.models.providers.bedrock.stream import StreamDecoder
from quorate.models.target import Sending, Target
from quorate.specs import Request

framing: Framing = "frames"


def encode(asked: Request, target: Target, *, stream: bool = False) -> Sending:
    """Write a request; raises what the protocol says."""
    accept = "application/vnd.amazon.eventstream" if stream else "application/json"
    return Sending(
        url=request.build_url(target, "converse-stream" if stream else "converse"),
        body=request.encode(asked, target),
        headers={"Content-Type": "application/json", "Accept": accept},
    )


def sign(sending: Sending, target: Target, *, credentials: Credentials, now: float) -> Sending:
    """Add the credential: a bearer key, or a signature; raises what the protocol says."""
    return add_credential(sending, target, credentials=credentials, now=now)


def decode(body: bytes, target: Target) -> Reply:
    """Read a whole reply; raises what `reply.decode` raises."""
    return reply.decode(body, model_name=target.model_name, provider=target.provider.otel)


def decode_error(status: int, body: bytes, target: Target, *, retry_after_s: float | None = None) -> QuorateError:
    """Read a refusal."""
    return failure.decode_error(status, body, target, retry_after_s=retry_after_s)


def build_decoder(target: Target) -> StreamDecoder:
    """Build the reader of one streamed reply."""
    return StreamDecoder(target)
