"""What do contracts write into a store, how do they expect its refusals, and how do they race?"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterable
from contextlib import contextmanager
from typing import TypeVar

from quorate.errors import QuorateError
from quorate.events import AnyEvent, RunCreated, RunStarted, ToolFinished
from quorate.messages import ToolResult, build_user_message

T = TypeVar("T")


def build_opening(run: str, *, agent: str = "net", task: str = "why?", attempt: str = "a1") -> list[AnyEvent]:
    """Build the first two events of a run: accepted and started."""
    return [
        RunCreated(run=run, seq=1, time=10.0, agent=agent, messages=(build_user_message(task),), session="s1"),
        RunStarted(run=run, seq=2, time=11.0, attempt=attempt),
    ]


def build_step(run: str, seq: int, *, content: str = "ok", attempt: str = "a1") -> AnyEvent:
    """Build the event of a tool call that gave `content`."""
    result = ToolResult(call_id=f"call-{seq}", name="ping", content=content)
    return ToolFinished(run=run, seq=seq, time=11.0 + seq, key=f"{seq}/tool/call-{seq}", attempt=attempt, result=result)


def build_steps(run: str, first: int, count: int) -> list[AnyEvent]:
    """Build `count` steps that follow each other, the first numbered `first`."""
    return [build_step(run, seq) for seq in range(first, first + count)]


@contextmanager
def expect(kind: type[QuorateError], *words: str) -> Generator[None]:
    """Expect an error of a kind whose message holds some words."""
    caught: QuorateError | None = None
    try:
        yield
    except kind as error:
        caught = error
    assert caught is not None, f"`{kind.__name__}` was not raised"
    missing = [word for word in words if word not in caught.message]
    assert not missing, f"{caught.message!r} does not say {missing}"


async def run_together(works: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Do everything at the same time; return what each gave."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
    return [task.result() for task in tasks]
