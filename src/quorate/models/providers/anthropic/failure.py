"""What did Anthropic refuse?"""

from __future__ import annotations

import re

import msgspec

from quorate.errors import QuorateError
from quorate.models.providers.anthropic.wire import Fault
from quorate.models.providers.anthropic.wire import Refusal as Body
from quorate.models.providers.refusals import Kind, Refusal, build_error
from quorate.models.target import Target

KINDS: dict[str, Kind] = {
    "authentication_error": "key",
    "permission_error": "access",
    "billing_error": "quota",
    "request_too_large": "context",
    "rate_limit_error": "rate",
    "overloaded_error": "busy",
    "api_error": "busy",
    "timeout_error": "busy",
}
_CONTEXT = re.compile(r"prompt is too long|exceeds? (the )?context|context window", re.IGNORECASE)
_CREDIT = re.compile(r"credit balance", re.IGNORECASE)
_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)
_decode = msgspec.json.Decoder(Body).decode


def decode_error(status: int, body: bytes, target: Target, *, retry_after_s: float | None = None) -> QuorateError:
    """Read a refusal; neither the provider's sentences nor the body are repeated."""
    try:
        fault = _decode(body).error or Fault()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fault = Fault()
    said = fault.message or ""
    kind: Kind = ""
    if status in (400, 413, 422) and _CONTEXT.search(said):
        kind = "context"
    elif status in (400, 402) and _CREDIT.search(said):
        kind = "quota"
    elif status == 404 and _MODEL.search(said):
        kind = "model"
    elif status in (402, 529):
        kind = KINDS.get(fault.type or "", "")
    return build_error(Refusal(status=status, code=fault.type or "", kind=kind, retry_after_s=retry_after_s), target)


def build_stream_error(fault: Fault, target: Target) -> QuorateError:
    """Read a refusal that came inside an answer which had begun well."""
    kind: Kind = "context" if _CONTEXT.search(fault.message or "") else KINDS.get(fault.type or "", "")
    return build_error(Refusal(code=fault.type or "", kind=kind), target)
