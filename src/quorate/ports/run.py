"""What is a run made of: a model, tools, and what they may know and reach?"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from typing import Generic, Literal, Protocol, TypeVar

from msgspec import Struct

from quorate.clock import Clock
from quorate.errors import Unavailable
from quorate.events import AnyEvent
from quorate.messages import Delta, Embeddings, Progress, Reply, StreamItem, ToolCall, ToolResult
from quorate.ports.store import KeyValue
from quorate.specs import EmbedRequest, Limits, ModelProfile, Request, ToolSpec

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


class Embedder(Protocol):
    """Something that turns texts into vectors."""

    @property
    def name(self) -> str:
        """The model's name in full, such as `openai:text-embedding-3-small`."""
        ...

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Turn texts into vectors, in their order; no texts give no vectors.

        Raises:
            InvalidInput: A text is empty, or the model does not know the dimensions.
            TooLarge: A text is longer than the model can read.
            RateLimited: The provider wants fewer calls.
            UpstreamError: The provider failed.
            DeadlineExceeded: It took too long.
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

    def record(self, kind: Callable[..., AnyEvent], key: str, **facts: object) -> None:
        """Note an event under a step's key; it is durable with whatever the run records next."""
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
    trace: str = ""
    """The W3C `traceparent` of whoever asked for it; empty where nobody's trace did."""
    payer: str = ""
    """Whose quotas below the tenant's it counts in, as `project/key`; empty for the tenant's alone."""


StateScope = Literal["global", "tenant", "user", "session", "agent", "workflow", "run"]
"""Who shares a stored value: everybody, a tenant, a user, a session, an agent, a workflow, or one run alone."""

Sharing = Literal["inherit", "isolate", "copy", "share"]
"""What a delegate sees of the run-scoped values of the agent above.

`inherit`: it reads them and keeps its own changes to itself; `isolate`: nothing of them; `copy`: as they were when it
began, its own from then on; `share`: they are the same.
"""


class StateEntry(Struct, frozen=True, kw_only=True, gc=False):
    """A stored value, decoded."""

    name: str
    value: object
    revision: int
    expires: float | None = None


class RunState(Protocol):
    """Values that outlive a call, as far as one run may reach: its own tenant, user, session, agent and itself."""

    async def get(self, name: str, *, scope: StateScope = "run") -> StateEntry | None:
        """Return a value, or `None`.

        Raises:
            InvalidInput: The run has no such scope, such as a session.
        """
        ...

    async def set(
        self,
        name: str,
        value: object,
        *,
        scope: StateScope = "run",
        if_revision: int | None = None,
        ttl_s: float | None = None,
    ) -> StateEntry:
        """Store a value (JSON and structs); with `if_revision`, only over that revision (0: where nothing is).

        Raises:
            Conflict: Another revision is there.
            InvalidInput: It is a secret, holds itself, or cannot be written.
            TooLarge: It is over its size.
            Forbidden: The run may read that scope only.
        """
        ...

    async def update(self, name: str, change: Callable[[object], object], *, scope: StateScope = "run") -> StateEntry:
        """Store `change(value)`, `None` where nothing is; it is called again when somebody else was quicker.

        Raises:
            Conflict: Others were quicker too often.
        """
        ...

    async def delete(self, name: str, *, scope: StateScope = "run") -> bool:
        """Forget a value and say whether it was there."""
        ...

    async def names(self, *, scope: StateScope = "run") -> list[str]:
        """List the names there are, in order."""
        ...


class ArtifactInfo(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of an artifact without opening it."""

    id: str
    """The handle: what messages and other runs name it by."""
    name: str
    version: int
    """Counts 1, 2, 3 … for one name in one session or run."""
    media_type: str
    size: int
    """Bytes, before compression and encryption."""
    digest: str
    """SHA-256 of the bytes."""
    created: float
    tenant: str
    principal: str
    run: str = ""
    session: str = ""
    labels: dict[str, str] = {}


class RunArtifacts(Protocol):
    """Bytes that are kept beside the log, as far as one run may reach."""

    async def save(
        self,
        name: str,
        data: bytes | str | AsyncIterable[bytes],
        *,
        media_type: str = "",
        labels: dict[str, str] | None = None,
    ) -> ArtifactInfo:
        """Keep bytes under a name, as its next version.

        Raises:
            InvalidInput: The name is not one.
            TooLarge: There are more bytes than may be kept.
        """
        ...

    async def find(self, name: str, *, version: int | None = None) -> ArtifactInfo | None:
        """Find an artifact by its handle, or by name (the last version, or a given one); `None` if there is none."""
        ...

    def open(self, artifact: ArtifactInfo | str) -> AsyncIterator[bytes]:
        """Yield an artifact's bytes, verified at the end.

        Raises:
            NotFound: There is none, or it is not for this run.
            CorruptState: The bytes are not those that were saved.
        """
        ...

    async def load(self, artifact: ArtifactInfo | str) -> bytes:
        """Return all of an artifact's bytes; raises what `open` raises."""
        ...


class Services(Protocol):
    """What a run may reach beside its log; opened for each call, so that nothing reaches further than its caller."""

    def open_state(self, context: RunContext[object]) -> RunState:
        """Open stored values for a call."""
        ...

    def open_artifacts(self, context: RunContext[object]) -> RunArtifacts:
        """Open artifacts for a call."""
        ...

    def open_values(self, context: RunContext[object], room: str) -> KeyValue:
        """Open what a room, such as `memory`, keeps for the tenant: keys begin behind `<room>/<tenant>/`.

        Raises:
            InvalidInput: There is no such room for runs.
        """
        ...

    def open_child(self, sharing: Sharing, path: str) -> Services:
        """Build what a delegate at `path` may reach."""
        ...


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
    services: Services | None = None
    """What the run may reach beside its log; see `state` and `artifacts`."""

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
    def state(self) -> RunState:
        """Stored values.

        Raises:
            Unavailable: The run was not submitted to a runtime, so there is no store.
        """
        return self._find_services().open_state(self)

    @property
    def artifacts(self) -> RunArtifacts:
        """Artifacts; raises what `state` raises."""
        return self._find_services().open_artifacts(self)

    def open_values(self, room: str) -> KeyValue:
        """Open what a room keeps for the tenant; raises what `state` raises, and `InvalidInput` for no room of runs."""
        return self._find_services().open_values(self, room)

    def _find_services(self) -> Services:
        if self.services is None:
            raise Unavailable("This run has no store: submit it to a runtime (`async with open_runtime() as runtime`).")
        return self.services

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
