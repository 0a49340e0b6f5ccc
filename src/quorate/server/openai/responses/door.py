"""How does a response come about, and how is one looked at, stopped and forgotten?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from urllib.parse import parse_qsl

import msgspec
from msgspec import structs

from quorate.errors import Conflict, InvalidInput
from quorate.messages import Message, Reply
from quorate.security.identity import Need
from quorate.server.answering import RUN, Answering, build_caller, send_stream
from quorate.server.blocks import Block, Whole, list_blocks, read_blocks
from quorate.server.doors import Visit, answer, while_there
from quorate.server.gate import Routes
from quorate.server.openai.responses.ask import MODELS_OWN, build_request, read_asked, read_conversation
from quorate.server.openai.responses.kept import Kept, KeptResponses
from quorate.server.openai.responses.say import Events, Head, Json, build_done, build_head, build_open
from quorate.server.openai.responses.wire import ResponsesRequest
from quorate.server.openai.say import BEAT
from quorate.server.parts import check_for_agent, refuse
from quorate.server.runs import await_rest
from quorate.server.shapes import check_shape
from quorate.server.speech import Said, await_reply, hear_run

STOP_S = 5.0
"""How long a response that is stopped is waited for."""
_encode = msgspec.json.Encoder().encode


class Responses:
    """Serves Open Responses.

    Args:
        answering: Who answers to the names of models.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._clock = answering.clock
        self.routes: Routes = {
            ("POST", "/responses"): (Need("models", "write"), self._create),
            ("GET", "/responses/{response_id:str}"): (Need("models", "read"), self._show),
            ("DELETE", "/responses/{response_id:str}"): (Need("models", "write"), self._delete),
            ("POST", "/responses/{response_id:str}/cancel"): (Need("models", "write"), self._cancel),
        }

    def _open_kept(self, visit: Visit) -> KeptResponses:
        return KeptResponses(self._answering.open_runtime(visit), visit.identity.principal)

    async def _show(self, visit: Visit, name: str) -> None:
        if dict(parse_qsl(visit.query)).get("stream", "false").lower() != "false":
            raise refuse("stream", "is for what comes about now: create the response with it.")
        await answer(visit.send, await self._open_kept(visit).show(name))

    async def _delete(self, visit: Visit, name: str) -> None:
        await self._open_kept(visit).delete(name)
        await answer(visit.send, _encode({"id": name, "object": "response", "deleted": True}))

    async def _cancel(self, visit: Visit, name: str) -> None:
        kept = self._open_kept(visit)
        run = (await kept.load(name)).run
        if not run:
            raise InvalidInput(f"Response {name!r} is done: only what an agent works on can be stopped.")
        await self._answering.check_work(visit, f"run/{run}")
        runtime = self._answering.open_runtime(visit)
        with suppress(Conflict):  # it has ended already, as it then says
            await runtime.cancel(run, reason="cancelled as a response", by=visit.identity.principal)
            await while_there(visit.receive, await_rest(await runtime.attach(run), STOP_S))
        await answer(visit.send, await kept.show(name))

    async def _create(self, visit: Visit, _: str) -> None:
        asked = read_asked(visit.body)
        agent = self._answering.find_agent(asked.model)
        if agent is not None:
            await self._ask_agent(visit, asked, agent)
        else:
            await self._ask_model(visit, asked)

    async def _ask_model(self, visit: Visit, asked: ResponsesRequest) -> None:
        if asked.background:
            raise refuse("background", "is for agents, whose work is recorded: ask a model while you wait.")
        model = self._answering.find_model(asked.model)
        kept = self._open_kept(visit)
        instructions, messages = read_conversation(asked)
        before = await kept.load_before(asked.previous_response_id)
        request = build_request(
            asked, before=before, instructions=instructions, messages=messages, caller=build_caller(visit)
        )
        head = self._build_head(asked, self._answering.name_answer(visit, "resp"))
        keeper = _Keeper(self._answering, kept if asked.store is not False else None, messages)
        if asked.stream:
            await self._stream(visit, head, self._answering.hear(visit, model, request), keeper)
            return
        reply = await self._answering.ask(visit, model, request)
        response = await keeper.finish(head, reply, list_blocks(reply.message))
        await answer(visit.send, _encode(response))

    async def _ask_agent(self, visit: Visit, asked: ResponsesRequest, agent: str) -> None:
        check_for_agent(asked, MODELS_OWN, agent=agent)
        form = asked.text.format if asked.text is not None else None
        if form is not None and form.type != "text":
            check_shape(self._answering.open_agent(agent), form.schema, field="text.format")
        if asked.background and asked.store is False:
            raise refuse("store", "is false, and what is done in the background must be kept to be read.")
        kept = self._open_kept(visit)
        instructions, messages = read_conversation(asked)
        before = await kept.load_before(asked.previous_response_id)
        handle = await self._answering.submit(
            visit, agent, instructions=instructions, messages=[*before, *messages], metadata=asked.metadata
        )
        head, headers = self._build_head(asked, handle.id), {RUN: handle.id}
        if asked.store is not False and not await kept.save(Kept(head=head, run=handle.id)):
            head = structs.replace(head, settings={**head.settings, "store": False})
        keeper = _Keeper(self._answering, None, ())
        if asked.background:
            body = _encode(build_open(head, "queued"))
            await answer(visit.send, body, headers=headers)
        elif asked.stream:
            await self._stream(visit, head, hear_run(handle), keeper, headers=headers)
        else:
            reply = await while_there(visit.receive, await_reply(handle))
            response = await keeper.finish(head, reply, list_blocks(reply.message))
            await answer(visit.send, _encode(response), headers=headers)

    def _build_head(self, asked: ResponsesRequest, name: str) -> Head:
        return build_head(asked, id=name, created=self._clock.now(), is_kept=asked.store is not False)

    async def _stream(
        self, visit: Visit, head: Head, said: Said, keeper: _Keeper, *, headers: dict[str, str] | None = None
    ) -> None:
        events = Events(head)
        frames = _write_events(events, head, said, keeper)
        await send_stream(visit, frames, beat=BEAT, fail=events.fail, headers=headers)


class _Keeper:
    """Builds the end of a response, and keeps it where that is wanted.

    Args:
        answering: Knows the time.
        kept: Where it is kept; nowhere when `None`.
        messages: What was new in the conversation.
    """

    def __init__(self, answering: Answering, kept: KeptResponses | None, messages: Sequence[Message]) -> None:
        self._clock = answering.clock
        self._kept = kept
        self._messages = messages

    async def finish(self, head: Head, reply: Reply, blocks: Sequence[Block]) -> Json:
        """Build a response with its answer; it says whether it is kept."""
        response = build_done(head, reply, blocks, now=self._clock.now())
        if self._kept is None:
            return response
        kept = Kept(
            head=head,
            messages=(*self._messages, reply.message) if reply.message.parts else tuple(self._messages),
            previous=str(head.settings["previous_response_id"] or ""),
            body=_encode(response),
        )
        return response if await self._kept.save(kept) else {**response, "store": False}


async def _write_events(events: Events, head: Head, said: Said, keeper: _Keeper) -> AsyncGenerator[bytes]:
    """Write a response as it comes about; the first events come with the first piece of the answer."""
    has_begun = False
    async with aclosing(read_blocks(said)) as steps:
        async for step in steps:
            if not has_begun:
                has_begun = True
                yield events.begin()
            if isinstance(step, Whole):
                yield events.end(await keeper.finish(head, step.reply, step.blocks))
            else:
                yield events.write(step)
