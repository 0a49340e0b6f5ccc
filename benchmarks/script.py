"""What work do all sides do, and how is it told that they did it?

Nothing here knows a framework. A run's `Progress` travels in a context variable, so that a thousand runs at once may
share one agent and one model; each model call and each tool call is counted in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

ANSWER = "done"
PIECE = "xx"
TASK = "hi"
MANY = 1_000_000

R = TypeVar("R")


@dataclass(frozen=True)
class Script:
    """What a scripted model says: `turns` replies with tool calls, then the answer."""

    turns: int = 0
    calls: int = 1
    """Tool calls in each of those replies."""
    tool: str = "add"
    pieces: int = 0
    """How many pieces the answer is streamed in; 0 stands for `ANSWER` in one."""
    delay_s: float = 0.0
    """What the model takes for each reply."""

    @property
    def answer(self) -> str:
        return PIECE * self.pieces or ANSWER

    def plan(self, argument: str = "task") -> list[list[Call]]:
        """Each turn's calls; `argument` is what the side's agent-as-a-tool calls its one argument."""
        return [[self._call(turn, place, argument) for place in range(self.calls)] for turn in range(self.turns)]

    def _call(self, turn: int, place: int, argument: str) -> Call:
        arguments = {"a": turn, "b": place} if self.tool == "add" else {"n": place}
        return Call(f"c{turn}-{place}", self.tool, {argument: f"task {turn}"} if self.tool == "sub" else arguments)


@dataclass(frozen=True)
class Call:
    """One tool call of a scripted reply."""

    id: str
    name: str
    arguments: dict[str, object]


@dataclass
class Progress:
    """What one run has done so far."""

    turn: int = 0
    model_calls: int = 0
    tool_calls: int = 0


PROGRESS: ContextVar[Progress] = ContextVar("progress")


@dataclass
class Player(Generic[R]):
    """Gives a run its next reply; a side's model asks it and passes the reply on in its own form."""

    script: Script
    replies: Sequence[R]
    """In the side's own form, ready made: the turns in order, the answer last."""

    def take(self) -> R:
        progress = PROGRESS.get()
        progress.model_calls += 1
        if len(self.replies) == 1:
            return self.replies[0]
        progress.turn += 1
        return self.replies[progress.turn - 1]

    async def wait(self) -> None:
        await asyncio.sleep(self.script.delay_s)


async def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    PROGRESS.get().tool_calls += 1
    return a + b


async def slow(n: int) -> int:
    """Give a number back after 10 ms.

    Args:
        n: The number.
    """
    PROGRESS.get().tool_calls += 1
    await asyncio.sleep(0.01)
    return n


TOOLS: dict[str, Callable[..., object]] = {"add": add, "slow": slow}


class Side(Protocol):
    """What a file in `sides/` is: a module with these functions."""

    PACKAGE: str
    """The distribution that is measured."""
    IMPORT: str
    """The import with which its users begin."""
    AGENT_PER_RUN: bool
    """Whether an agent does one run at a time, so that each of many runs at once needs its own."""

    def build_model(self, script: Script) -> object:
        """Build a model that plays the script, its replies ready made."""
        ...

    def build_agent(self, model: object, tool: Callable[..., object] | None) -> object:
        """Define an agent from a plain function; what is timed as defining one."""
        ...

    def build_lead(self, model: object, sub: object) -> object:
        """Define an agent with another agent, called `sub`, as its tool."""
        ...

    def build_history(self, count: int) -> object:
        """Build a conversation of `count` messages that came before."""
        ...

    async def run(self, agent: object, history: object = None) -> str:
        """Do the task and return the answer."""
        ...

    def stream(self, agent: object) -> AsyncIterator[str]:
        """Do the task and yield the answer's pieces."""
        ...
