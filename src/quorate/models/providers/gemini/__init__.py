"""How does one talk to Google's Gemini?"""

from __future__ import annotations

from urllib.parse import quote

from msgspec import structs

from quorate.models.credentials import Credentials, find_key
from quorate.models.framing import Framing
from quorate.models.providers.gemini import failure, reply
from quorate.models.providers.gemini.request import encode as write_body
from quorate.models.target import Sending, Target
from quorate.specs import Request

framing: Framing = "events"
decode = reply.decode
decode_error = failure.decode_error


def encode(request: Request, target: Target, *, stream: bool = False) -> Sending:
    """Write a request; raises what the protocol says."""
    place = f"{target.base_url.rstrip('/')}/models/{quote(target.model_name, safe='')}"
    return Sending(url=f"{place}:{name_verb(stream=stream)}", body=write_body(request, target))


def name_verb(*, stream: bool) -> str:
    """Name what is asked of a model at the end of its address."""
    return "streamGenerateContent?alt=sse" if stream else "generateContent"


def sign(sending: Sending, target: Target, *, credentials: Credentials, now: float) -> Sending:
    """Add the key; raises what the protocol says."""
    key = find_key(target.provider, credentials)
    headers = {"Content-Type": "application/json"} | ({"x-goog-api-key": key} if key is not None else {})
    return structs.replace(sending, headers=sending.headers | headers)


def build_decoder(target: Target) -> reply.Decoder:
    """Build the reader of one streamed reply."""
    return reply.Decoder(target)
