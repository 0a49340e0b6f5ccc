"""How does what tools and models do come to stand under their step in a trace?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from quorate.messages import Reply, StreamItem, ToolCall, ToolResult
from quorate.ports import Model, RunContext, Toolset
from quorate.specs import ModelProfile, Request, ToolSpec
from quorate.telemetry.context import SpanContext
from quorate.telemetry.place import Place, enter_place, find_place, find_step_place, get_place


class Traced:
    """A toolset during whose calls logs, and clients that others trace, know which step they belong to.

    Args:
        inner: The tools.
        enter: Opened around each call with the span of its step, such as to tell OpenTelemetry of it.
    """

    def __init__(
        self, inner: Toolset, enter: Callable[[SpanContext], AbstractContextManager[object]] | None = None
    ) -> None:
        self.inner = inner
        self._enter = enter or nullcontext

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self.inner.specs()

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Make a call in its place."""
        place = find_place(context.info, context.key)
        with enter_place(place), self._enter(place.context):
            return await self.inner.call(call, context)


class TracedModel:
    """A `Model` during whose calls logs, and requests over HTTP, know which step of which run they belong to.

    Args:
        inner: Who is asked.
    """

    def __init__(self, inner: Model) -> None:
        self.inner = inner

    @property
    def profile(self) -> ModelProfile:
        """What it can do."""
        return self.inner.profile

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the inner model raises."""
        place = _find_place(request)
        if place is None:
            return await self.inner.complete(request)
        with enter_place(place):
            return await self.inner.complete(request)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; raises what the inner model raises."""
        place = _find_place(request)
        items = self.inner.stream(request)
        try:
            # Whoever reads a stream may do so from several tasks, and the place is one task's: it is entered for the
            # first piece alone, as the request is sent for it.
            with nullcontext() if place is None else enter_place(place):
                first = await anext(items, None)
            if first is None:
                return
            yield first
            async for item in items:
                yield item
        finally:
            if isinstance(items, AsyncGenerator):
                await items.aclose()


def _find_place(request: Request) -> Place | None:
    above = get_place()
    if above is None or not request.key or above.run != request.caller.run:
        return None
    return find_step_place(above, request.key)
