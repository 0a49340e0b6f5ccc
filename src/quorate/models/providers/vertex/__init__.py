"""How does one talk to Gemini on Google's Vertex AI?

The bodies are Gemini's; the addresses and the credential are not.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from msgspec import structs

from quorate.models.credentials import Credentials, find_key
from quorate.models.framing import Framing
from quorate.models.providers.gemini import failure, name_verb, reply
from quorate.models.providers.gemini.request import encode as write_body
from quorate.models.target import Sending, Target
from quorate.specs import Request

framing: Framing = "events"
decode = reply.decode
decode_error = failure.decode_error
build_decoder = reply.Decoder
_HOST = re.compile(r"^https://(global|us|eu)-aiplatform\.googleapis\.com(?=/)")


def encode(request: Request, target: Target, *, stream: bool = False) -> Sending:
    """Write a request; raises what the protocol says."""
    return Sending(url=f"{build_place(target)}:{name_verb(stream=stream)}", body=write_body(request, target))


def build_place(target: Target) -> str:
    """Build a model's address, up to what is asked of it."""
    return f"{build_base_url(target)}/publishers/google/models/{quote(target.model_name, safe='')}"


def build_base_url(target: Target) -> str:
    """Build the address of a project's place; what is no single region has a host of another form."""
    return _HOST.sub(_name_host, target.base_url.rstrip("/"))


def _name_host(found: re.Match[str]) -> str:
    """Name the host of what is no single region: the whole world, or a continent."""
    place = found[1]
    return (
        "https://aiplatform.googleapis.com" if place == "global" else f"https://aiplatform.{place}.rep.googleapis.com"
    )


def sign(sending: Sending, target: Target, *, credentials: Credentials, now: float) -> Sending:
    """Add the token; raises what the protocol says."""
    token = find_key(target.provider, credentials)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    return structs.replace(sending, headers=sending.headers | headers)
