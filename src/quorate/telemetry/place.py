"""In which step of which run is the code that runs just now?"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct

from quorate.ports import RunInfo
from quorate.telemetry.context import SpanContext, derive_span_id, find_context


class Place(Struct, frozen=True, gc=False):
    """A step of a run, and the span that it is."""

    run: str
    key: str
    context: SpanContext


_place: ContextVar[Place | None] = ContextVar("quorate_place", default=None)


def get_place() -> Place | None:
    """Return the step that the caller works for, or `None` outside of tools."""
    return _place.get()


def find_trace() -> str | None:
    """Find the W3C `traceparent` of the step that the caller works for, or `None` outside of tools."""
    place = _place.get()
    return place.context.traceparent if place is not None else None


def find_place(info: RunInfo, key: str) -> Place:
    """Work out the span of a step, which others can be told to be above theirs."""
    run = find_context(info.run, info.trace)
    return Place(info.run, key, SpanContext(run.trace_id, derive_span_id(info.run, key), run.is_sampled))


@contextmanager
def enter_place(place: Place) -> Generator[None]:
    """Work for a step while a block lasts."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)
