"""How does what a tool does come to stand under the tool's call in a trace?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from quorate.messages import ToolCall, ToolResult
from quorate.ports import RunContext, Toolset
from quorate.specs import ToolSpec
from quorate.telemetry.context import SpanContext
from quorate.telemetry.place import enter_place, find_place


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
