"""What did Google refuse?"""

from __future__ import annotations

import re

import msgspec

from quorate.errors import QuorateError
from quorate.models.providers.gemini.wire import Detail, Fault
from quorate.models.providers.gemini.wire import Refusal as Body
from quorate.models.providers.refusals import Kind, Refusal, build_error
from quorate.models.target import Target

KINDS: dict[str, Kind] = {
    "UNAUTHENTICATED": "key",
    "PERMISSION_DENIED": "access",
    "RESOURCE_EXHAUSTED": "rate",
    "NOT_FOUND": "absent",
    "UNAVAILABLE": "busy",
    "INTERNAL": "busy",
    "DEADLINE_EXCEEDED": "busy",
    "ABORTED": "busy",
}
MAX_DETAILS = 32
MAX_WAIT_S = 86_400.0
_KEY = re.compile(r"API key", re.IGNORECASE)
_CONTEXT = re.compile(r"exceeds the maximum number of tokens|token count .{0,80}exceeds|context window", re.IGNORECASE)
_MODEL = re.compile(r"\bmodels?/", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_decode_detail = msgspec.json.Decoder(Detail).decode
_decode = msgspec.json.Decoder(Body).decode
_decode_list = msgspec.json.Decoder(list[Body]).decode


def decode_error(status: int, body: bytes, target: Target, *, retry_after_s: float | None = None) -> QuorateError:
    """Read a refusal; neither the provider's sentences nor the body are repeated."""
    fault = _read_fault(body)
    details = _read_details(fault)
    wait = retry_after_s if retry_after_s is not None else _find_wait(details)
    said, kind = fault.message or "", ""
    if status == 400 and (_KEY.search(said) or any(one.reason == "API_KEY_INVALID" for one in details)):
        kind = "key"
    elif status == 400 and _CONTEXT.search(said):
        kind = "context"
    elif status == 404 and _MODEL.search(said):
        kind = "model"
    return build_error(Refusal(status=status, code=fault.status or "", kind=kind, retry_after_s=wait), target)


def build_stream_error(fault: Fault, target: Target) -> QuorateError:
    """Read a refusal that came inside an answer which had begun well."""
    kind: Kind = "context" if _CONTEXT.search(fault.message or "") else KINDS.get(fault.status or "", "")
    wait = _find_wait(_read_details(fault))
    return build_error(Refusal(code=fault.status or "", kind=kind, retry_after_s=wait), target)


def _read_fault(body: bytes) -> Fault:
    """Read the fault; a refused stream's body may be a list with one."""
    try:
        if body.lstrip().startswith(b"["):
            return next((one.error for one in _decode_list(body) if one.error is not None), Fault())
        return _decode(body).error or Fault()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault()


def _read_details(fault: Fault) -> list[Detail]:
    """Read what is added to a fault; what is of another form is skipped."""
    found: list[Detail] = []
    for raw in (fault.details or ())[:MAX_DETAILS]:
        try:
            found.append(_decode_detail(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return found


def _find_wait(details: list[Detail]) -> float | None:
    for one in details:
        match = _SECONDS.fullmatch(one.retry_delay or "")
        if match:
            return min(float(match[1]), MAX_WAIT_S)
    return None
