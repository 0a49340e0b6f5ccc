"""What did the provider refuse, in the words of our errors?

Neither the provider's sentences nor the body are repeated: they may hold the key, the prompt, or another user's text.
Only the provider's short code words are.
"""

from __future__ import annotations

import re

import msgspec

from quorate.errors import (
    BlockedByPolicy,
    InvalidInput,
    NotFound,
    QuorateError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UnknownName,
    UpstreamError,
)
from quorate.models.facts import Provider
from quorate.models.providers.openai.wire import Fault, Refusal

CONTEXT_CODES = frozenset(
    {"context_length_exceeded", "string_above_max_length", "request_too_large", "exceed_context_size_error"}
)
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
RATE_CODES = frozenset({"rate_limit_exceeded", "rate_limit_error", "requests", "tokens", "429"})
MODEL_CODES = frozenset({"model_not_found", "invalid_model", "model_not_exist"})
GENERATION_CODES = frozenset({"tool_use_failed", "json_validate_failed"})
"""What is said when the model wrote what its provider could not read: it may do better another time."""
FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_prompt", "bio_policy"})
"""What is said when it is the question that is refused for its contents."""
RETRYABLE = frozenset({408, 500, 502, 503, 504})
KEY_STATUSES = frozenset({"401", "403"})
SPENT_STATUS = "402"
FINAL_STATUSES = frozenset({"400", "404", "405", "413", "422"})
"""Statuses that some gateways say in an answer which had begun well; the same request would fail again."""
_CONTEXT = re.compile(r"context (length|window)|maximum (context|number of tokens)|too many tokens", re.IGNORECASE)
_RESPONSES = re.compile(r"\bv1/responses\b")
"""What is said of a model that thinks, or that chat completions do not have."""
_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z][a-z_]{1,47}")
_PARAM = re.compile(r"[a-z][a-z_]{0,31}(\[\d{1,5}\])?(\.[a-z_]{1,32}){0,4}")
_decode = msgspec.json.Decoder(Refusal).decode


def decode_error(
    status: int, body: bytes, *, provider: Provider, model_name: str, retry_after_s: float | None = None
) -> QuorateError:
    """Read a refusal: an HTTP status that is not a success, and what came with it."""
    fault = _read_fault(body)
    code, who = _name_code(fault), f"`{provider.name}`"
    said = _describe(status, fault)
    if status in (401, 403):
        way = f"Check `{provider.key_env}`" if provider.key_env else "This server wants a key"
        return Unauthenticated(
            f"{who} refused the credential ({said}). {way}, or use `--model playbook`, which needs no key.",
            status=status,
            upstream_code=code,
        )
    if status == 404 or code in MODEL_CODES:
        return _read_absence(fault, provider, model_name, said)
    if status == 413 or code in CONTEXT_CODES or (status in (400, 422) and _CONTEXT.search(fault.message or "")):
        return TooLarge(
            f"The request is larger than `{provider.name}:{model_name}` can read ({said}). "
            "Shorten the conversation, or choose a model with a larger context.",
            status=status,
            upstream_code=code,
        )
    if code in FILTER_CODES:
        return _read_filter(code, who, said, status)
    if status in (402, 429) or code in QUOTA_CODES:
        return _read_rate(code, who, said, retry_after_s, status)
    if status == 400 and _RESPONSES.search(fault.message or ""):
        return InvalidInput(
            f"{who} answers this by Responses alone ({said}): name `openai-responses:{model_name}`, or the like of it "
            "at another provider, or set `reasoning` to `none`."
        )
    if 300 <= status < 400:
        return UpstreamError(
            f"{who} answered with a redirect ({said}), which is not followed. Set the base URL to the final address.",
            status=status,
            upstream_code=code,
        )
    return UpstreamError(
        f"{who} failed ({said}).",
        status=status,
        retryable=status in RETRYABLE or code in GENERATION_CODES,
        upstream_code=code,
        retry_after_s=retry_after_s,
    )


def build_stream_error(fault: Fault | str) -> QuorateError:
    """Read a refusal that came inside an answer which had begun well."""
    fault = Fault(message=fault) if isinstance(fault, str) else fault
    code = _name_code(fault)
    if code in QUOTA_CODES or code in RATE_CODES or fault.type in RATE_CODES:
        return _read_rate(code, "The model's provider", _describe(None, fault), None, None)
    if code in FILTER_CODES:
        return _read_filter(code, "The model's provider", _describe(None, fault), None)
    if code in CONTEXT_CODES or _CONTEXT.search(fault.message or ""):
        return TooLarge("The request is larger than the model can read.", upstream_code=code)
    if code in KEY_STATUSES:
        return Unauthenticated(
            f"The model's provider refused the credential ({_describe(None, fault)}).", upstream_code=code
        )
    if code == SPENT_STATUS:
        return _read_rate(code, "The model's provider", _describe(None, fault), None, 402)
    return UpstreamError(
        f"The model's provider failed in the middle ({_describe(None, fault)}).",
        retryable=code not in FINAL_STATUSES,
        upstream_code=code,
    )


def _read_filter(code: str, who: str, said: str, status: int | None) -> BlockedByPolicy:
    return BlockedByPolicy(
        f"{who} does not answer this, for its contents ({said}). Say it otherwise, or see the filters of the account.",
        status=status,
        upstream_code=code,
    )


def _read_rate(code: str, who: str, said: str, retry_after_s: float | None, status: int | None) -> RateLimited:
    spent = status == 402 or code in QUOTA_CODES
    way = "The account's quota is used up: see its billing." if spent else "Make fewer calls, or try again later."
    error = RateLimited(
        f"{who} wants fewer calls ({said}). {way}", retry_after_s=retry_after_s, status=status, upstream_code=code
    )
    error.retryable = not spent
    return error


def _read_absence(fault: Fault, provider: Provider, model_name: str, said: str) -> QuorateError:
    if _name_code(fault) in MODEL_CODES or _MODEL.search(fault.message or ""):
        hint = f"`{provider.name}` does not serve it ({said})."
        return UnknownName("model", f"{provider.name}:{model_name}", hint=hint)
    place = f"Check `{provider.base_url_env}`" if provider.base_url_env else "Check the base URL"
    end = "; it often ends with `/v1`" if provider.dialect in ("openai", "responses") else ""
    return NotFound(f"`{provider.name}` has nothing at that address ({said}). {place}{end}.")


def _read_fault(body: bytes) -> Fault:
    try:
        refusal = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault()
    if isinstance(refusal.error, Fault):
        return refusal.error
    return Fault(message=refusal.error or refusal.message, type=refusal.type, code=refusal.code, param=refusal.param)


def _name_code(fault: Fault) -> str:
    """Return the provider's word for the fault, where it is a word."""
    for word in (fault.code, fault.type):
        if isinstance(word, str) and _WORD.fullmatch(word):
            return word
    return str(fault.code) if isinstance(fault.code, int) and 100 <= fault.code < 600 else ""


def _describe(status: int | None, fault: Fault) -> str:
    said = [f"HTTP {status}"] if status is not None else []
    code = _name_code(fault)
    if code:
        said.append(f"code `{code}`")
    if fault.param and _PARAM.fullmatch(fault.param):
        said.append(f"parameter `{fault.param}`")
    return ", ".join(said) or "no code given"
