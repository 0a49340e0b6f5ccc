"""How does what is asked in OpenAI's protocol reach an agent or a model, and what comes back?"""

from __future__ import annotations

from litestar.types import HTTPScope, Receive, Send

from quorate.runtime import Runtime
from quorate.security.identity import Need
from quorate.server.access import Doorkeeper
from quorate.server.answering import RUN, Answering, build_caller, send_stream
from quorate.server.doors import Visit, answer, while_there
from quorate.server.gate import Gate, Routes
from quorate.server.openai.ask import MODELS_OWN, build_request, read_chat, read_messages
from quorate.server.openai.embeddings import build_embed_request, build_embeddings, read_embeddings
from quorate.server.openai.responses.door import Responses
from quorate.server.openai.say import (
    BEAT,
    Chunks,
    build_completion,
    build_model,
    build_models,
    frame_error,
    write_error,
)
from quorate.server.openai.wire import ChatRequest, ResponseFormat
from quorate.server.parts import check_for_agent
from quorate.server.shapes import check_shape
from quorate.server.speech import await_reply, hear_run

ROOT = "/openai/v1"


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
        self._answering = Answering(runtime, works=works)
        self._clock = runtime.clock
        self.routes: Routes = {
            ("POST", "/chat/completions"): (Need("models", "write"), self._complete),
            ("POST", "/embeddings"): (Need("models", "write"), self._embed),
            ("GET", "/models"): (Need("models", "read"), self._list_models),
            ("GET", "/models/{model_id:path}"): (Need("models", "read"), self._show_model),
            **Responses(self._answering).routes,
        }
        """What there is, and what each needs."""
        self.gate = Gate(ROOT, self.routes, doorkeeper=doorkeeper, write_error=write_error)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.gate(scope, receive, send)

    async def _list_models(self, visit: Visit, _: str) -> None:
        await answer(visit.send, build_models(self._answering.list_names(), created=self._clock.now()))

    async def _show_model(self, visit: Visit, name: str) -> None:
        self._answering.check_name(name)
        await answer(visit.send, build_model(name, created=self._clock.now()))

    async def _embed(self, visit: Visit, _: str) -> None:
        asked = read_embeddings(visit.body)
        request = build_embed_request(asked, build_caller(visit))
        found = await while_there(visit.receive, self._answering.find_embedder(asked.model).embed(request))
        await answer(visit.send, build_embeddings(found, asked))

    async def _complete(self, visit: Visit, _: str) -> None:
        asked = read_chat(visit.body)
        agent = self._answering.find_agent(asked.model)
        if agent is not None:
            await self._ask_agent(visit, asked, agent)
            return
        model = self._answering.find_model(asked.model)
        request = build_request(asked, build_caller(visit))
        name, created = self._answering.name_answer(visit, "chatcmpl"), self._clock.now()
        if asked.stream:
            chunks = _build_chunks(asked, id=name, created=created)
            said = self._answering.hear(visit, model, request)
            await send_stream(visit, chunks.write(said), beat=BEAT, fail=frame_error)
            return
        reply = await self._answering.ask(visit, model, request)
        await answer(visit.send, build_completion(reply, id=name, model=asked.model, created=created))

    async def _ask_agent(self, visit: Visit, asked: ChatRequest, agent: str) -> None:
        check_for_agent(asked, MODELS_OWN, agent=agent)
        self._check_form(agent, asked.response_format)
        instructions, messages = read_messages(asked.messages)
        handle = await self._answering.submit(
            visit, agent, instructions=instructions, messages=messages, metadata=asked.metadata
        )
        created, headers = self._clock.now(), {RUN: handle.id}
        if asked.stream:
            chunks = _build_chunks(asked, id=handle.id, created=created)
            frames = chunks.write(hear_run(handle))
            await send_stream(visit, frames, beat=BEAT, fail=frame_error, headers=headers)
            return
        reply = await while_there(visit.receive, await_reply(handle))
        body = build_completion(reply, id=handle.id, model=asked.model, created=created)
        await answer(visit.send, body, headers=headers)

    def _check_form(self, agent: str, form: ResponseFormat | None) -> None:
        if form is not None and form.type != "text":
            schema = form.json_schema.schema if form.json_schema is not None else None
            check_shape(self._answering.open_agent(agent), schema, field="response_format")


def _build_chunks(asked: ChatRequest, *, id: str, created: float) -> Chunks:
    options = asked.stream_options
    return Chunks(id=id, model=asked.model, created=created, with_usage=options is not None and options.include_usage)
