"""How does one get a token for Google's cloud from a key file?

A service account's key signs a short statement (RFC 7523), a person's own file holds a refresh token; Google's token
server gives an access token for either.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from quorate.errors import MissingExtra, QuorateError, RateLimited, Unauthenticated, UpstreamError
from quorate.models.addresses import check_base_url
from quorate.models.credentials import Credentials
from quorate.models.providers import Token
from quorate.models.providers.refusals import RETRYABLE
from quorate.models.target import Sending, Target

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  # an address
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LIFE_S = 3600
MAX_LIFE_S = 43_200.0
_WORD = re.compile(r"[a-z][a-z_]{1,47}")
_TOKEN = re.compile(r"[!-~]{1,8192}")
_encode = msgspec.json.Encoder().encode


class Key(Struct, frozen=True, kw_only=True):
    """A credential file; it is never shown."""

    type: str = ""
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""
    token_uri: str = TOKEN_URL

    def __repr__(self) -> str:
        return f"<Key {self.type!r}>"


class Granted(Struct, frozen=True, kw_only=True):
    """What the token server gives."""

    access_token: str
    expires_in: float = 0.0


class Refused(Struct, frozen=True, kw_only=True):
    """What the token server refuses with."""

    error: str = ""


_decode_key = msgspec.json.Decoder(Key).decode
_decode = msgspec.json.Decoder(Granted).decode
_decode_refusal = msgspec.json.Decoder(Refused).decode


def find_source(target: Target, credentials: Credentials) -> str | None:
    """Find what a token is fetched with; raises what the protocol says."""
    given, file = target.provider.key_env or "", name_file(target)
    if (credentials(given) or "").strip():
        return None
    source = (credentials(file) or "").strip()
    if source:
        return source
    raise Unauthenticated(
        f"`{target.provider.name}` needs a token: set `{given}`, or `{file}` to a service account's key file, "
        "or use `--model playbook`, which needs none.",
        provider=target.provider.name,
        variable=given,
    )


def name_file(target: Target) -> str:
    """Name the environment variable that holds the key file."""
    return target.provider.file_env or ""


def encode(source: str, target: Target, *, now: float) -> Sending:
    """Write the request for a token; raises what the protocol says."""
    file = name_file(target)
    key = read_key(source, file=file)
    check_base_url(key.token_uri, what=f"`token_uri` in the file of `{file}`")
    if key.type == "authorized_user":
        form = {
            "grant_type": "refresh_token",
            "client_id": key.client_id,
            "client_secret": key.client_secret,
            "refresh_token": key.refresh_token,
        }
    else:
        form = {
            "grant_type": JWT_BEARER,
            "assertion": build_assertion(key, now, file=file),
        }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Sending(url=key.token_uri, body=urlencode(form).encode(), headers=headers)


def read_key(source: str, *, file: str) -> Key:
    """Read a credential file; `file` names it in errors.

    Raises:
        Unauthenticated: It is of a type that cannot be used here, or not whole.
    """
    try:
        key = _decode_key(source)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # Not as the cause: it may show what the file holds.
        raise _build_unfit(file, "it is no JSON of a Google credential") from None
    if key.type == "service_account":
        if not (key.client_email and key.private_key):
            raise _build_unfit(file, "it has no `client_email` or no `private_key`")
    elif key.type == "authorized_user":
        if not (key.client_id and key.refresh_token):
            raise _build_unfit(file, "it has no `client_id` or no `refresh_token`")
    else:
        raise _build_unfit(file, f"its type is {key.type[:40]!r}; known are `service_account` and `authorized_user`")
    return key


def build_assertion(key: Key, now: float, *, file: str) -> str:
    """Build the statement that a service account signs; raises what `encode` raises."""
    issued = int(now)
    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": key.private_key_id} if key.private_key_id else {})
    claims = {
        "iss": key.client_email,
        "scope": SCOPE,
        "aud": key.token_uri,
        "iat": issued,
        "exp": issued + LIFE_S,
    }
    signed = b".".join([_armour(_encode(header)), _armour(_encode(claims))])
    return b".".join([signed, _armour(sign_text(signed, key.private_key, file=file))]).decode()


def sign_text(text: bytes, private_key: str, *, file: str) -> bytes:
    """Sign a text with an RSA key; `file` names in errors where it stands."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise MissingExtra("Signing in to Vertex AI with a service account's key", "vertex") from error
    try:
        key = load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _build_unfit(file, "its `private_key` is none") from None
    if not isinstance(key, RSAPrivateKey):
        raise _build_unfit(file, "its `private_key` is no RSA key")
    return key.sign(text, PKCS1v15(), SHA256())


def decode(body: bytes) -> Token:
    """Read the token.

    Raises:
        UpstreamError: There is none.
    """
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if found is None or not _TOKEN.fullmatch(found.access_token):
        raise UpstreamError("Google's token server gave no token.", retryable=True)
    return Token(value=found.access_token, lasts_s=min(max(0.0, found.expires_in), MAX_LIFE_S))


def decode_error(status: int, body: bytes, target: Target, *, retry_after_s: float | None = None) -> QuorateError:
    """Read a refusal; the body is not repeated."""
    try:
        word = _decode_refusal(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        word = ""
    code = word if _WORD.fullmatch(word) else ""
    said = f"HTTP {status}" + (f", code `{code}`" if code else "")
    who = f"`{target.provider.name}`"
    if status == 429:
        return RateLimited(
            f"Google's token server wants fewer calls ({said}); {who} waits for it.",
            retry_after_s=retry_after_s,
            status=status,
            upstream_code=code,
        )
    if 400 <= status < 500 and status not in RETRYABLE:
        return Unauthenticated(
            f"Google's token server refused the key of `{name_file(target)}` ({said}): check that the key "
            "is still valid, and that this machine's clock is right.",
            status=status,
            upstream_code=code,
        )
    return UpstreamError(
        f"Google's token server failed ({said}).",
        status=status,
        retryable=status in RETRYABLE,
        upstream_code=code,
        retry_after_s=retry_after_s,
    )


def _armour(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _build_unfit(file: str, why: str) -> Unauthenticated:
    return Unauthenticated(f"The file of `{file}` cannot be used: {why}.", variable=file)
