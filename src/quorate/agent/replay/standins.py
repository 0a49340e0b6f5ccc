"""What stands in for the model and the tools while a recorded run is played again?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from quorate.agent.replay.stage import OUTCOMES, Stage
from quorate.errors import Nondeterministic
from quorate.events import ModelFailed, ModelReplied, ToolFailed, ToolFinished, ToolStarted
from quorate.messages import Reply, ReplyDone, StreamItem, ToolCall, ToolResult
from quorate.ports import RunContext, Toolset
from quorate.specs import ModelProfile, Request, ToolSpec
from quorate.tools.outcomes import Found

FOUND = (*OUTCOMES, ToolStarted)
"""What follows a look at a call whose process died."""


class StageModel:
    """A model that says again what it said, when it is its turn."""

    def __init__(self, stage: Stage, profile: ModelProfile) -> None:
        self.profile = profile
        self._stage = stage

    async def complete(self, request: Request) -> Reply:
        """Answer as recorded, or fail as recorded.

        Raises:
            Nondeterministic: The recording has no answer.
            Exception: What the model raised then.
        """
        outcome = await self._stage.wait_outcome(request.key)
        if isinstance(outcome, ModelReplied):
            return outcome.reply
        if isinstance(outcome, ModelFailed):
            raise self._stage.script.find_model_fault(outcome).build()
        raise Nondeterministic(f"The recording has no answer to step {request.key!r}.", key=request.key)

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Answer as recorded, in one piece: what was shown on the way is not in a log."""
        yield ReplyDone(await self.complete(request))


class StageTools:
    """Tools that give again what they gave, when it is their turn; only other agents are really asked."""

    def __init__(self, stage: Stage, inner: Toolset) -> None:
        self.inner = inner
        self._stage = stage

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self.inner.specs()

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Give the recorded result, raise the recorded error, or let another agent work on the same recording.

        Raises:
            Nondeterministic: The recording has no outcome.
            Exception: What the call raised then.
        """
        key = context.key
        if key in self._stage.script.delegates:
            return await self._delegate(call, context)
        return await self._give(key)

    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> Found:
        """Tell again what was found out about a call that was under way when its process died."""
        key = context.key
        if self._stage.script.find(key, FOUND) is None and self._stage.script.find_silent(key) is not None:
            return None  # it is asked about already, and is not again
        event = await self._stage.wait_outcome(key, FOUND)
        if isinstance(event, (ToolFinished, ToolFailed)):
            return event.result
        return False if isinstance(event, ToolStarted) else None

    async def _delegate(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        stage, key = self._stage, context.key
        paths = stage.paths.setdefault(asyncio.current_task(), [])
        paths.append(f"{key}/")
        box = asyncio.timeout(None)
        stage.cuts[key] = lambda: box.reschedule(asyncio.get_running_loop().time())
        try:
            async with box:
                return await self.inner.call(call, context)
        except TimeoutError:
            if not box.expired():
                raise
        finally:
            stage.cuts.pop(key, None)
            stage.scopes.pop(f"{key}/", None)
            paths.remove(f"{key}/")
        return await self._give(key)

    async def _give(self, key: str) -> ToolResult:
        stage = self._stage
        if stage.script.find(key, OUTCOMES) is None and (silent := stage.script.find_silent(key)) is not None:
            raise silent  # at once: what was asked is asked still, whatever time it is later on
        outcome = await stage.wait_outcome(key)
        if isinstance(outcome, ToolFailed) and (fault := stage.script.find_raised(key, outcome.result)) is not None:
            raise fault.build()
        if isinstance(outcome, (ToolFinished, ToolFailed)):
            return outcome.result
        held = stage.script.find_wait(key)
        raise held or Nondeterministic(f"The recording has no outcome of step {key!r}.", key=key)
