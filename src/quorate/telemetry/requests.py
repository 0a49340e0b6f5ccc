"""What is known of a request over HTTP once it has ended?"""

from __future__ import annotations

import random

from msgspec import Struct

from quorate.telemetry.context import SpanContext, parse_traceparent
from quorate.telemetry.describe import Describer
from quorate.telemetry.sampling import Sampling
from quorate.telemetry.spans import Span

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
OTHER_METHOD = "_OTHER"
"""What stands for a method that is none (OpenTelemetry's HTTP conventions)."""
REFUSED = frozenset({400, 401, 403, 404, 429})
"""With what somebody is answered who may be a stranger: they do not choose what is shown."""
LEFT = "client_left"
"""The error of a request whose caller left before an answer began."""


class RequestPlace(Struct, frozen=True, gc=False):
    """Where in a trace a request is."""

    context: SpanContext
    parent: SpanContext | None = None
    """The span of whoever asks, where they said so."""


class RequestRecord(Struct, frozen=True, kw_only=True, gc=False):
    """A request that has ended; it holds no words of anybody's but the id it bears."""

    place: RequestPlace
    method: str
    route: str = ""
    """The path as it is declared, without ids; empty where there is no such route."""
    status: int = 0
    """0 where nothing was answered."""
    began: float
    """Wall time."""
    duration_s: float
    first_s: float | None = None
    """How long it took until the answer began."""
    is_stream: bool = False
    request_id: str = ""
    scheme: str = "http"

    @property
    def error(self) -> str:
        """How it failed, for requests that failed by our own fault or nobody's; empty for all others."""
        if self.status >= 500:
            return str(self.status)
        return "" if self.status else LEFT


def open_place(header: str, sampling: Sampling) -> RequestPlace:
    """Give a request its place: in the trace of whoever asks, or in one of its own.

    Args:
        header: The `traceparent` that came with it; what is none of the kind is as good as nothing.
        sampling: Which traces are shown.
    """
    asked, own = parse_traceparent(header) if header else None, f"{random.getrandbits(192):048x}"  # no secret
    if asked is not None:
        return RequestPlace(SpanContext(asked.trace_id, own[32:], asked.is_sampled), asked)
    context = SpanContext(own[:32], own[32:])
    is_drawn = sampling.is_drawn(context, is_asked=False)
    return RequestPlace(context if is_drawn else SpanContext(context.trace_id, context.span_id, is_sampled=False))


def is_shown(record: RequestRecord, sampling: Sampling) -> bool:
    """Whether a request's span is shown: as its trace was drawn, or because of how it ended."""
    context = record.place.context
    if context.is_sampled and (record.status not in REFUSED or sampling.is_drawn(context, is_asked=False)):
        return True
    if sampling.keep_errors and record.status >= 500:
        return True
    return sampling.keep_slower_s is not None and record.duration_s >= sampling.keep_slower_s


def build_request_span(record: RequestRecord, describer: Describer) -> Span:
    """Build the span of a request."""
    method = record.method if record.method in METHODS else OTHER_METHOD
    return Span(
        kind="request",
        name=f"{'HTTP' if method == OTHER_METHOD else method} {record.route}".strip(),
        context=record.place.context,
        parent=record.place.parent,
        began=record.began,
        ended=record.began + record.duration_s,
        attributes=describer.describe_request(
            method=method,
            route=record.route,
            status=record.status,
            scheme=record.scheme,
            request_id=record.request_id,
            error=record.error,
        ),
        error=record.error,
    )
