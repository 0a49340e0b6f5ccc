"""Which of our errors is a provider's refusal?

Neither the provider's sentences nor the body are repeated: they may hold the key, the prompt, or another user's text.
Only the provider's short code words are.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from quorate.errors import (
    Forbidden,
    NotFound,
    QuorateError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UnknownName,
    UpstreamError,
)
from quorate.models.target import Target

Kind = Literal["", "key", "access", "context", "quota", "rate", "model", "absent", "busy"]
KINDS: dict[int, Kind] = {401: "key", 403: "access", 404: "absent", 413: "context", 429: "rate", 529: "busy"}
RETRYABLE = frozenset({408, 500, 502, 503, 504, 529})
_WORD = re.compile(r"[A-Za-z][A-Za-z_]{1,47}")


class Refusal(Struct, frozen=True, kw_only=True):
    """What a provider refused, in words that all formats share."""

    status: int | None = None
    """The HTTP status; `None` inside a stream that began well."""
    code: str = ""
    """The provider's own word; shown where it is a word."""
    kind: Kind = ""
    """What it is about; the status tells when nothing is said."""
    retry_after_s: float | None = None


def build_error(refusal: Refusal, target: Target) -> QuorateError:
    """Say in our words what a provider refused."""
    code = refusal.code if _WORD.fullmatch(refusal.code) else ""
    status, wait = refusal.status, refusal.retry_after_s
    words = [f"HTTP {status}"] if status is not None else []
    said = ", ".join(words + ([f"code `{code}`"] if code else [])) or "no code given"
    kind = refusal.kind or KINDS.get(status or 0, "")
    who = f"`{target.provider.name}`"
    if kind == "key":
        return Unauthenticated(
            f"{who} refused the credential ({said}). {_name_way(target)}, or use `--model playbook`, which needs none.",
            status=status,
            upstream_code=code,
        )
    if kind == "access":
        return Forbidden(
            f"{who} does not allow this with that credential ({said}): see the account's rights to the model.",
            status=status,
            upstream_code=code,
        )
    if kind == "context":
        return TooLarge(
            f"The request is larger than `{target.name}` can read ({said}). "
            "Shorten the conversation, or choose a model with a larger context.",
            status=status,
            upstream_code=code,
        )
    if kind == "model":
        return UnknownName("model", target.name, hint=f"{who} does not serve it ({said}).")
    if kind == "absent":
        place = target.provider.base_url_env
        way = f"`{place}`" if place else "the base URL"
        return NotFound(f"{who} has nothing at that address ({said}). Check {way}, and the model's name.")
    if kind in ("rate", "quota"):
        return _build_rate(who, said, is_spent=kind == "quota", wait=wait, status=status, code=code)
    return _build_failure(who, said, refusal, code=code, is_busy=kind == "busy")


def _build_rate(
    who: str, said: str, *, is_spent: bool, wait: float | None, status: int | None, code: str
) -> RateLimited:
    way = "The account's quota is used up: see its billing." if is_spent else "Make fewer calls, or try again later."
    error = RateLimited(
        f"{who} wants fewer calls ({said}). {way}", retry_after_s=wait, status=status, upstream_code=code
    )
    error.retryable = not is_spent
    return error


def _build_failure(who: str, said: str, refusal: Refusal, *, code: str, is_busy: bool) -> UpstreamError:
    status = refusal.status
    if status is not None and 300 <= status < 400:
        return UpstreamError(
            f"{who} answered with a redirect ({said}), which is not followed. Set the base URL to the final address.",
            status=status,
            upstream_code=code,
        )
    where = " in the middle" if status is None else ""
    return UpstreamError(
        f"{who} failed{where} ({said}).",
        status=status,
        retryable=is_busy or status is None or status in RETRYABLE,
        upstream_code=code,
        retry_after_s=refusal.retry_after_s,
    )


def _name_way(target: Target) -> str:
    name = target.provider.key_env
    return f"Check `{name}`" if name else "This server wants a key"
