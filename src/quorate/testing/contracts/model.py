"""What must every model behind a provider do when all goes well?"""

from __future__ import annotations

from itertools import combinations

import msgspec

from quorate.errors import InvalidInput
from quorate.messages import (
    AnyPart,
    Audio,
    File,
    Image,
    Message,
    TextDelta,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    build_user_message,
)
from quorate.models.cost import cost_usd
from quorate.specs import ModelSettings, OutputSpec, Request
from quorate.testing.contracts.building import expect
from quorate.testing.contracts.model_case import (
    CALLS,
    LOOK,
    WAIT,
    ModelCase,
    ask,
    build_request,
    encode_bytes,
    is_refused,
    watch,
    write_body,
)
from quorate.testing.provider_server.script import Answer

PLAIN = build_request()
TOOLS = build_request(tools=(LOOK, WAIT))
WORDS = "Grüße, dear world 🌍: one, two, three."
USED = {"cached_tokens": 40, "cache_write_tokens": 8, "reasoning_tokens": 5}
SHORT = ModelSettings(prompt_cache="short")
SETTINGS = (
    ModelSettings(temperature=0.25),
    ModelSettings(top_p=0.5),
    ModelSettings(top_k=7),
    ModelSettings(max_tokens=77),
    ModelSettings(seed=0),
    ModelSettings(stop=("END",)),
    ModelSettings(frequency_penalty=0.5),
    ModelSettings(presence_penalty=0.5),
    ModelSettings(reasoning="low"),
    SHORT,
    ModelSettings(prompt_cache="long"),
    ModelSettings(extra={"canary_field": {"canary": 1}}),
)
WISHES = (
    ModelSettings(),
    ModelSettings(tool_choice="none"),
    ModelSettings(tool_choice="required"),
    ModelSettings(tool="wait"),
)
PIECES: tuple[tuple[str, AnyPart, str], ...] = (
    ("image", Image(data=b"canary-image", media_type="image/png"), encode_bytes(b"canary-image")),
    ("image_url", Image(url="https://canary.test/a.png"), "https://canary.test/a.png"),
    ("audio", Audio(data=b"canary-sound", media_type="audio/wav"), encode_bytes(b"canary-sound")),
    ("file", File(data=b"canary-paper", media_type="application/pdf", name="a.pdf"), encode_bytes(b"canary-paper")),
)


