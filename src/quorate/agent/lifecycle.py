"""How is an agent kept ready: its resources open, paused and resumed, recovered after a crash, and closed?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Generic, Literal, TypeVar, cast

from quorate.agent.agent import Agent, Task
from quorate.agent.result import RunResult
from quorate.agent.run import DEFAULTS, RunOptions
from quorate.errors import Conflict, QuorateError, Unavailable
from quorate.messages import Message

Deps = TypeVar("Deps")
Output = TypeVar("Output")

State = Literal["created", "starting", "ready", "paused", "recovering", "stopping", "stopped", "failed"]
Hook = Callable[[State, State], None]
"""Told of every change, as `(before, after)`, in the order they happen."""

TRANSITIONS: dict[State, tuple[State, ...]] = {
    "created": ("starting",),
    "starting": ("ready", "failed"),
    "ready": ("paused", "recovering", "stopping"),
    "paused": ("ready", "stopping"),
    "recovering": ("ready", "failed"),
    "stopping": ("stopped", "failed"),
    "failed": ("stopping",),
    "stopped": (),
}
"""What may follow each state."""


class LiveAgent(Generic[Deps, Output]):
    """An agent whose resources are open."""

    def __init__(self, agent: Agent[Deps, Output], hooks: Sequence[Hook] = ()) -> None:
        self.agent = agent
        self._hooks = hooks
        self._state: State = "created"
        self._resources = AsyncExitStack()

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    async def run(
        self,
        task: Task,
        *,
        deps: Deps = cast("Deps", None),
        history: Sequence[Message] = (),
        options: RunOptions = DEFAULTS,
    ) -> RunResult[Output]:
        """Do a task; takes and raises what `Agent.run` does.

        An error that is not one of ours counts as a crash: the resources are closed and opened again before it is
        raised, so that the next task finds a clean agent.

        Raises:
            Unavailable: The agent is not ready, such as while it is paused.
        """
        if self._state != "ready":
            raise Unavailable(f"Agent {self.agent.name!r} is {self._state}, not ready.", state=self._state)
        try:
            return await self.agent.run(task, deps=deps, history=history, options=options)
        except QuorateError:
            raise
        except Exception:  # somebody's model or resource broke: what is open may be broken with it
            await self._recover()
            raise

    async def pause(self) -> None:
        """Take no more tasks; those under way go on.

        Raises:
            Conflict: It is not ready.
        """
        self._change("paused")

    async def resume(self) -> None:
        """Take tasks again.

        Raises:
            Conflict: It is not paused.
        """
        if self._state != "paused":
            self._refuse("ready")
        self._change("ready")

    async def start(self) -> None:
        """Open every tool that is an asynchronous context manager, in order; `open_agent` does it for you.

        Raises:
            Conflict: It was started before.
        """
        self._change("starting")
        await self._open()

    async def stop(self) -> None:
        """Close what is open, in reverse; `open_agent` does it for you.

        Raises:
            Conflict: It is stopped already.
        """
        self._change("stopping")
        try:
            await self._resources.aclose()
        except BaseException:
            self._change("failed")
            raise
        self._change("stopped")

    async def _open(self) -> None:
        try:
            for tool in self.agent.tools:
                if isinstance(tool, AbstractAsyncContextManager):
                    await self._resources.enter_async_context(cast("AbstractAsyncContextManager[object]", tool))
        except BaseException:
            self._change("failed")
            await self._resources.aclose()
            raise
        self._change("ready")

    async def _recover(self) -> None:
        if self._state != "ready":
            return
        self._change("recovering")
        try:
            await self._resources.aclose()
        except BaseException:
            self._change("failed")
            raise
        await self._open()

    def _change(self, state: State) -> None:
        before = self._state
        if state not in TRANSITIONS[before]:
            self._refuse(state)
        self._state = state
        for hook in self._hooks:
            hook(before, state)

    def _refuse(self, state: State) -> None:
        allowed = ", ".join(f"`{name}`" for name in TRANSITIONS[self._state]) or "nothing"
        raise Conflict(
            f"Agent {self.agent.name!r} cannot go from `{self._state}` to `{state}`; what can follow is {allowed}.",
            state=self._state,
        )


@asynccontextmanager
async def open_agent(
    agent: Agent[Deps, Output], *, hooks: Sequence[Hook] = ()
) -> AsyncGenerator[LiveAgent[Deps, Output]]:
    """Open an agent's resources for as long as the block lasts; they are released on every way out.

    Raises:
        Exception: What a resource raises when it is opened; those opened before it are closed.
    """
    live = LiveAgent(agent, hooks)
    await live.start()
    try:
        yield live
    finally:
        await live.stop()
