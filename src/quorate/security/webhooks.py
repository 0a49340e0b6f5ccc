"""How is a webhook signed, and how does whoever receives one know that it is ours, whole and fresh?

This is the symmetric scheme of the Standard Webhooks specification 1.0.0 (https://www.standardwebhooks.com):
HMAC-SHA256 over `id.timestamp.body`, in base64 behind `v1,`, with secrets that are written `whsec_` and base64.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets as secrets_
import time
from collections.abc import Mapping, Sequence

from quorate.errors import InvalidInput, Unauthenticated
from quorate.security.secrets import Secret

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
PREFIX = "whsec_"
SECRET_BYTES = 32
LEAST_SECRET_BYTES = 24
MOST_SECRET_BYTES = 64
TOLERANCE_S = 300.0
"""How far the clocks of sender and receiver may be apart, the way between them included."""
MOST_SIGNATURES = 16
_VERSION = "v1"
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_ID = re.compile(r"[!-\-/-~]{1,256}", re.ASCII)
"""Without a dot: what is signed is parted by dots, and could be parted elsewhere."""


def new_webhook_secret() -> Secret:
    """Make a secret: `whsec_` and 32 random bytes in base64."""
    return Secret(PREFIX + base64.b64encode(secrets_.token_bytes(SECRET_BYTES)).decode())


def read_webhook_secret(secret: Secret | str) -> bytes:
    """Read the bytes that a secret stands for; the prefix and the padding may be missing.

    Raises:
        InvalidInput: It is no secret of 24 to 64 bytes in base64; its value is not shown.
    """
    text = (secret.reveal() if isinstance(secret, Secret) else secret).strip().removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not LEAST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES:
        raise InvalidInput(
            f"A webhook's secret is `{PREFIX}` and {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes in base64, and "
            "this is not: take the one that `quorate webhooks add` showed."
        )
    return key


def sign_webhook(message: str, body: bytes, *, timestamp: int, secrets: Sequence[Secret | str]) -> dict[str, str]:
    """Build the three headers of a webhook; with several secrets, there is a signature for each.

    Args:
        message: Its id, the same each time that it is sent.
        body: What is sent, byte for byte.
        timestamp: When it is sent, in seconds since 1970.
        secrets: With what; while one is being replaced, with both.

    Raises:
        InvalidInput: A secret is not one.
    """
    return {
        ID_HEADER: message,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: " ".join(
            f"{_VERSION},{_sign(read_webhook_secret(secret), message, str(timestamp), body)}" for secret in secrets
        ),
    }


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    *,
    secrets: Sequence[Secret | str],
    now: float | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> str:
    """Check that a webhook was sent by whoever shares a secret with us, just now, and return its id.

    Call it with the body as it came, before anything reads it. The id is the same when a webhook is sent again: keep
    those you have dealt with, and deal with each once.

    Args:
        headers: The request's headers, by names in any case.
        body: The request's body, byte for byte.
        secrets: The secrets to believe; two while one replaces the other.
        now: The time, in seconds since 1970; that of the machine's clock when not given.
        tolerance_s: How old or how far ahead it may be.

    Raises:
        Unauthenticated: A header is missing or is none, it is too old or too new, or no signature fits.
        InvalidInput: A secret is not one.
    """
    keys = [read_webhook_secret(secret) for secret in secrets]
    given = {name.lower(): value for name, value in headers.items()}
    message, timestamp = given.get(ID_HEADER, ""), given.get(TIMESTAMP_HEADER, "")
    if _ID.fullmatch(message) is None or _TIMESTAMP.fullmatch(timestamp) is None:
        raise Unauthenticated(f"This is no webhook: `{ID_HEADER}` or `{TIMESTAMP_HEADER}` is missing or is none.")
    apart_s = (time.time() if now is None else now) - int(timestamp)
    if abs(apart_s) > tolerance_s:
        raise Unauthenticated(
            f"The webhook was sent {abs(apart_s):.0f} s {'ago' if apart_s > 0 else 'ahead of our clock'}, and "
            f"{tolerance_s:g} s are allowed: it is sent again with the time of that moment; check the clock if this "
            "happens always."
        )
    offered = given.get(SIGNATURE_HEADER, "").split(" ", MOST_SIGNATURES)[:MOST_SIGNATURES]
    found = [item.partition(",")[2] for item in offered if item.partition(",")[0] == _VERSION]
    is_ours = False
    # All of them are compared, so that the time it takes does not tell which one fits.
    for key in keys:
        expected = _sign(key, message, timestamp, body).encode()
        for signature in found:
            is_ours |= hmac.compare_digest(expected, signature.encode("utf-8", "surrogatepass"))
    if not is_ours:
        raise Unauthenticated("The webhook bears no signature that fits: it is not ours, or it was changed.")
    return message


def _sign(key: bytes, message: str, timestamp: str, body: bytes) -> str:
    return base64.b64encode(hmac.digest(key, f"{message}.{timestamp}.".encode() + body, "sha256")).decode()