class ModelContract:
    """What every provider must do; see `quorate.testing.contracts` on how to use it. The fixture is `case`."""

    async def test_text_comes_whole(self, case: ModelCase) -> None:
        """With its end, its usage, its price, and the provider's id for the call."""
        script = [Answer(text=WORDS, headers={"x-request-id": "request-7"})]
        async with case.connect(script) as (model, server):
            reply = await model.complete(PLAIN)
        assert reply.message.text == WORDS
        assert (reply.message.role, reply.stop, reply.request_id) == ("assistant", "end", "request-7")
        assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.requests) == (12, 7, 1)
        assert not reply.estimated
        assert (reply.cost_usd is not None) == model.profile.priced
        assert [sent.is_stream for sent in server.requests] == [False]

    async def test_text_comes_in_pieces(self, case: ModelCase) -> None:
        """In order, before the end, adding up to the very reply that comes whole."""
        answer = Answer(text=WORDS, piece=4)
        async with case.connect([answer, answer]) as (model, server):
            watched = await watch(model, PLAIN)
            whole = await model.complete(PLAIN)
        assert watched.text == WORDS
        assert sum(isinstance(item, TextDelta) for item in watched.items) > 4
        assert watched.reply == whole
        assert server.requests[0].is_stream

    async def test_the_first_piece_does_not_wait_for_the_last(self, case: ModelCase) -> None:
        """What was received is given out while the server still writes, and whoever leaves then ends the call."""
        async with case.connect([Answer(text=WORDS, piece=4, pause_s=0.05)]) as (model, server):
            stream = model.stream(PLAIN)
            first = await anext(stream)
            assert isinstance(first, TextDelta)
            assert not server.dropped
            await stream.aclose()
            await server.wait_dropped()

    async def test_pieces_may_be_cut_anywhere_on_the_way(self, case: ModelCase) -> None:
        """A stream is the same however few bytes arrive at a time."""
        answer = Answer(text=WORDS, piece=4, calls=CALLS)
        drips = [msgspec.structs.replace(answer, drip=size) for size in (1, 7, 100)]
        async with case.connect([answer, *drips]) as (model, _):
            replies = [(await watch(model, TOOLS)).reply for _ in range(4)]
        assert all(reply == replies[0] for reply in replies)

    async def test_tools_are_shown(self, case: ModelCase) -> None:
        """With their names, descriptions and schemas."""
        async with case.connect(["Hello."]) as (model, server):
            await model.complete(TOOLS)
        body = write_body(server.requests[0])
        assert all(word in body for word in ("look", "Looks at a place.", '"place"', "wait", "Waits."))

    async def test_calls_are_read(self, case: ModelCase) -> None:
        """One, several at once, the same one twice, beside words, whole and in pieces."""
        script = [Answer(calls=CALLS[:1]), Answer(text=WORDS, calls=CALLS, piece=4)]
        for stream in (False, True):
            async with case.connect(script) as (model, _):
                for answer in script:
                    reply = await ask(model, TOOLS, stream=stream)
                    got = reply.message.tool_calls
                    assert [(call.name, _read(call)) for call in got] == [(c.name, _read(c)) for c in answer.calls]
                    assert len({call.id for call in got}) == len(got)
                    assert all(call.id for call in got)
                    assert not case.ids or [call.id for call in got] == [call.id for call in answer.calls]
                    assert (reply.stop, reply.message.text) == ("tool_calls", answer.text)

    async def test_a_call_comes_in_pieces(self, case: ModelCase) -> None:
        """Which add up to its arguments, under the id the reply gives it."""
        async with case.connect([Answer(calls=CALLS, piece=4)]) as (model, _):
            watched = await watch(model, TOOLS)
        calls = watched.reply.message.tool_calls
        assert len(calls) == len(CALLS)
        assert all(watched.join_arguments(call.id) == call.arguments for call in calls)

    async def test_a_call_without_arguments_has_none(self, case: ModelCase) -> None:
        """It is an empty object."""
        for stream in (False, True):
            async with case.connect([ToolCall(id="a", name="wait", arguments="{}")]) as (model, _):
                reply = await ask(model, TOOLS, stream=stream)
            assert [_read(call) for call in reply.message.tool_calls] == [{}]

    async def test_results_are_given_back(self, case: ModelCase) -> None:
        """In order, each to its call, those that failed too."""
        async with case.connect([Answer(calls=CALLS), "Hello."]) as (model, server):
            asked = (await model.complete(TOOLS)).message
            first, second = asked.tool_calls
            results = (
                ToolResult(call_id=first.id, name="look", content="canary-fine"),
                ToolResult(call_id=second.id, name="look", content="canary-broken", is_error=True, code="tool_error"),
            )
            history = (build_user_message("Hi"), asked, Message(role="tool", parts=results))
            reply = await model.complete(build_request(tools=(LOOK,), history=history))
        assert reply.message.text == "Hello."
        body = write_body(server.requests[1])
        places = [body.find(word) for word in ("here", "there", "canary-fine", "canary-broken")]
        assert -1 not in places
        assert places[2] < places[3]
        assert not case.ids or all(body.count(call.id) >= 2 for call in CALLS)

    async def test_a_conversation_of_another_provider_goes_on(self, case: ModelCase) -> None:
        """Its calls keep their meaning; its signatures are shown to nobody else."""
        parts = (
            Thinking(text="canary-thought", signature="canary-signature", id="canary-id", provider="elsewhere"),
            ToolCall(id="toolu_01/x|y", name="look", arguments='{"place":"canary-place"}', signature="canary-of-call"),
        )
        results = Message(role="tool", parts=(ToolResult(call_id="toolu_01/x|y", name="look", content="seen"),))
        history = (build_user_message("Hi"), Message(role="assistant", parts=parts), results)
        async with case.connect(["Hello."]) as (model, server):
            await model.complete(build_request(tools=(LOOK,), history=history))
        body = write_body(server.requests[0])
        assert "canary-signature" not in body
        assert "canary-id" not in body
        assert "canary-place" in body

    async def test_how_tools_are_chosen_is_said(self, case: ModelCase) -> None:
        """Freely, never, always, a certain one: each is written differently, or refused."""
        bodies: list[str] = []
        async with case.connect(lambda _: "Hello.") as (model, server):
            for wish in WISHES:
                if not await is_refused(model, build_request(tools=(LOOK, WAIT), settings=wish)):
                    bodies.append(write_body(server.requests[-1]))
            with expect(InvalidInput, "'swim'"):
                await model.complete(build_request(tools=(LOOK,), settings=ModelSettings(tool="swim")))
            with expect(InvalidInput, "no tools"):
                await model.complete(build_request(settings=ModelSettings(tool_choice="required")))
        assert bodies
        assert all(one != other for one, other in combinations(bodies, 2))

    async def test_calls_may_be_kept_apart(self, case: ModelCase) -> None:
        """One at a time is written differently from what is usual, or refused."""
        async with case.connect(lambda _: "Hello.") as (model, server):
            await model.complete(TOOLS)
            if not await is_refused(
                model, build_request(tools=(LOOK, WAIT), settings=ModelSettings(parallel_tool_calls=False))
            ):
                assert server.requests[1].body != server.requests[0].body

    async def test_no_setting_is_ignored(self, case: ModelCase) -> None:
        """Each changes what is sent, or is refused."""
        async with case.connect(lambda _: "Hello.") as (model, server):
            await model.complete(PLAIN)
            plain = server.requests[0].body
            for setting in SETTINGS:
                count = len(server.requests)
                if await is_refused(model, build_request(settings=setting)):
                    continue
                assert len(server.requests) == count + 1
                # A provider that keeps everything in its cache unasked has nothing to be told.
                assert server.requests[-1].body != plain or setting == SHORT, setting

    async def test_an_answer_is_held_to_a_schema(self, case: ModelCase) -> None:
        """Where the profile says so; elsewhere the schema is refused, as it would be ignored."""
        schema: dict[str, object] = {
            "type": "object",
            "properties": {"canary_name": {"type": "string"}},
            "required": ["canary_name"],
        }
        asked = Request(messages=PLAIN.messages, output=OutputSpec(name="Answer", json_schema=schema))
        async with case.connect([Answer(text='{"canary_name": "x"}')]) as (model, server):
            if not model.profile.native_output:
                assert await is_refused(model, asked)
                return
            reply = await model.complete(asked)
        assert reply.message.text == '{"canary_name": "x"}'
        assert "canary_name" in write_body(server.requests[0])

    async def test_reasoning_is_kept_apart(self, case: ModelCase) -> None:
        """Whole and in pieces, and its signature is given back with the call that came of it."""
        if not case.thinking:
            return
        answer = Answer(
            thinking="Let me see.", calls=CALLS[:1], signature="canary-signature" if case.signatures else None
        )
        for stream in (False, True):
            async with case.connect([answer, "Hello."]) as (model, server):
                reply = await ask(model, TOOLS, stream=stream)
                thought = reply.message.parts[0]
                assert isinstance(thought, Thinking)
                assert thought.text == "Let me see."
                assert reply.message.text == ""
                result = ToolResult(call_id=reply.message.tool_calls[0].id, name="look", content="seen")
                history = (*TOOLS.messages, reply.message, Message(role="tool", parts=(result,)))
                await model.complete(build_request(tools=(LOOK,), history=history))
            if case.signatures:
                assert thought.provider == model.profile.provider
                assert "canary-signature" in write_body(server.requests[1])

    async def test_reasoning_comes_in_pieces(self, case: ModelCase) -> None:
        """Which add up, before the words."""
        if not case.thinking:
            return
        async with case.connect([Answer(thinking="Let me see.", text="Four.", piece=3)]) as (model, _):
            watched = await watch(model, PLAIN)
        assert (watched.thinking, watched.text) == ("Let me see.", "Four.")

    async def test_what_is_shown_is_carried_or_refused(self, case: ModelCase) -> None:
        """Pictures, sound and files, by a person or a tool."""
        async with case.connect(lambda _: "Hello.") as (model, server):
            for kind, part, wanted in PIECES:
                request = build_request(part)
                if kind not in case.parts:
                    assert await is_refused(model, request), f"{kind} was neither carried nor refused"
                    continue
                await model.complete(request)
                assert wanted in write_body(server.requests[-1]), kind

    async def test_tools_may_show_pictures(self, case: ModelCase) -> None:
        """What the model saw is carried, or the request is refused."""
        kind, part, wanted = PIECES[0]
        assert isinstance(part, Image)
        result = ToolResult(call_id="call-a", name="look", content=(part,))
        history = (*PLAIN.messages, Message(role="assistant", parts=CALLS[:1]), Message(role="tool", parts=(result,)))
        async with case.connect(["Hello."]) as (model, server):
            if not await is_refused(model, build_request(tools=(LOOK,), history=history)):
                assert wanted in write_body(server.requests[0]), kind

    async def test_every_count_is_read(self, case: ModelCase) -> None:
        """For streams also; cached and reasoning tokens are parts of the whole."""
        told = {name: count for name, count in USED.items() if name in case.counts}
        usage = Usage(input_tokens=100, output_tokens=30, requests=1, **told)
        for stream in (False, True):
            async with case.connect([Answer(text="Hello.", usage=usage)]) as (model, _):
                reply = await ask(model, PLAIN, stream=stream)
            assert reply.usage == usage
            assert reply.cost_usd == cost_usd(usage, model.target.price)

    async def test_what_is_not_counted_is_estimated(self, case: ModelCase) -> None:
        """And said to be."""
        for stream in (False, True):
            async with case.connect([Answer(text="x" * 40, usage=None)]) as (model, _):
                reply = await ask(model, PLAIN, stream=stream)
            assert reply.estimated
            assert reply.usage.output_tokens == 10

    async def test_why_it_stopped_is_read(self, case: ModelCase) -> None:
        """At its limit, or cut for its contents: neither is a whole answer."""
        for stream in (False, True):
            async with case.connect([Answer(text="Hel", stop="length"), Answer(text="Hel", stop="filtered")]) as (
                model,
                _,
            ):
                assert (await ask(model, PLAIN, stream=stream)).stop == "length"
                if case.filtered:
                    reply = await ask(model, PLAIN, stream=stream)
                    assert (reply.stop, reply.message.text) == ("filtered", "Hel")

    async def test_a_refusal_is_no_answer(self, case: ModelCase) -> None:
        """It is `filtered`, and says what the provider said."""
        if not case.refusals:
            return
        for stream in (False, True):
            async with case.connect([Answer(refusal="I cannot help with that.", piece=4)]) as (model, _):
                reply = await ask(model, PLAIN, stream=stream)
            assert (reply.stop, reply.message.text) == ("filtered", "I cannot help with that.")

    async def test_an_answer_of_nothing_is_an_answer(self, case: ModelCase) -> None:
        """No words, no calls, and an end."""
        for stream in (False, True):
            async with case.connect([Answer()]) as (model, _):
                reply = await ask(model, PLAIN, stream=stream)
            assert (reply.stop, reply.message.text, reply.message.tool_calls) == ("end", "", ())

    async def test_streams_and_answers_leave_the_connection_whole(self, case: ModelCase) -> None:
        """One after another, by turns."""
        async with case.connect(lambda _: "Hello.") as (model, server):
            for turn in range(6):
                assert (await ask(model, PLAIN, stream=bool(turn % 2))).message.text == "Hello."
        assert len(server.requests) == 6
        assert server.dropped == 0


def _read(call: ToolCall) -> object:
    return msgspec.json.decode(call.arguments)
