"""What became of a call that was under way when its process died: can the tool itself tell?"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

from msgspec import Struct

from quorate.messages import ToolCall, ToolResult
from quorate.ports import RunContext, Toolset
from quorate.tools.threads import run_in_thread

Found = ToolResult | bool | None
"""The call's result when it took effect; `False` when it did not; `None` when nobody can tell."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What a tool's `check` found out."""

    done: bool | None = None
    """Whether the call took effect; `None` when that cannot be told, so that a person decides."""
    result: object = None
    """What the call would have returned, where it took effect."""


@runtime_checkable
class Checking(Protocol):
    """A toolset that can tell what became of a call, for some of its tools at least."""

    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> Found:
        """Find out whether a call took effect."""
        ...


async def find_outcome(toolset: Toolset, call: ToolCall, context: RunContext[object]) -> Found:
    """Ask a toolset what became of a call; wrappers that only change how calls are made are looked through."""
    if isinstance(toolset, Checking):
        return await toolset.find_outcome(call, context)
    inner = getattr(toolset, "inner", None)
    return await find_outcome(cast("Toolset", inner), call, context) if hasattr(inner, "call") else None


async def call_check(
    check: Callable[..., object], context: RunContext[object], arguments: dict[str, object], *, timeout_s: float
) -> Outcome:
    """Call a tool's `check` within its time; one that fails cannot tell."""
    try:
        async with asyncio.timeout(timeout_s):
            if inspect.iscoroutinefunction(check):
                found: object = check(context, arguments)
            else:
                found = await run_in_thread(functools.partial(check, context, arguments))
            if inspect.isawaitable(found):
                found = await found
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return Outcome()
    except (Exception, SystemExit):  # a check is anybody's code: whatever it raises, it did not tell, and a person will
        return Outcome()
    return found if isinstance(found, Outcome) and found.done in (True, False) else Outcome()
