"""Who answers to the name of a model, and how does an answer get out of a door piece by piece?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from hashlib import sha256

from quorate.agent.agent import AnyAgent
from quorate.errors import InvalidInput, NotFound, Unauthenticated, UnknownName, UpstreamError
from quorate.messages import Message, Reply
from quorate.models.gateway import Gateway
from quorate.ports import Embedder, Model
from quorate.runtime import RunHandle, Runtime
from quorate.runtime.acts import noted
from quorate.security.identity import Need
from quorate.server.doors import Visit, encode_headers, read_trace, while_there
from quorate.server.gate import find_problem
from quorate.server.marks import new_mark
from quorate.server.parts import build_aside
from quorate.server.problems import Problem
from quorate.server.repeats import HEADER, Once, name_key
from quorate.server.speech import UNKNOWN_THERE, Said, ask_model, hear_model
from quorate.server.streams import MEDIA_TYPE
from quorate.specs import Caller, Request

AGENT = "agent:"
"""How the name of a model begins that is an agent, where a model has the same name."""
RUN = "x-quorate-run"
"""The header that says which run an answer is."""
METADATA = "metadata."
"""How the labels of a run begin that came as metadata: what a caller writes is never taken for a label of ours."""
WORK = Need("runs", "write")
"""What it takes to let an agent work, beside what it takes to ask a model."""
QUIET_S = 10.0
"""After how long without a piece, at the earliest, there is a sign of life."""
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


class Answering:
    """The agents and models that programs know as models.

    Args:
        runtime: What does the work.
        works: Whether this process works on runs; otherwise they are queued for workers.
    """

    def __init__(self, runtime: Runtime, *, works: bool = True) -> None:
        self.runtime = runtime
        self.clock = runtime.clock
        self._works = works

    def open_runtime(self, visit: Visit) -> Runtime:
        """Return the runtime of whoever asks: the tenant is the credential's, never the request's."""
        return self.runtime.for_tenant(visit.identity.tenant, payer=visit.identity.payer)

    def list_names(self) -> list[str]:
        """List what answers: agents, workflows, teams, routes, aliases; models answer by their names in full, too."""
        runtime = self.runtime
        names = {*runtime.catalog.names(), *runtime.given, *self._list_defined()}
        plan = runtime.gateway.plan if runtime.gateway is not None else None
        if plan is not None:
            names |= {*(route.name for route in plan.routes), *plan.aliases}
        return sorted(names)

    def check_name(self, name: str) -> None:
        """Return if something answers to a name.

        Raises:
            NotFound: Nothing does.
        """
        if self.find_agent(name) is None:
            self.find_model(name)

    def find_agent(self, name: str) -> str | None:
        """Find the agent that is meant by the name of a model, or `None` where none is."""
        bare = name.removeprefix(AGENT)
        is_known = bare in self.runtime.given or bare in self.runtime.catalog or bare in self._list_defined()
        return bare if is_known or bare != name else None

    def _list_defined(self) -> list[str]:
        """List the workflows and teams, which are agents to whoever asks them."""
        found = self.runtime.find_definitions()
        return [] if found is None else [*found.workflows, *found.teams]

    def open_agent(self, name: str) -> AnyAgent:
        """Return an agent.

        Raises:
            NotFound: It is none that this process knows.
        """
        try:
            return self.runtime.find_agent(name, None)
        except UnknownName as error:
            raise _build_unknown(name) from error

    def find_model(self, name: str) -> Model:
        """Find a model of the gateway.

        Raises:
            NotFound: There is none.
            UpstreamError: Its provider would not know us.
        """
        try:
            return self._find_gateway(name).find_model(name)
        except UnknownName as error:
            raise _build_unknown(name) from error
        except Unauthenticated as error:
            raise UpstreamError(UNKNOWN_THERE) from error

    def find_embedder(self, name: str) -> Embedder:
        """Find what turns texts into vectors; raises what `find_model` raises."""
        try:
            return self._find_gateway(name).find_embedder(name)
        except UnknownName as error:
            raise _build_unknown(name) from error
        except Unauthenticated as error:
            raise UpstreamError(UNKNOWN_THERE) from error

    def _find_gateway(self, name: str) -> Gateway:
        if self.runtime.gateway is None:
            raise _build_unknown(name)
        return self.runtime.gateway

    async def ask(self, visit: Visit, model: Model, request: Request) -> Reply:
        """Ask a model for a whole reply, for as long as whoever asks is there; once, where they sent a key.

        Raises:
            Gone: They left.
            QuorateError: What `speech.ask_model` and `Once.ask` say.
        """
        key = visit.headers.get(HEADER)
        if key is None:
            return await while_there(visit.receive, ask_model(model, request))
        once = Once(self.open_runtime(visit).store.values, key, request)
        return await while_there(visit.receive, once.ask(lambda: ask_model(model, request)))

    def hear(self, visit: Visit, model: Model, request: Request) -> Said:
        """Hear what a model says; once, where whoever asks sent a key.

        Raises:
            InvalidInput: The key is none.
        """
        key = visit.headers.get(HEADER)
        if key is None:
            return hear_model(model, request)
        return Once(self.open_runtime(visit).store.values, key, request).hear(lambda: hear_model(model, request))

    def name_answer(self, visit: Visit, kind: str) -> str:
        """Name an answer; one that was given before has its name again.

        Raises:
            InvalidInput: The `Idempotency-Key` is none.
        """
        key = visit.headers.get(HEADER)
        if key is None:
            return new_mark(kind)
        return f"{kind}-{sha256(name_key(build_caller(visit), key).encode()).hexdigest()[:32]}"

    async def submit(
        self,
        visit: Visit,
        agent: str,
        *,
        instructions: str,
        messages: Sequence[Message],
        metadata: Mapping[str, str] | None = None,
    ) -> RunHandle:
        """Ask an agent: what it is asked becomes a run, recorded like any other, which goes on when its asker leaves.

        Args:
            visit: Who asks.
            agent: Whom.
            instructions: What the caller would have it be; an agent's instructions are its own, so this is told it.
            messages: The conversation; the last message is what it is to do.
            metadata: Facts to find the run by.

        Raises:
            Forbidden: Whoever asks may ask models only: to let an agent work takes what a run takes.
            InvalidInput: The last message is nobody's who wants something.
            NotFound: There is no such agent.
            QuorateError: What `Runtime.submit` says.
        """
        await self.check_work(visit, f"agent/{agent}")
        if not messages or messages[-1].role != "user" or not messages[-1].parts:
            raise InvalidInput(
                "The last message to an agent is what it is to do: end with one of the user.", param="messages"
            )
        *history, last = messages
        if instructions:
            history.insert(0, build_aside(instructions))
        try:
            return await self.open_runtime(visit).submit(
                last,
                agent=agent,
                history=history,
                principal=visit.identity.principal,
                idempotency_key=visit.headers.get(HEADER),
                start=self._works,
                trace=read_trace(visit.headers),
                labels={f"{METADATA}{name}": value for name, value in (metadata or {}).items()},
            )
        except UnknownName as error:
            if error.context.get("what") != "agent":
                raise
            raise _build_unknown(agent) from error

    async def check_work(self, visit: Visit, object: str) -> None:
        """Return if whoever asks may let an agent work, or stop it; a refusal is in the audit trail.

        Raises:
            Forbidden: They may ask models only.
        """
        who = visit.identity
        if not who.may(WORK):
            async with noted(self.open_runtime(visit).audit, "run.submit", principal=who.principal, object=object):
                who.check(WORK)


def build_caller(visit: Visit) -> Caller:
    """Build for whom a model is asked: what limits, budgets and costs go by."""
    identity = visit.identity
    return Caller(tenant=identity.tenant, principal=identity.principal, payer=identity.payer)


async def send_stream(
    visit: Visit,
    frames: AsyncGenerator[bytes],
    *,
    beat: bytes,
    fail: Callable[[Problem], bytes],
    headers: Mapping[str, str] | None = None,
    quiet_s: float = QUIET_S,
) -> None:
    """Send an answer piece by piece, as fast as it is read; what makes it is stopped when its reader leaves.

    What goes wrong before the first piece is raised, and can be answered with its own status; from the first piece or
    the first sign of life on it can be said in the stream only.

    Args:
        visit: To whom.
        frames: The pieces; closed in the end.
        beat: What is sent in quiet times, so that nobody on the way takes the stream for dead.
        fail: Writes what broke the stream off.
        headers: More headers of the answer.
        quiet_s: After how long there is a sign of life.

    Raises:
        Gone: Its reader left.
    """
    given = encode_headers({"content-type": MEDIA_TYPE, **(headers or {})})
    sending, is_open, is_over, has_moved = asyncio.Lock(), False, False, False

    async def send(body: bytes, *, more: bool = True) -> None:
        nonlocal is_open, is_over
        async with sending:  # a sign of life comes from beside
            if is_over:
                return
            if not is_open:
                is_open = True
                await visit.send({"type": "http.response.start", "status": 200, "headers": given})
            is_over = not more
            await visit.send({"type": "http.response.body", "body": body, "more_body": more})

    async def work() -> None:  # in one task from the first piece on: deadlines in the pieces belong to it
        nonlocal has_moved
        try:
            async with aclosing(frames):
                async for frame in frames:
                    has_moved = True
                    await send(frame)
        except Exception as error:  # once something is sent, whatever breaks can be said in the stream only
            if not is_open:
                raise
            await send(fail(find_problem(error, request_id=visit.request_id)))
        await send(b"", more=False)

    async def pulse() -> None:
        nonlocal has_moved
        if not has_moved and not sending.locked():
            await send(beat)
        has_moved = False

    await while_there(visit.receive, work(), pulse=pulse, every_s=quiet_s)


def is_id(text: str) -> bool:
    """Whether a text may be the id of a run or an answer; nothing is looked up by any other."""
    return _ID.fullmatch(text) is not None


def _build_unknown(name: str) -> NotFound:
    return NotFound(f"There is no model or agent {name[:80]!r}: list them, or name a model in full.", param="model")
