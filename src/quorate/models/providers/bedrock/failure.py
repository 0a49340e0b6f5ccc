"""What did Bedrock refuse, in the words of our errors?

What AWS writes is not repeated, as it may hold the prompt; its names of errors are. The name comes in a header
(`x-amzn-ErrorType`) or in the body, and a body may come wrapped in it: `{"ThrottlingException":{"message":...}}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import msgspec

from quorate.errors import InvalidInput, QuorateError, TooLarge, Unauthenticated
from quorate.models.providers.bedrock.wire import Fault
from quorate.models.providers.refusals import Kind, Refusal, build_error
from quorate.models.target import Target

NAMES: Mapping[str, Kind] = {
    "AccessDeniedException": "access",
    "ResourceNotFoundException": "model",
    "ThrottlingException": "rate",
    "TooManyRequestsException": "rate",
    "ServiceQuotaExceededException": "rate",
    "ModelNotReadyException": "busy",
    "ModelTimeoutException": "busy",
    "ModelErrorException": "busy",
    "ModelStreamErrorException": "busy",
}
"""What an error's name says more than its status: a model that is not ready answers 429, one that failed 424."""
STALE = frozenset({"ExpiredTokenException", "ExpiredToken"})
_NAME = re.compile(r"[A-Za-z]{3,64}")
_CLOCK = re.compile(
    r"signature (expired|not yet current)|is now (earlier|later) than|RequestTimeTooSkewed", re.IGNORECASE
)
_LARGE = re.compile(
    r"too (long|many (input )?tokens|large)|exceeds? the (maximum|context)|maximum (context|tokens|input)",
    re.IGNORECASE,
)
_PROFILE = re.compile(r"on-demand throughput|inference profile", re.IGNORECASE)
_MODEL = re.compile(
    r"model identifier|\bmodel\b.*(not found|end of its life|access)|could not resolve.*model", re.IGNORECASE
)
_EXPIRED = re.compile(r"token.*(expired|is invalid)", re.IGNORECASE)


def decode_error(status: int, body: bytes, target: Target, *, retry_after_s: float | None = None) -> QuorateError:
    """Read a refusal: an HTTP status that is not a success, and what came with it."""
    name, words = read_fault(body)
    said = f"HTTP {status}, `{name}`" if name else f"HTTP {status}"
    if status == 400 and _PROFILE.search(words):
        return InvalidInput(
            f"`{target.provider.name}` serves `{target.model_name}` through an inference profile alone ({said}): name "
            f"one, such as `{target.provider.name}:us.{target.model_name}`, or the ARN of one."
        )
    kind: Kind = NAMES.get(name, "")
    if _is_about_key(status, name, words):
        return _refuse_key(name, words, said, status)
    if status == 400 and _MODEL.search(words):
        kind = "model"
    elif status in (400, 422) and _LARGE.search(words):
        kind = "context"
    elif status == 424 and not kind:
        kind = "busy"
    return build_error(Refusal(status=status, code=name, kind=kind, retry_after_s=retry_after_s), target)


def build_stream_error(name: str, fault: Fault, target: Target) -> QuorateError:
    """Read a refusal that came inside an answer which had begun well; `name` is the event's."""
    code = name[:1].upper() + name[1:] if name != "error" else (fault.code or "")
    if code == "ValidationException" and _LARGE.search(fault.message or ""):
        return TooLarge("The request is larger than the model can read.", upstream_code=code)
    return build_error(Refusal(code=code, kind=NAMES.get(code, "")), target)


def read_fault(body: bytes) -> tuple[str, str]:
    """Read an error's name and its words, from a body that may be wrapped in the name; empty where there are none."""
    try:
        found = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    name = found.get("__type") or found.get("code") or ""
    if len(found) == 1:
        only, inner = next(iter(found.items()))
        if isinstance(inner, dict):
            name, found = only, cast("dict[str, object]", inner)
    words = found.get("message") or found.get("Message") or ""
    name = str(name).rpartition("#")[2].partition(":")[0]
    return (name if _NAME.fullmatch(name) else ""), (words[:4_096] if isinstance(words, str) else "")


def _is_about_key(status: int, name: str, words: str) -> bool:
    if name in STALE or _CLOCK.search(words):
        return True
    return status == 401 or (status == 403 and name != "AccessDeniedException") or bool(_EXPIRED.search(words))


def _refuse_key(name: str, words: str, said: str, status: int) -> Unauthenticated:
    if _CLOCK.search(words):
        way = "The signature's time is not the time there: check this machine's clock."
    elif name in STALE or _EXPIRED.search(words):
        way = (
            "The session is over: get new values for `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and "
            "`AWS_SESSION_TOKEN`, or for `AWS_BEARER_TOKEN_BEDROCK`."
        )
    else:
        way = "Check `AWS_BEARER_TOKEN_BEDROCK`, or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`."
    return Unauthenticated(f"Bedrock refused the credential ({said}). {way}", status=status, upstream_code=name)
