"""How does one talk to the models of OpenAI that Azure serves?

The words are those of chat completions; addresses, credentials and filters are Azure's. A model's name is that of its
deployment.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from msgspec import structs

from quorate.errors import InvalidInput
from quorate.models.credentials import Credentials, find_key, find_token
from quorate.models.framing import Framing
from quorate.models.providers.openai import build_decoder, decode, decode_error, request
from quorate.models.target import Sending, Target
from quorate.specs import Request

__all__ = ["VERSION_ENV", "build_decoder", "build_url", "decode", "decode_error", "encode", "framing", "sign"]

framing: Framing = "events"
VERSION_ENV = "AZURE_OPENAI_API_VERSION"
"""The environment name of the version that the dated addresses want."""
DATED = "/openai/deployments/"
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?|preview|latest|v1")
_UNDATED = frozenset({"preview", "latest", "v1"})


def encode(asked: Request, target: Target, *, stream: bool = False) -> Sending:
    """Write a request; raises what the protocol says."""
    return Sending(url=build_url(target, "chat/completions"), body=request.encode(asked, target, stream=stream))


def build_url(target: Target, what: str) -> str:
    """Build an address: the undated one, unless the base URL ends with `/openai`, where the dated ones begin."""
    base = target.base_url.rstrip("/")
    if base.endswith("/openai"):
        return f"{base}/deployments/{quote(target.model_name, safe='')}/{what}"
    return f"{base}/{what}" if base.endswith("/v1") else f"{base}/openai/v1/{what}"


def sign(sending: Sending, target: Target, *, credentials: Credentials, now: float) -> Sending:
    """Add the token or the key, and the version where there is one; raises what the protocol says.

    Raises:
        InvalidInput: The address wants a version, and there is none or it is not one.
    """
    headers = {"Content-Type": "application/json"}
    token = find_token(target.provider, credentials)
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    else:
        headers["api-key"] = find_key(target.provider, credentials) or ""
    url = add_version(sending.url, (credentials(VERSION_ENV) or "").strip())
    return structs.replace(sending, url=url, headers=sending.headers | headers)


def add_version(url: str, version: str) -> str:
    """Add the version to an address that takes it; raises what `sign` says."""
    is_dated = DATED in url
    if not version and not is_dated:
        return url
    if not _VERSION.fullmatch(version):
        why = "is not set" if not version else f"is {version[:40]!r}"
        raise InvalidInput(f"`{VERSION_ENV}` {why}: set it to a version such as `2024-10-21`.")
    return f"{url}?api-version={version}" if is_dated or version in _UNDATED else url
