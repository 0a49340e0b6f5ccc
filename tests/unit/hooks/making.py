"""What do the tests of hooks build again and again?"""

import asyncio
from typing import Literal

from quorate.hooks.hook import Decision, Heard, Hook, HookFunction, Moment, Outcome, Point, Verdict
from quorate.messages import ToolCall

TOOL: tuple[Point, ...] = ("tool.before",)
ANY: tuple[Decision, ...] = ("allow", "deny", "replace", "abstain")
CALL = ToolCall(id="c1", name="look", arguments='{"name":"a"}')
MOMENT = Moment(point="tool.before", run="run-1", agent="looker", key="1/tool/c1", call=CALL)


def make(
    name: str,
    function: HookFunction,
    *,
    points: tuple[Point, ...] = TOOL,
    on_failure: Outcome = "fail_closed",
    decisions: tuple[Decision, ...] = ("allow", "deny", "abstain"),
    timeout_s: float | None = 30.0,
    priority: int = 0,
) -> Hook:
    """A hook with a function of its own; on a slow machine, too, its time is over only where a test wants it."""
    return Hook(
        name=name,
        function=function,
        points=points,
        on_failure=on_failure,
        decisions=decisions,
        timeout_s=timeout_s,
        priority=priority,
    )


def saying(name: str, decision: Decision, *, priority: int = 0, asked: list[str] | None = None) -> Hook:
    """A hook that always says the same, and notes that it was asked."""

    async def say(moment: Moment) -> Verdict:
        if asked is not None:
            asked.append(name)
        return Verdict(decision=decision, reason=f"{name} says so")

    return make(name, say, priority=priority)


def failing(name: str, on_failure: Outcome, *, kind: Literal["raises", "hangs"] = "raises") -> Hook:
    """A hook that raises words nobody may read, or waits for ever and has hardly any time."""

    async def fail(moment: Moment) -> None:
        if kind == "raises":
            raise ValueError("password=hunter2")
        await asyncio.Event().wait()

    return make(name, fail, on_failure=on_failure, timeout_s=30.0 if kind == "raises" else 0.001)


def list_names(heard: tuple[Heard, ...]) -> list[str]:
    """Who was heard, in order."""
    return [one.hook for one in heard]
