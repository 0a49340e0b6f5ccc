"""How does what is asked in Anthropic's protocol reach an agent or a model, and what comes back?"""

from __future__ import annotations

from litestar.types import HTTPScope, Receive, Send

from quorate.models.tokens import estimate_request
from quorate.runtime import Runtime
from quorate.security.identity import Need
from quorate.server.access import Doorkeeper
from quorate.server.answering import RUN, Answering, build_caller, send_stream
from quorate.server.anthropic.ask import (
    MODELS_OWN,
    build_counted,
    build_request,
    check_version,
    read_count,
    read_message,
    read_messages,
    read_page,
)
from quorate.server.anthropic.say import (
    PING,
    Events,
    build_count,
    build_message,
    build_model,
    build_models,
    frame_error,
    write_error,
)
from quorate.server.anthropic.wire import MessagesRequest
from quorate.server.doors import Visit, answer, while_there
from quorate.server.gate import Gate, Routes
from quorate.server.parts import check_for_agent, refuse
from quorate.server.shapes import check_shape
from quorate.server.speech import await_reply, hear_run

ROOT = "/anthropic/v1"
REQUEST_ID = b"request-id"
"""The header in which clients of this protocol look for what to quote when they ask about an answer."""


class AnthropicDoor:
    """Serves agents and the gateway's models in Anthropic's protocol, as an ASGI application.

    Args:
        runtime: What does the work.
        doorkeeper: Knows callers.
        works: Whether this process works on runs.
    """

    def __init__(self, runtime: Runtime, doorkeeper: Doorkeeper, *, works: bool = True) -> None:
        self._answering = Answering(runtime, works=works)
        self._clock = runtime.clock
        self.routes: Routes = {
            ("POST", "/messages"): (Need("models", "write"), self._create),
            ("POST", "/messages/count_tokens"): (Need("models", "read"), self._count),
            ("GET", "/models"): (Need("models", "read"), self._list_models),
            ("GET", "/models/{model_id:path}"): (Need("models", "read"), self._show_model),
        }
        """What there is, and what each needs."""
        self.gate = Gate(ROOT, self.routes, doorkeeper=doorkeeper, write_error=write_error, id_header=REQUEST_ID)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.gate(scope, receive, send)

    async def _list_models(self, visit: Visit, _: str) -> None:
        names, has_more = read_page(visit.query).cut(self._answering.list_names())
        await answer(visit.send, build_models(names, created=self._clock.now(), has_more=has_more))

    async def _show_model(self, visit: Visit, name: str) -> None:
        self._answering.check_name(name)
        await answer(visit.send, build_model(name, created=self._clock.now()))

    async def _count(self, visit: Visit, _: str) -> None:
        check_version(visit.headers.get("anthropic-version", ""))
        asked = read_count(visit.body)
        name = asked.model
        if self._answering.find_agent(name) is None:
            name = self._answering.find_model(name).profile.name
        await answer(visit.send, build_count(estimate_request(build_counted(asked), name)))

    async def _create(self, visit: Visit, _: str) -> None:
        check_version(visit.headers.get("anthropic-version", ""))
        asked = read_message(visit.body)
        agent = self._answering.find_agent(asked.model)
        if agent is not None:
            await self._ask_agent(visit, asked, agent)
            return
        model = self._answering.find_model(asked.model)
        request = build_request(asked, build_caller(visit))
        name = self._answering.name_answer(visit, "msg")
        if asked.stream:
            frames = Events(id=name, model=asked.model).write(self._answering.hear(visit, model, request))
            await send_stream(visit, frames, beat=PING, fail=frame_error)
            return
        reply = await self._answering.ask(visit, model, request)
        await answer(visit.send, build_message(reply, id=name, model=asked.model))

    async def _ask_agent(self, visit: Visit, asked: MessagesRequest, agent: str) -> None:
        check_for_agent(asked, MODELS_OWN, agent=agent)
        config = asked.output_config
        if config is not None and config.effort is not None:
            raise refuse("output_config.effort", f"is for models, and {agent!r} is an agent: leave it out.")
        if config is not None and config.format is not None:
            check_shape(self._answering.open_agent(agent), config.format.schema, field="output_config.format")
        instructions, messages = read_messages(asked)
        handle = await self._answering.submit(visit, agent, instructions=instructions, messages=messages)
        headers = {RUN: handle.id}
        if asked.stream:
            frames = Events(id=handle.id, model=asked.model).write(hear_run(handle))
            await send_stream(visit, frames, beat=PING, fail=frame_error, headers=headers)
            return
        reply = await while_there(visit.receive, await_reply(handle))
        await answer(visit.send, build_message(reply, id=handle.id, model=asked.model), headers=headers)
