"""What does the description of a route say about refusals, and about what every answer bears?"""

from __future__ import annotations

from collections.abc import Mapping

from litestar.openapi.datastructures import ResponseSpec

from quorate.server.problems import MEDIA_TYPE, Problem

REFUSALS: Mapping[int, str] = {
    400: "Something in the request is not what it must be (`invalid_input`).",
    401: "No usable credential (`unauthenticated`).",
    402: "It could not be paid for (`budget_exceeded`).",
    403: "The credential does not allow it, or a rule says no (`forbidden`, `blocked_by_policy`).",
    404: "There is no such thing, or not for you (`not_found`).",
    405: "The path is not asked in this way (`method_not_allowed`); `Allow` says in which.",
    406: "The answer does not come in this form (`not_acceptable`).",
    409: "It does not go with what is there (`conflict`).",
    412: "It is not what it was when it was read (`conflict`): read it again.",
    413: "The body is too large (`too_large`).",
    415: "The body is of a kind that is not read here (`unsupported_media_type`).",
    416: "There are no such bytes.",
    429: "Too much at once (`rate_limited`): come again after `Retry-After`.",
    500: "Something broke here (`internal`, `corrupt_state`).",
    502: "A provider failed (`upstream_error`).",
    503: "Not at the moment (`overloaded`, `unavailable`, `missing_extra`): come again after `Retry-After`.",
    504: "Time ran out (`deadline_exceeded`).",
    507: "There is no room to record it (`storage_full`); reads still work.",
}
"""What each status of a refusal means, with the codes that it comes with."""


def refuses(*statuses: int) -> dict[int, ResponseSpec]:
    """Say how a route refuses beside what all routes do; it goes into the `responses` of the route.

    Nobody needs to name what follows from the route itself: 400, 401, 403, 429 and 503 are everywhere, 404 where there
    is an id in the path, 413 and 415 where there is a body, 507 where something is written.

    Args:
        statuses: Such as 402, 409 or 412.
    """
    return {status: describe_refusal(status) for status in statuses}


def describe_refusal(status: int) -> ResponseSpec:
    """Say what a refusal with a status looks like."""
    return ResponseSpec(
        data_container=Problem, generate_examples=False, description=REFUSALS[status], media_type=MEDIA_TYPE
    )
