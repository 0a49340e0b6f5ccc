"""How does a test use a run that was recorded once: as its model, or to find out what a change does to it?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from quorate.agent.agent import AnyAgent
from quorate.agent.replay.compare import compare_runs
from quorate.agent.replay.exact import Replay, guess_profile, replay_exactly
from quorate.agent.replay.fixture import Recording, load_recording
from quorate.errors import Nondeterministic
from quorate.events import ModelFailed, ModelReplied
from quorate.messages import Reply, ReplyDone, StreamItem, Text, TextDelta
from quorate.specs import ModelProfile, Request

__all__ = ["RecordedModel", "Recording", "check_replay", "load_recording"]


class RecordedModel:
    """A `Model` that says at each step what was said there when the run was recorded.

    Your tools, checks and limits work for real. A step that was not recorded is an error, so a test finds a loop that
    asks more often than it did.
    """

    def __init__(self, recording: Recording, *, profile: ModelProfile | None = None) -> None:
        self.profile = profile or guess_profile(recording.events, "")
        self.requests: list[Request] = []
        """Every request that was made, to look at in tests."""
        self._run = recording.header.run
        self._said = {e.key: e for e in recording.events if isinstance(e, (ModelReplied, ModelFailed))}

    async def complete(self, request: Request) -> Reply:
        """Say what was said at this step.

        Raises:
            Nondeterministic: The step was not recorded, or failed.
        """
        self.requests.append(request)
        said = self._said.get(request.key)
        if isinstance(said, ModelReplied):
            return said.reply
        why = f"failed ({said.code}): {said.message}" if said is not None else "was not recorded"
        raise Nondeterministic(f"Step {request.key!r} of run {self._run!r} {why}.", key=request.key)

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Say it piece by piece: each part of it is one."""
        reply = await self.complete(request)
        for part in reply.message.parts:
            if isinstance(part, Text):
                yield TextDelta(part.text)
        yield ReplyDone(reply)


async def check_replay(agent: AnyAgent, recording: Recording, *, deps: object = None) -> Replay[object]:
    """Play a recording again, offline, with the agent as it is now; nothing is asked and no tool is called.

    You would use it in a test, so that a change of a prompt, a tool, a limit or of Quorate itself that leads elsewhere
    is noticed, with the place where it does.

    Raises:
        AssertionError: Something else is written than was recorded; the message shows the first difference, and both
            runs' steps around it.
    """
    done = await replay_exactly(agent, recording.events, history=recording.header.history, deps=deps)
    if not done.is_identical:
        raise AssertionError(render_difference(done))
    return done


def render_difference(done: Replay[object]) -> str:
    """Write how a replay differs from its recording."""
    told = done.divergence.describe() if done.divergence is not None else "The replay ended early."
    rows = compare_runs(done.recorded, done.events).rows
    marks = {"same": " ", "changed": "!", "removed": "-", "added": "+"}
    lines = [
        f"{marks[row.change]} {step.seq:>4}  {step.key:<24}  {step.text[:120]}"
        for row in rows
        if (step := row.recorded or row.replayed) is not None
    ]
    return "\n".join([told, "Steps (-: recorded, and not reached):", *lines])
