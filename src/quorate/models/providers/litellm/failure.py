"""What did LiteLLM raise, in the words of our errors? Its sentences are not repeated: they hold the provider's."""

from __future__ import annotations

import msgspec

from quorate.errors import InvalidInput, QuorateError, UpstreamError
from quorate.models.providers.openai.failure import decode_error
from quorate.models.retry import read_retry_after
from quorate.models.target import Target

CODES = {
    "ContextWindowExceededError": "context_length_exceeded",
    "ContentPolicyViolationError": "content_policy_violation",
    "NotFoundError": "model_not_found",
    "PaymentRequiredError": "insufficient_quota",
}
UNSUPPORTED = "UnsupportedParamsError"
NO_PROVIDER = "LLM Provider NOT provided"


def build_error(error: Exception, target: Target, *, now: float) -> QuorateError:
    """Say in our words what LiteLLM raised, whatever its class."""
    kind = type(error).__name__
    if isinstance(error, QuorateError):
        return error
    if kind == UNSUPPORTED:
        return InvalidInput(
            f"`{target.name}` cannot do all that was asked (`{kind}`): leave out settings, tools or the schema."
        )
    if NO_PROVIDER in str(error) or kind == "LiteLLMUnknownProvider":
        return InvalidInput(
            f"{target.model_name!r} names no provider that LiteLLM knows: write it like `litellm:groq/llama-3.3-70b`."
        )
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or not 300 <= status < 600:
        return UpstreamError(f"`{target.provider.name}` failed (`{kind[:64]}`).", retryable=False)
    body = msgspec.json.encode({"error": {"code": CODES.get(kind, "")}})
    return decode_error(
        status,
        body,
        provider=target.provider,
        model_name=target.model_name,
        retry_after_s=_find_retry_after(error, now),
    )


def _find_retry_after(error: Exception, now: float) -> float | None:
    for holder in (
        getattr(error, "litellm_response_headers", None),
        getattr(getattr(error, "response", None), "headers", None),
    ):
        if holder is not None:
            headers = {str(name).lower(): str(value) for name, value in dict(holder).items()}
            return read_retry_after(headers, now=now)
    return None
