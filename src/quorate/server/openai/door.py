"""How does a chat completion reach an agent or a model, and what comes back?"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from litestar.types import HTTPScope, Receive, Send

from quorate.clock import Clock
from quorate.errors import Conflict, InvalidInput, NotFound, Unauthenticated, UnknownName, UpstreamError
from quorate.events import ModelReplied, RunCompleted, RunIncomplete, RunWaiting
from quorate.ids import new_id
from quorate.messages import Message, Reply, ReplyDone, StreamItem, Text, TextDelta
from quorate.ports import Model
from quorate.runtime import RunHandle, Runtime
from quorate.security.identity import Need
from quorate.server.access import Doorkeeper
from quorate.server.doors import Gone, Handler, Visit, admit, answer, answer_stream, find_path, read_trace, while_there
from quorate.server.openai.ask import ChatRequest, build_request, read_chat, read_messages
from quorate.server.openai.say import Chunks, build_completion, build_error, build_models, frame_error
from quorate.server.problems import Problem, WrongMethod, build_headers, build_problem
from quorate.specs import Caller

ROOT = "/openai/v1"
AGENT = "agent:"
"""How the name of a model begins that is an agent, where a model has the same name."""
UNKNOWN_THERE = (
    "The provider of this model lets us in with no credential that is set here: its operator has to set one."
)
RUN = "x-quorate-run"
"""The header that says which run an answer is."""
_logger = logging.getLogger("quorate.server")


class OpenAIDoor:
    """Serves agents and the gateway's models in OpenAI's protocol, as an ASGI application.

    A plain model is called as it is; what an agent is asked becomes a run, recorded like any other, which goes on when
    whoever asked leaves.

    Args:
        runtime: What does the work.
        doorkeeper: Knows callers.
        works: Whether this process works on runs.
    """

    def __init__(self, runtime: Runtime, doorkeeper: Doorkeeper, *, works: bool = True) -> None:
        self._runtime = runtime
        self._works = works
        self._doorkeeper = doorkeeper
        self._clock: Clock = runtime.clock
        self.routes: dict[tuple[str, str], tuple[Need, Handler]] = {
            ("POST", "/chat/completions"): (Need("models", "write"), self._complete),
            ("GET", "/models"): (Need("models", "read"), self._list_models),
        }
        """What there is, and what each needs."""

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request_id = str(scope["state"]["request_id"])
        try:
            need, handle = self._find(scope["method"], find_path(scope).removeprefix(ROOT))
            visit = await admit(scope, receive, send, doorkeeper=self._doorkeeper, need=need)
            try:
                await handle(visit)
            except Unauthenticated as error:  # the caller is known; it is us whom a provider does not know
                _logger.warning("Request %s: %s", request_id, error)
                raise UpstreamError(UNKNOWN_THERE) from error
        except Gone:
            return
        except Exception as error:  # whatever breaks is answered in the words of the protocol
            await _answer_error(send, error, request_id=request_id)

    def _find(self, method: str, path: str) -> tuple[Need, Handler]:
        found = self.routes.get((method, path))
        if found is not None:
            return found
        methods = sorted(one for one, known in self.routes if known == path)
        if methods:
            raise WrongMethod(f"`{ROOT}{path}` takes {', '.join(methods)} only.", allow=", ".join(methods))
        raise NotFound(f"There is no `{ROOT}{path[:80]}`.")

    async def _list_models(self, visit: Visit) -> None:
        runtime = self._runtime
        names = [*runtime.catalog.names(), *runtime.given]
        plan = runtime.gateway.plan if runtime.gateway is not None else None
        if plan is not None:
            names += [*(route.name for route in plan.routes), *plan.aliases]
        await answer(visit.send, build_models(sorted(set(names)), created=self._clock.now()))

    async def _complete(self, visit: Visit) -> None:
        asked = read_chat(visit.body)
        name = asked.model.removeprefix(AGENT)
        if name in self._runtime.given or name in self._runtime.catalog:
            await self._ask_agent(visit, asked, name)
        else:
            await self._ask_model(visit, asked)

    async def _ask_model(self, visit: Visit, asked: ChatRequest) -> None:
        model = self._find_model(asked.model)
        identity = visit.identity
        request = build_request(asked, Caller(tenant=identity.tenant, principal=identity.principal))
        name, created = new_id("chatcmpl"), self._clock.now()
        if not asked.stream:
            reply = await while_there(visit.receive, model.complete(request))
            await answer(visit.send, build_completion(reply, id=name, model=asked.model, created=created))
            return
        chunks = _build_chunks(asked, id=name, created=created)

        streamed = cast("AsyncGenerator[StreamItem]", model.stream(request))  # all of ours are generators

        async def write() -> AsyncGenerator[bytes]:
            async with aclosing(streamed) as items:
                async for item in items:
                    if isinstance(item, ReplyDone):
                        for frame in chunks.end(item.reply.stop, item.reply.usage):
                            yield frame
                    else:
                        yield chunks.write(item)

        await self._stream(visit, chunks, write(), headers={})

    def _find_model(self, name: str) -> Model:
        gateway = self._runtime.gateway
        if gateway is None:
            raise NotFound(f"There is no model or agent {name[:80]!r}.")
        try:
            return gateway.find_model(name)
        except UnknownName as error:
            raise NotFound(f"There is no model or agent {name[:80]!r}: `GET {ROOT}/models` lists them.") from error

    async def _ask_agent(self, visit: Visit, asked: ChatRequest, name: str) -> None:
        if asked.tools or asked.response_format is not None:
            raise InvalidInput(f"{name!r} is an agent: it has its own tools and form of answer; leave out `tools` and "
                               "`response_format`.")  # fmt: skip
        runtime = self._runtime.for_tenant(visit.identity.tenant)
        instructions, messages = read_messages(asked.messages)
        *history, last = messages
        if last.role != "user" or not last.parts:
            raise InvalidInput("The last message to an agent is what it is to do: end `messages` with one of the user.")
        if instructions:  # an agent's instructions are its own
            history.insert(0, Message(role="user", parts=(Text(instructions),)))
        handle = await runtime.submit(
            last,
            agent=name,
            history=history,
            principal=visit.identity.principal,
            idempotency_key=visit.headers.get("idempotency-key"),
            start=self._works,
            trace=read_trace(visit.headers),
        )
        created, headers = self._clock.now(), {RUN: handle.id}
        if asked.stream:
            chunks = _build_chunks(asked, id=handle.id, created=created)
            await self._stream(visit, chunks, _write_run(handle, chunks), headers=headers)
            return
        reply = await while_there(visit.receive, _await_reply(handle))
        body = build_completion(reply, id=handle.id, model=asked.model, created=created)
        await answer(visit.send, body, headers=headers)

    async def _stream(
        self, visit: Visit, chunks: Chunks, pieces: AsyncGenerator[bytes], *, headers: dict[str, str]
    ) -> None:
        """Stream pieces; what goes wrong before the first of them is answered with its own status."""

        async def write(first: bytes) -> AsyncGenerator[bytes]:
            yield chunks.begin()
            yield first
            try:
                async for piece in pieces:
                    yield piece
            except Exception as error:  # the head is sent: whatever breaks now can be said in the stream only
                problem = _find_problem(error, request_id=visit.request_id)
                yield frame_error(problem.status, problem.code, problem.detail)

        async def work() -> None:  # in one task from the first piece on: deadlines in the pieces belong to it
            async with aclosing(pieces):
                first = await anext(pieces)
                await answer_stream(visit.send, write(first), headers=headers)

        await while_there(visit.receive, work())


def _build_chunks(asked: ChatRequest, *, id: str, created: float) -> Chunks:
    options = asked.stream_options
    return Chunks(id=id, model=asked.model, created=created, with_usage=options is not None and options.include_usage)


async def _write_run(handle: RunHandle, chunks: Chunks) -> AsyncGenerator[bytes]:
    """Write what an agent says while it says it, and its answer where it said nothing before."""
    said = ""
    async with aclosing(handle.stream()) as items:
        async for item in items:
            if isinstance(item, TextDelta) and not item.path:
                said += item.text
                yield chunks.write(item)
            elif isinstance(item, ModelReplied) and item.reply.stop == "tool_calls":
                said = ""
    reply = await _await_reply(handle)
    if not said.endswith(reply.message.text):
        yield chunks.write(TextDelta(reply.message.text))
    for frame in chunks.end(reply.stop, reply.usage):
        yield frame


async def _await_reply(handle: RunHandle) -> Reply:
    """Wait for an agent's answer.

    Raises:
        Conflict: The run waits for somebody.
        QuorateError: The run failed.
    """
    result = await handle.wait()
    last = result.events[-1]
    if isinstance(last, RunWaiting):
        raise Conflict(
            f"Run {handle.id!r} waits ({last.reason}): answer it, and read its result at `/v1/runs/{handle.id}`."
        )
    if isinstance(last, RunIncomplete):
        text, stop = last.partial or last.message, "length"
    elif isinstance(last, RunCompleted):
        text, stop = last.output, "end"
    else:
        raise Conflict(f"Run {handle.id!r} was stopped.")
    message = Message(role="assistant", parts=(Text(text),))
    return Reply(message=message, usage=last.usage, stop=stop, cost_usd=last.cost_usd)


def _find_problem(error: Exception, *, request_id: str) -> Problem:
    """Say what went wrong, and log what callers are not told."""
    problem = build_problem(error, request_id=request_id)
    if problem.status >= 500:
        _logger.error("Request %s failed.", request_id, exc_info=error)
    return problem


async def _answer_error(send: Send, error: Exception, *, request_id: str) -> None:
    problem = _find_problem(error, request_id=request_id)
    body = build_error(problem.status, problem.code, problem.detail)
    await answer(send, body, status=problem.status, headers=build_headers(problem, error))
