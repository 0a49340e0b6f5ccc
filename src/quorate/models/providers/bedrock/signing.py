"""How does a request say who sends it: with a bearer key, or with a signature that is good for some minutes?

Credentials come from environment names alone; no file and no metadata service is asked for one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from msgspec import structs

from quorate.errors import InvalidInput, MissingExtra, Unauthenticated
from quorate.models.credentials import Credentials
from quorate.models.target import Sending, Target

BEARER = "AWS_BEARER_TOKEN_BEDROCK"
KEY_ID, SECRET, SESSION = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
SERVICE = "bedrock"
_UNFIT = re.compile(r"[^!-~]")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{2,16}){1,3}-\d{1,2}")


class _Request(Protocol):
    """A request that is to be signed."""

    context: dict[str, object]


class _Signer(Protocol):
    """The steps of botocore's `SigV4Auth`, which has no types."""

    def canonical_request(self, request: _Request) -> str: ...

    def string_to_sign(self, request: _Request, canonical_request: str) -> str: ...

    def signature(self, string_to_sign: str, request: _Request) -> str: ...

    def headers_to_sign(self, request: _Request) -> object: ...

    def signed_headers(self, headers_to_sign: object) -> str: ...

    def scope(self, request: _Request) -> str: ...


class _Botocore(NamedTuple):
    """What is used of botocore."""

    build_signer: Callable[[object, str, str], _Signer]
    build_request: Callable[[str, str, dict[str, str], bytes], _Request]
    build_key: Callable[[str, str, str], object]


def add_credential(sending: Sending, target: Target, *, credentials: Credentials, now: float) -> Sending:
    """Add the credential: the bearer key where there is one, else a signature.

    Raises:
        Unauthenticated: There is neither; the message says which names to set.
        InvalidInput: The region is not known.
        MissingExtra: A signature needs the extra `bedrock`.
    """
    bearer = _find_value(BEARER, target, credentials)
    if bearer:
        return structs.replace(sending, headers=sending.headers | {"Authorization": f"Bearer {bearer}"})
    key_id, secret = _find_value(KEY_ID, target, credentials), _find_value(SECRET, target, credentials)
    if not key_id or not secret:
        missing = KEY_ID if not key_id else SECRET
        raise Unauthenticated(
            f"`{target.provider.name}` needs a credential, and `{missing}` is not set: set `{BEARER}`, or `{KEY_ID}` "
            f"and `{SECRET}` (with `{SESSION}` for a session), or use `--model playbook`, which needs none.",
            provider=target.provider.name,
            variable=missing,
        )
    signed = sign(
        sending,
        key=(key_id, secret, _find_value(SESSION, target, credentials)),
        region=find_region(sending.url, credentials),
        now=now,
    )
    return structs.replace(sending, headers=sending.headers | signed)


def sign(sending: Sending, *, key: tuple[str, str, str], region: str, now: float) -> dict[str, str]:
    """Sign a request as AWS asks for it (`AWS4-HMAC-SHA256`) and return the headers that say so.

    Args:
        sending: What is sent.
        key: The key's id, the secret, and the session's token, which may be empty.
        region: Where it is sent.
        now: Seconds since 1970; a clock that is more than five minutes off is refused there.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"Content-Type": sending.headers.get("Content-Type", "application/json"), "X-Amz-Date": stamp}
    if key[2]:
        headers["X-Amz-Security-Token"] = key[2]
    botocore = load_botocore()
    request = botocore.build_request(sending.method, sending.url, headers, sending.body)
    request.context["timestamp"] = stamp
    # The signer's own entry point reads the clock; its steps take the time from the request.
    signer = botocore.build_signer(botocore.build_key(*key), SERVICE, region)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    scope = signer.scope(request)
    headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"
    return headers


def load_botocore() -> _Botocore:
    """Load what signs; the first time takes a quarter of a second.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        parts = [import_module(f"botocore.{name}") for name in ("auth", "awsrequest", "credentials")]
    except ImportError as error:
        raise MissingExtra("Signing requests to Bedrock", "bedrock") from error
    names = ("SigV4Auth", "AWSRequest", "Credentials")
    found = [getattr(part, name) for part, name in zip(parts, names, strict=True)]
    return _Botocore(*found)


def find_region(url: str, credentials: Credentials) -> str:
    """Find the region a request is signed for: that of the address, else what is set.

    Raises:
        InvalidInput: There is none.
    """
    host = urlsplit(url).hostname or ""
    found = next((label for label in host.split(".") if _REGION.fullmatch(label)), "")
    for name in REGIONS:
        found = found or (credentials(name) or "").strip()
    if not _REGION.fullmatch(found):
        raise InvalidInput(
            f"The region {found!r} is none that a request can be signed for: set `{REGIONS[0]}`, such as `us-east-1`."
        )
    return found


def _find_value(name: str, target: Target, credentials: Credentials) -> str:
    value = (credentials(name) or "").strip()
    if _UNFIT.search(value):
        raise Unauthenticated(
            f"`{name}` holds a space or a character no key has: set it to the key alone.",
            provider=target.provider.name,
            variable=name,
        )
    return value
