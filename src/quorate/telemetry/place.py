"""In which step of which run, or in which request, is the code that runs just now?"""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import ContextVar, Token

from msgspec import Struct

from quorate.ports import RunInfo
from quorate.telemetry.context import SpanContext, derive_span_id, find_context


class Place(Struct, frozen=True, gc=False):
    """A step of a run, a run, or a request, and the span that it is."""

    run: str
    """Empty in a request."""
    key: str
    """Empty between the steps of a run."""
    context: SpanContext
    request: str = ""
    """The id of the request, where it is one."""


_place: ContextVar[Place | None] = ContextVar("quorate_place", default=None)


def get_place() -> Place | None:
    """Return the step, run or request that the caller works for; `None` where it is none of them."""
    return _place.get()


def find_trace() -> str | None:
    """Find the W3C `traceparent` of what the caller works for; `None` where nobody asked for it."""
    place = _place.get()
    return place.context.traceparent if place is not None else None


def find_place(info: RunInfo, key: str) -> Place:
    """Work out the span of a step, which others can be told to be above theirs."""
    run = find_context(info.run, info.trace)
    return Place(info.run, key, SpanContext(run.trace_id, derive_span_id(info.run, key), run.is_sampled))


def find_run_place(run: str, trace: str = "") -> Place:
    """Work out the span of a run; see `find_context`."""
    return Place(run, "", find_context(run, trace))


def find_step_place(above: Place, key: str) -> Place:
    """Work out the span of a step of the run that is worked on."""
    context = above.context
    return Place(above.run, key, SpanContext(context.trace_id, derive_span_id(above.run, key), context.is_sampled))


class enter_place:  # noqa: N801  # it is used as a function is
    """Work for a step, a run or a request while a block lasts.

    Args:
        place: Which.
    """

    __slots__ = ("_place", "_token")

    def __init__(self, place: Place) -> None:
        self._place = place
        self._token: Token[Place | None] | None = None

    def __enter__(self) -> None:
        self._token = _place.set(self._place)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _place.reset(self._token)


async def work_in(place: Place, work: Awaitable[None]) -> None:
    """Do something in its place."""
    with enter_place(place):
        await work
