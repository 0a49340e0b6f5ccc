"""What does a caller read when something goes wrong (RFC 9457)?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from quorate.errors import Conflict, InvalidInput, QuorateError, RateLimited

MEDIA_TYPE = "application/problem+json"
STATUS: dict[str, int] = {
    "invalid_input": 400,
    "no_agent": 400,
    "no_retriever": 400,
    "unauthenticated": 401,
    "budget_exceeded": 402,
    "forbidden": 403,
    "blocked_by_policy": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "upstream_error": 502,
    "overloaded": 503,
    "unavailable": 503,
    "missing_extra": 503,
    "deadline_exceeded": 504,
    "storage_full": 507,
}
"""The status of each code; of all others it is 500."""
TITLES: dict[str, str] = {
    "internal": "Something broke here",
    "unauthenticated": "No usable credential",
    "not_found": "There is no such thing",
}
RETRYABLE = frozenset(
    {"rate_limited", "overloaded", "unavailable", "deadline_exceeded", "upstream_error", "storage_full"}
)
SHOWN = frozenset({"overloaded", "deadline_exceeded", "upstream_error", "rate_limited"})
"""Failures whose reasons callers may read; those of all others name places and parts of ours."""
CODES = {status: code for code, status in reversed(STATUS.items())}
"""What a framework's own refusals are called here."""
RETRY_S = 1.0


class WrongMethod(InvalidInput):
    """Something is asked for in a way that it does not know; `allow` in its context says which ways it does."""

    code = "method_not_allowed"


class Outdated(Conflict):
    """What is to be changed is not what it was when it was read; a conflict with a status of its own (412)."""

    status = 412


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something was refused, or did not work."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    """For programs; it never changes for the same reason."""
    detail: str = ""
    """For people: what, where, and what to do next."""
    retryable: bool
    request_id: str
    """To quote when asking about it."""
    instance: str = ""


def build_problem(error: Exception, *, request_id: str) -> Problem:
    """Say what went wrong; of errors that are not ours nothing is told but that there was one."""
    if not isinstance(error, QuorateError):
        detail = "It is in the log under this request id."
        return Problem(
            title=TITLES["internal"], status=500, code="internal", detail=detail, retryable=False, request_id=request_id
        )
    code = error.code
    title = TITLES.get(code) or code.replace("_", " ").capitalize()
    status = error.status if isinstance(error, Outdated) else STATUS.get(code, 500)
    return Problem(
        title=title,
        status=status,
        code=code,
        detail=error.message if status < 500 or code in SHOWN else "Why is in the log under this request id.",
        retryable=error.retryable or code in RETRYABLE,
        request_id=request_id,
    )


def build_status_problem(status: int, detail: str, *, request_id: str) -> Problem:
    """Say what the framework refused, such as an unknown path."""
    code = CODES.get(status, "invalid_input" if status < 500 else "internal")
    title = TITLES.get(code) or code.replace("_", " ").capitalize()
    return Problem(
        title=title, status=status, code=code, detail=detail, retryable=code in RETRYABLE, request_id=request_id
    )


def build_headers(problem: Problem, error: Exception | None = None) -> Mapping[str, str]:
    """Build the headers that go with a problem: how to prove who one is, and when to come again."""
    headers: dict[str, str] = {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="quorate"'
    if isinstance(error, WrongMethod):
        headers["Allow"] = str(error.context["allow"])
    if problem.retryable:
        after = error.retry_after_s if isinstance(error, RateLimited) else None
        headers["Retry-After"] = str(max(1, math.ceil(RETRY_S if after is None else after)))
    return headers


encode_problem = msgspec.json.Encoder().encode
