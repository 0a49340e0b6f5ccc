"""How do hooks take effect on tool calls?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

from quorate.errors import Forbidden, InvalidInput, mend_text
from quorate.events import GuardBlocked
from quorate.hooks.ask import Report, consult, describe_points
from quorate.hooks.hook import Hook, Moment, Point
from quorate.messages import ToolCall, ToolResult
from quorate.ports import RunContext, Toolset
from quorate.specs import ToolSpec

POINTS: tuple[Point, ...] = ("tool.before", "tool.after")


@runtime_checkable
class _Checking(Protocol):
    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> ToolResult | bool | None: ...


class HookedTools:
    """A toolset whose calls a hook is asked about, before and after.

    A call that is denied is not made, and one whose result is denied was made: the model reads a failure of code
    `forbidden` either way. Put `Approved` around it, so that a person sees what the model wants before hooks look at
    it; inside of it, a call whose arguments a hook has changed is refused.
    """

    def __init__(self, inner: Toolset, hook: Hook, *, report: Report | None = None) -> None:
        """Put a hook around a toolset.

        Args:
            inner: The toolset.
            hook: Who is asked; several speak as one by `quorate.hooks.composite`.
            report: Hears of everything that hooks said.

        Raises:
            InvalidInput: The hook is never asked about tools.
        """
        if useless := describe_points(hook, POINTS):
            raise InvalidInput(useless)
        self.inner = inner
        self.hook = hook
        self._report = report

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self.inner.specs()

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Make the call that the hook lets pass, and give what it lets pass of the result.

        Raises:
            BlockedByPolicy: A hook failed that was declared to end the run then.
        """
        asked, reason = await self._ask_before(call, context)
        if asked is None:
            # Under a key of its own: what stands under the call's own key says how far the call has come.
            context.owner.record(GuardBlocked, f"{context.key}/hook", guard=self.hook.name, reason=reason)
            return _deny(call, f"hook `{self.hook.name}` denied it: {reason}")
        return await self._ask_after(asked, await self.inner.call(asked, context), context)

    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> ToolResult | bool | None:
        """Ask what became of a call, as the hook lets it pass; nobody can tell of one that it denies by now."""
        asked, _ = await self._ask_before(call, context)
        if asked is None:
            return None
        found = await _find_outcome(self.inner, asked, context)
        return await self._ask_after(asked, found, context) if isinstance(found, ToolResult) else found

    async def _ask_before(self, call: ToolCall, context: RunContext[object]) -> tuple[ToolCall | None, str]:
        """Return the call that is to be made, or none and why."""
        if not self.hook.takes("tool.before"):
            return call, ""
        verdict = await consult(self.hook, _build_moment("tool.before", call, context), self._report)
        if verdict.decision == "deny":
            return None, verdict.reason or "no reason given"
        return (verdict.value if isinstance(verdict.value, ToolCall) else call), ""

    async def _ask_after(self, call: ToolCall, result: ToolResult, context: RunContext[object]) -> ToolResult:
        if not self.hook.takes("tool.after"):
            return result
        moment = _build_moment("tool.after", call, context, result)
        verdict = await consult(self.hook, moment, self._report)
        if verdict.decision == "deny":
            # The failure that is recorded says it all. A note beside it would be written anew where a replay lets
            # another agent work again, which is told from the recording what tools did and noted.
            reason = verdict.reason or "no reason given"
            return _deny(call, f"it was made, and hook `{self.hook.name}` withholds what it gave: {reason}")
        return verdict.value if isinstance(verdict.value, ToolResult) else result


def _build_moment(
    point: Point, call: ToolCall, context: RunContext[object], result: ToolResult | None = None
) -> Moment:
    info = context.info
    return Moment(
        point=point,
        run=info.run,
        agent=info.agent,
        key=context.key,
        tenant=info.tenant,
        principal=info.principal,
        session=info.session or "",
        call=call,
        result=result,
    )


def _deny(call: ToolCall, reason: str) -> ToolResult:
    return ToolResult(
        call_id=call.id,
        name=call.name,
        content=mend_text(f"Tool `{call.name}` failed ({Forbidden.code}): {reason}"),
        is_error=True,
        code=Forbidden.code,
    )


async def _find_outcome(toolset: Toolset, call: ToolCall, context: RunContext[object]) -> ToolResult | bool | None:
    """Ask a toolset what became of a call; wrappers that only change how calls are made are looked through."""
    if isinstance(toolset, _Checking):
        return await toolset.find_outcome(call, context)
    inner: object = getattr(toolset, "inner", None)
    # Whatever has `call` is a toolset, as it is where an agent takes its tools.
    return await _find_outcome(cast("Toolset", inner), call, context) if hasattr(inner, "call") else None
