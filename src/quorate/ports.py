"""Which few seams can be replaced, and what does each promise?

A port exists only when two real implementations do; each has one shared contract suite in `quorate.testing.contracts`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from quorate.clock import Clock
from quorate.events import AnyEvent, RunSummary, Status
from quorate.messages import Delta, Progress, Reply, StreamItem, ToolCall, ToolResult
from quorate.specs import Limits, ModelProfile, Request, ToolSpec

Deps = TypeVar("Deps", covariant=True)


class Model(Protocol):
    """Something that answers a request: an LLM behind a provider, a script, a playbook, or a wrapper around one."""

    @property
    def profile(self) -> ModelProfile:
        """What it can do; cheap, without I/O."""
        ...

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece.

        Raises:
            RateLimited: The provider wants fewer calls.
            UpstreamError: The provider failed.
            Incomplete: The answer was cut.
            DeadlineExceeded: It took too long.
        """
        ...

    def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Answer piece by piece; the last item is a `ReplyDone` with the whole reply, and its absence means a cut.

        Raises what `complete` raises, while it is read.
        """
        ...


class RunOwner(Protocol):
    """The part of a run that its tools may reach."""

    def emit(self, item: Delta) -> None:
        """Show something to whoever watches; best effort, dropped when nobody does."""
        ...

    def cancel(self, reason: str = "") -> None:
        """Stop the run at the next chance, inside a wait too."""
        ...

    def find(self, key: str) -> AnyEvent | None:
        """Find what the log holds for a step's key, or `None`."""
        ...


class RunInfo(Struct, frozen=True, kw_only=True, gc=False):
    """The facts of a run that stay the same while it lasts."""

    run: str
    agent: str
    limits: Limits
    deadline: float
    """The monotonic time at which everything must have ended."""
    tenant: str = "default"
    principal: str = "local"
    session: str | None = None
    depth: int = 0
    """How many agents stand above this one."""


class RunContext(Struct, Generic[Deps], frozen=True, kw_only=True):
    """What a tool may know and do while it works; injected where a first parameter is annotated with it."""

    info: RunInfo
    """The facts of the run."""
    deps: Deps
    """What the caller of `run` passed as `deps`."""
    key: str
    """The step's key in the log, such as `2/tool/call-7`."""
    call: ToolCall
    """The call being made."""
    clock: Clock
    """Where to read the time."""
    owner: RunOwner
    """The run itself, as far as its tools may reach."""

    @property
    def run(self) -> str:
        """The run's id."""
        return self.info.run

    @property
    def session(self) -> str | None:
        """The session the run belongs to, if any."""
        return self.info.session

    @property
    def tenant(self) -> str:
        """Whose run it is."""
        return self.info.tenant

    @property
    def principal(self) -> str:
        """Who asked for it."""
        return self.info.principal

    @property
    def limits(self) -> Limits:
        """The bounds of the agent that calls."""
        return self.info.limits

    @property
    def deadline(self) -> float:
        """The monotonic time at which the run must have ended."""
        return self.info.deadline

    @property
    def idempotency_key(self) -> str:
        """`sha256(run, key)`: the same for every attempt at this very call, so that a `keyed` effect happens once."""
        return hashlib.sha256(f"{self.info.run}\0{self.key}".encode()).hexdigest()

    def emit(self, message: str, *, fraction: float | None = None) -> None:
        """Tell whoever watches how far this call has come."""
        self.owner.emit(Progress(message, fraction, self.key))

    def cancel(self, reason: str = "") -> None:
        """Stop the whole run at the next chance."""
        self.owner.cancel(reason)


class Toolset(Protocol):
    """Tools that belong together."""

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools in a fixed order; cheap, without I/O."""
        ...

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Make a call and return what the model reads.

        What a model can mend (an unknown tool, bad arguments, a `ToolError`, a timeout) comes back as a result with
        `is_error`.

        Raises:
            Waiting: Somebody must answer first; nothing was done.
            QuorateError: What an operator must mend.
        """
        ...


class Log(Protocol):
    """The append-only record of runs: the one truth about them."""

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events to a run whose last `seq` is `expected`; all of them durably, or none.

        The events bear the numbers `expected + 1`, `expected + 2`, … already.

        Raises:
            Conflict: The last `seq` is another one.
            StorageFull: There is no room; nothing was written.
            Unavailable: The store cannot be reached; look before appending again.
        """
        ...

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """Return events with `seq` greater than `after`, in order; none when the run is unknown.

        Raises:
            CorruptState: A row does not verify; the message says which.
        """
        ...

    async def last(self, run: str) -> int:
        """Return the run's last `seq`; 0 when the run is unknown."""
        ...

    async def list_runs(
        self, *, status: Status | None = None, agent: str | None = None, before: str | None = None, limit: int = 50
    ) -> list[RunSummary]:
        """List runs, newest first; `before` is the last run id of the page before."""
        ...
