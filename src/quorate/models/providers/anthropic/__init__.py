"""How does one talk to Anthropic's Messages, and to the servers that imitate them?"""

from __future__ import annotations

from msgspec import structs

from quorate.models.credentials import Credentials, find_key, find_token
from quorate.models.framing import Framing
from quorate.models.providers.anthropic import failure, reply, request
from quorate.models.providers.anthropic.stream import StreamDecoder
from quorate.models.target import Sending, Target

framing: Framing = "events"
encode = request.encode
decode = reply.decode
decode_error = failure.decode_error


def sign(sending: Sending, target: Target, *, credentials: Credentials, now: float) -> Sending:
    """Add the key, or the token that stands for it; raises what the protocol says."""
    key, token = find_key(target.provider, credentials), find_token(target.provider, credentials)
    headers = request.build_headers(key, token)
    return structs.replace(sending, headers=sending.headers | headers)


def build_decoder(target: Target) -> StreamDecoder:
    """Build the reader of one streamed reply."""
    return StreamDecoder(target)
