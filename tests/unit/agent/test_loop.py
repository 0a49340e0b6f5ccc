"""What does one run do, and how does it end?"""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from msgspec import structs
from tests.unit.agent.doubles import Effects, reply

from quorate import (
    Agent,
    Cancelled,
    Incomplete,
    InvalidInput,
    Limits,
    MemoryLog,
    RunContext,
    RunOptions,
    ScriptedModel,
    TextDelta,
    ToolError,
    UpstreamError,
    override,
    tool,
)
from quorate.agent.attempt import attempt
from quorate.errors import BlockedByPolicy, BudgetExceeded, Conflict, CorruptState, Unavailable
from quorate.events import (
    AnyEvent,
    Event,
    GuardBlocked,
    ModelReplied,
    RunCompleted,
    ToolFailed,
    ToolFinished,
    ToolStarted,
    get_kind,
)
from quorate.messages import Image, Message, ReplyDone, StreamItem, Text, ToolCall, Usage
from quorate.models.scripted import After, call
from quorate.specs import ModelProfile, Request


def kinds(events: object) -> list[str]:
    return [get_kind(event) for event in events]  # type: ignore[attr-defined]


async def test_a_run_asks_calls_and_answers() -> None:
    """A question, a tool call and an answer are nine events with one end. row: B5"""
    effects = Effects()
    agent = Agent("looker", model=ScriptedModel([call("look", name="disk"), "all fine"]), tools=effects.tools())

    result = await agent.run("is the disk fine?")

    assert result.output == "all fine"
    assert result.status == "completed"
    assert result.reason == ""
    assert effects.done == ["look disk"]
    assert kinds(result.events) == [
        "run.created",
        "run.started",
        "model.requested",
        "model.replied",
        "tool.started",
        "tool.finished",
        "model.requested",
        "model.replied",
        "run.completed",
    ]
    assert [event.seq for event in result.events] == list(range(1, 10))
    assert result.usage.requests == 2
    assert result.messages[-2].parts[0].content == "disk is fine"  # type: ignore[union-attr]


async def test_steps_are_keyed_by_what_they_are() -> None:
    """Keys name path, turn, kind and id, never the order of arrival."""
    agent = Agent(
        "looker",
        model=ScriptedModel(
            [
                [
                    ToolCall(id="a", name="look", arguments='{"name":"x"}'),
                    ToolCall(id="b", name="look", arguments='{"name":"y"}'),
                ],
                "ok",
            ]
        ),
        tools=Effects().tools(),
    )
    result = await agent.run("both")
    assert {event.key for event in result.events if event.key} == {"1/model", "1/tool/a", "1/tool/b", "2/model"}


async def test_calls_that_share_an_id_are_told_apart() -> None:
    """A provider that repeats a call id does not make two calls one."""
    effects = Effects()
    same = [
        ToolCall(id="a", name="look", arguments='{"name":"x"}'),
        ToolCall(id="a", name="look", arguments='{"name":"y"}'),
    ]
    result = await Agent("looker", model=ScriptedModel([same, "ok"]), tools=effects.tools()).run("both")
    assert sorted(effects.done) == ["look x", "look y"]
    assert {e.key for e in result.events if isinstance(e, ToolFinished)} == {"1/tool/a", "1/tool/a#2"}


async def test_parallel_calls_run_side_by_side_and_keep_their_order() -> None:
    """Each of three calls waits for the other two: they could not end one after another."""
    barrier = asyncio.Barrier(3)

    @tool(effect="idempotent")
    async def meet(name: str) -> str:
        """Meet the others."""
        await barrier.wait()
        return name

    calls = [call("meet", name=name) for name in "cab"]
    result = await Agent("m", model=ScriptedModel([calls, "done"]), tools=[meet]).run("go")
    assert [part.content for part in result.messages[2].parts] == ["c", "a", "b"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(steps=2), "steps"),
        (Limits(tokens=15), "tokens"),
        (Limits(cost_usd=0.015), "cost_usd"),
        (Limits(repeated_calls=2, steps=9), "repeated_calls"),
        (Limits(tool_calls=1), "tool_calls"),
    ],
)
async def test_a_limit_ends_a_run_incomplete(limits: Limits, limit: str) -> None:
    """A run that meets a limit is `incomplete`, never completed, and keeps what was said. row: B5"""
    again = [
        reply(f"try {n}", ToolCall(id=f"c{n}", name="look", arguments='{"name":"x"}'), tokens=10, cost_usd=0.01)
        for n in range(8)
    ]
    agent = Agent("looker", model=ScriptedModel(again), tools=Effects().tools())

    result = await agent.run("look for ever", limits=limits)

    assert result.status == "incomplete"
    assert result.events[-1].limit == limit  # type: ignore[union-attr]
    assert result.text.startswith("try ")
    with pytest.raises(Incomplete):
        _ = result.output


async def test_a_budget_that_is_used_up_is_a_limit_and_no_failure() -> None:
    """What a model's gateway refuses to pay for ends the run `incomplete`, with what was said until then."""
    script = [reply("first", ToolCall(id="c", name="look", arguments='{"name":"x"}')), BudgetExceeded("Spent.")]
    result = await Agent("looker", model=ScriptedModel(script), tools=Effects().tools()).run("x")
    assert (result.status, result.text) == ("incomplete", "first")
    assert result.events[-1].limit == "budget"  # type: ignore[union-attr]


async def test_what_a_guard_blocked_is_in_the_log() -> None:
    """Which guard and why; the text is not."""
    blocked = BlockedByPolicy("The guard `pii` stopped it.", guard="pii", reason="email")
    log = MemoryLog()
    with pytest.raises(BlockedByPolicy):
        await Agent("a", model=ScriptedModel([blocked])).run("x", log=log, options=RunOptions(run_id="run-1"))
    found = [event for event in await log.read("run-1") if isinstance(event, GuardBlocked)]
    assert [(event.guard, event.reason) for event in found] == [("pii", "email")]


async def test_a_reply_that_the_budget_cut_short_says_so() -> None:
    cut = structs.replace(reply("half of"), stop="length", notes=("budget: 9 tokens were left.",))
    result = await Agent("a", model=ScriptedModel([cut])).run("x")
    assert result.events[-1].limit == "cost_usd"  # type: ignore[union-attr]
    assert result.events[-1].message == "9 tokens were left."  # type: ignore[union-attr]


async def test_usage_and_cost_are_recorded_with_the_end() -> None:
    """Tokens and cost of a run are in its last event. row: B5"""
    model = ScriptedModel(
        [
            reply("", ToolCall(id="c", name="look", arguments='{"name":"x"}'), tokens=7, cost_usd=0.5),
            reply("ok", tokens=5, cost_usd=0.25),
        ]
    )
    result = await Agent("looker", model=model, tools=Effects().tools()).run("x")
    assert isinstance(result.events[-1], RunCompleted)
    assert result.events[-1].usage == Usage(input_tokens=12, requests=2, tool_calls=1)
    assert result.events[-1].cost_usd == result.cost_usd == 0.75


async def test_a_cost_limit_needs_a_known_price() -> None:
    """A bound that cannot hold is refused before anything is spent."""
    model = ScriptedModel(["hi"], profile=ModelProfile(name="mystery:one", priced=False))
    with pytest.raises(InvalidInput, match=r"No price is known for model 'mystery:one', so a limit of \$0.5"):
        await Agent("a", model=model).run("x", limits=Limits(cost_usd=0.5))
    assert model.requests == []


async def test_a_deadline_cuts_a_slow_model_and_a_slow_tool() -> None:
    """`seconds` ends the wait under way, in a model call or a tool. row: C3"""
    effects = Effects()
    for model in (ScriptedModel([After(30, "late")]), ScriptedModel([call("hang"), After(30, "late")])):
        began = time.monotonic()
        result = await Agent("slow", model=model, tools=effects.tools()).run("x", limits=Limits(seconds=1))
        assert (result.status, result.events[-1].limit) == ("incomplete", "seconds")  # type: ignore[union-attr]
        assert time.monotonic() - began < 20
    assert effects.done == ["hang", "freed"]


@pytest.mark.parametrize("answer", [After(30, "late"), call("hang")])
@pytest.mark.parametrize("live", [False, True])
async def test_cancel_takes_effect_inside_a_wait(answer: object, live: bool) -> None:
    """A run that is cancelled inside a slow model or tool call ends at once, and frees what the call held. row: B5"""
    effects = Effects()
    agent = Agent("slow", model=ScriptedModel([answer, "late"]), tools=effects.tools())  # type: ignore[list-item]
    run = agent.open_run("x", live=live)

    async def drain() -> None:
        async for _ in attempt(run):
            pass

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(drain())
        for _ in range(20):
            await asyncio.sleep(0)
        run.cancel("enough")
    assert time.monotonic() - began < 20
    assert run.journal.events[-1].reason == "enough"  # type: ignore[union-attr]
    assert get_kind(run.journal.events[-1]) == "run.cancelled"
    assert effects.done in ([], ["hang", "freed"])


async def test_a_tool_can_stop_the_run() -> None:
    """`context.cancel` ends the run after the call, with its reason."""

    @tool
    async def stop(context: RunContext[None]) -> str:
        """Stop."""
        context.cancel("found it")
        return "stopping"

    result = await Agent("a", model=ScriptedModel([call("stop"), "never"]), tools=[stop]).run("x")
    assert (result.status, result.reason) == ("cancelled", "found it")
    with pytest.raises(Cancelled):
        _ = result.output


async def test_leaving_a_run_lets_it_rest() -> None:
    """When whoever drives a run is cancelled, the run is not ended: it waits to be resumed."""
    log = MemoryLog()
    agent = Agent("slow", model=ScriptedModel([After(30, "late")]))
    task = asyncio.ensure_future(agent.run("x", log=log, options=RunOptions(run_id="run-1")))
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    last = (await log.read("run-1"))[-1]
    assert (get_kind(last), last.reason) == ("run.waiting", "interrupted")  # type: ignore[union-attr]


async def test_a_failing_model_fails_the_run_with_its_error() -> None:
    """The error is raised with the run's id, and the log says how it ended. row: C5"""
    log = MemoryLog()
    agent = Agent("a", model=ScriptedModel([UpstreamError("the provider is down", status=503, retryable=True)]))
    with pytest.raises(UpstreamError, match="the provider is down") as caught:
        await agent.run("x", log=log)
    run_id = str(caught.value.context["run"])
    assert kinds(await log.read(run_id))[-2:] == ["model.failed", "run.failed"]
    assert caught.value.retryable


async def test_a_bug_in_a_model_is_recorded_and_raised() -> None:
    """An error that is not ours still ends the run in the log."""
    log = MemoryLog()

    def broken(request: Request) -> str:
        raise RuntimeError("oops")

    with pytest.raises(RuntimeError, match="oops"):
        await Agent("a", model=ScriptedModel(broken)).run("x", log=log, options=RunOptions(run_id="run-1"))
    last = (await log.read("run-1"))[-1]
    assert (get_kind(last), last.message) == ("run.failed", "RuntimeError: oops")  # type: ignore[union-attr]


async def test_a_refusal_and_a_cut_reply_are_not_answers() -> None:
    """`filtered` is a refusal and `length` is incomplete; neither is taken for the answer."""
    with pytest.raises(BlockedByPolicy, match="cannot help"):
        await Agent("a", model=ScriptedModel([reply("I cannot help", stop="filtered")])).run("x")
    result = await Agent("a", model=ScriptedModel([reply("and so on and", stop="length")])).run("x")
    assert (result.status, result.text) == ("incomplete", "and so on and")


async def test_what_a_model_can_mend_goes_back_to_it() -> None:
    """Unknown tools, bad arguments and tool errors come back as results that say what is wrong. row: C2"""

    @tool
    async def divide(a: int, b: int) -> float:
        """Divide."""
        if b == 0:
            raise ToolError("b is 0; give another divisor")
        return a / b

    model = ScriptedModel(
        [
            [
                call("divid", a=1, b=2),
                call("divide", a="one", b=2),
                call("divide", a=1, b=0),
                ToolCall(id="z", name="divide", arguments='{"a": 1,'),
            ],
            "sorry",
        ]
    )
    result = await Agent("a", model=model, tools=[divide]).run("x")
    told = [part.content for part in result.messages[2].parts]  # type: ignore[union-attr]
    assert (
        told[0]
        == "Tool `divid` failed (invalid_input): There is no tool 'divid'. Did you mean `divide`? Known: `divide`."
    )
    assert (
        told[1]
        == "Tool `divide` failed (invalid_input): the arguments are not valid: Expected `int`, got `str` - at `$.a`"
    )
    assert told[2] == "Tool `divide` failed (tool_error): b is 0; give another divisor"
    assert told[3].startswith(
        "Tool `divide` failed (invalid_input): the arguments are not valid: Input data was truncated"
    )
    assert [e.result.code for e in result.events if isinstance(e, ToolFailed)] == [
        "invalid_input",
        "invalid_input",
        "tool_error",
        "invalid_input",
    ]


async def test_a_crash_in_a_tool_does_not_take_the_run_along() -> None:
    """Any exception of a tool becomes its result; the others' results are kept."""

    @tool
    async def crash() -> str:
        """Crash."""
        raise KeyError("x")

    result = await Agent(
        "a", model=ScriptedModel([[call("crash"), call("look", name="y")], "ok"]), tools=[crash, *Effects().tools()]
    ).run("x")
    assert [part.content for part in result.messages[2].parts] == [  # type: ignore[union-attr]
        "Tool `crash` failed (tool_crashed): it failed with KeyError: 'x'",
        "y is fine",
    ]
    assert result.status == "completed"


async def test_what_an_operator_must_mend_is_raised_after_all_calls_ended() -> None:
    """A typed error that is not the model's to mend fails the run; calls beside it are settled first."""
    effects = Effects()

    @tool
    async def broken() -> str:
        """Need something that is gone."""
        raise Unavailable("the vault is closed")

    log = MemoryLog()
    agent = Agent(
        "a", model=ScriptedModel([[call("broken"), call("pay", amount=3)], "ok"]), tools=[broken, *effects.tools()]
    )
    with pytest.raises(Unavailable, match="the vault is closed") as caught:
        await agent.run("x", log=log)
    assert caught.value.context["tool"] == "broken"
    assert effects.done == ["pay 3"]
    events = await log.read(str(caught.value.context["run"]))
    assert kinds(events)[-3:] in (
        ["tool.failed", "tool.finished", "run.failed"],
        ["tool.finished", "tool.failed", "run.failed"],
    )


async def test_a_stream_yields_events_and_text_in_order() -> None:
    """Pieces come before the reply is recorded; joined they are the text; the last item ends the run."""
    agent = Agent(
        "a", model=ScriptedModel([call("look", name="x"), "twelve small pieces of text"]), tools=Effects().tools()
    )
    items = [item async for item in agent.run_stream("x")]
    texts = [item.text for item in items if isinstance(item, TextDelta)]
    assert "".join(texts) == "twelve small pieces of text"
    assert len(texts) > 2
    last_reply = max(place for place, item in enumerate(items) if isinstance(item, ModelReplied))
    assert all(place < last_reply for place, item in enumerate(items) if isinstance(item, TextDelta))
    assert isinstance(items[-1], RunCompleted)
    assert [item.seq for item in items if isinstance(item, Event)] == list(range(1, 10))


async def test_a_stream_that_is_cut_is_incomplete() -> None:
    """A model whose stream ends without a whole reply did not answer."""

    class Cut:
        profile = ModelProfile(name="cut")

        async def complete(self, request: Request) -> object:
            raise AssertionError

        async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
            yield TextDelta("half an ans")

    items = [item async for item in Agent("a", model=Cut()).run_stream("x")]  # type: ignore[arg-type]
    assert (get_kind(items[-1]), items[-1].limit) == ("run.incomplete", "stream")  # type: ignore[union-attr, arg-type]


async def test_leaving_a_stream_early_stops_the_work() -> None:
    """A reader that leaves closes the model's stream and frees the tools. row: C3"""
    effects, closed = Effects(), asyncio.Event()

    class Endless:
        profile = ModelProfile(name="endless")

        async def complete(self, request: Request) -> object:
            raise AssertionError

        async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
            try:
                while True:
                    yield TextDelta("more ")
                    await asyncio.sleep(0)
            finally:
                closed.set()

    stream = Agent("a", model=Endless()).run_stream("x")  # type: ignore[arg-type]
    async for item in stream:
        if isinstance(item, TextDelta):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    assert closed.is_set()

    stream = Agent("a", model=ScriptedModel([call("hang")]), tools=effects.tools()).run_stream("x")
    async for item in stream:
        if isinstance(item, ToolStarted):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    assert effects.done in ([], ["hang", "freed"])


async def test_progress_of_a_tool_is_streamed_not_stored() -> None:
    """What a tool says while it works reaches the watcher before its result, and is not in the log."""

    @tool
    async def work(context: RunContext[None]) -> str:
        """Work."""
        context.emit("half way", fraction=0.5)
        await asyncio.sleep(0)
        return "done"

    items = [item async for item in Agent("a", model=ScriptedModel([call("work"), "ok"]), tools=[work]).run_stream("x")]
    names = [type(item).__name__ for item in items]
    assert names.index("ToolStarted") < names.index("Progress") < names.index("ToolFinished")


async def test_deps_and_facts_reach_tools() -> None:
    """A tool finds the caller's deps and the run's facts in its context."""
    seen: list[object] = []

    @tool
    async def look(context: RunContext[dict[str, int]]) -> int:
        """Look."""
        seen.extend(
            [context.deps, context.session, context.tenant, context.principal, context.key, context.limits.steps]
        )
        seen.append(context.idempotency_key)
        return context.deps["answer"]

    agent = Agent("a", model=ScriptedModel([ToolCallOnce := call("look"), "ok"]), tools=[look])
    result = await agent.run("x", deps={"answer": 42}, options=RunOptions(session="s1", tenant="acme", principal="ann"))
    assert seen[:6] == [{"answer": 42}, "s1", "acme", "ann", "1/tool/call-1-1", 25]
    assert len(str(seen[6])) == 64
    assert result.messages[2].parts[0].content == "42"  # type: ignore[union-attr]
    assert ToolCallOnce.id == ""


async def test_instructions_may_be_built_from_deps() -> None:
    """A function of the deps gives the instructions of that run."""
    model = ScriptedModel(["ok"])
    await Agent("a", model=model, instructions=lambda deps: f"You help {deps}.").run("x", deps="Ann")
    assert model.requests[0].instructions == "You help Ann."


async def test_one_agent_serves_many_runs_at_once() -> None:
    """An agent holds no state of its runs: a hundred at once do not meet."""

    def echo(request: Request) -> str:
        return f"you said {request.messages[-1].text}"

    agent = Agent("echo", model=ScriptedModel(echo))
    results = await asyncio.gather(*(agent.run(f"word {n}") for n in range(100)))
    assert [result.output for result in results] == [f"you said word {n}" for n in range(100)]
    assert len({result.run_id for result in results}) == 100


async def test_history_and_parts_reach_the_model() -> None:
    """The conversation before and pictures are given to the model as they are."""
    model = ScriptedModel(["first", "second"])
    agent = Agent("a", model=model)
    first = await agent.run((Text(text="what is this?"), Image(data=b"\x89PNG")))
    await agent.run("and this?", history=first.messages)
    assert [message.role for message in model.requests[1].messages] == ["user", "assistant", "user"]
    assert model.requests[1].messages[0].parts[1] == Image(data=b"\x89PNG")


def test_run_sync_from_ordinary_code() -> None:
    """`run_sync` works without a loop, twice, and says what to do inside one."""
    agent = Agent("a", model=ScriptedModel(["one", "two"]))
    assert [agent.run_sync("x").output, agent.run_sync("x").output] == ["one", "two"]

    async def inside() -> None:
        agent.run_sync("x")

    with pytest.raises(InvalidInput, match=r"await agent\.run"):
        asyncio.run(inside())


async def test_models_can_be_overridden_in_tests() -> None:
    """`override` reaches an agent however deep it is used, and only inside the block. row: E2"""
    agent = Agent("deep", model=ScriptedModel(["real"]))

    async def application() -> str:
        return (await agent.run("x")).output

    with override({"deep": ScriptedModel(["fake"])}):
        assert await application() == "fake"
    assert await application() == "real"


async def test_an_agent_without_a_model_says_so() -> None:
    """The error names the agent and the ways out."""
    with pytest.raises(InvalidInput, match="Agent 'bare' has no model"):
        await Agent("bare").run("x")
    with pytest.raises(InvalidInput, match="is not an identifier"):
        Agent("No Spaces")


async def test_listeners_see_every_event_once_it_is_recorded() -> None:
    """A listener is called with each event in order."""
    seen: list[int] = []
    result = await Agent("a", model=ScriptedModel(["ok"])).run(
        "x", options=RunOptions(listeners=(lambda event: seen.append(event.seq),))
    )
    assert seen == [event.seq for event in result.events]


async def test_a_reply_is_streamed_by_a_model_that_only_completes() -> None:
    """`ReplyDone` alone is a whole stream."""

    class Quiet:
        profile = ModelProfile(name="quiet")

        async def complete(self, request: Request) -> object:
            raise AssertionError

        async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
            yield ReplyDone(reply("done"))

    items = [item async for item in Agent("a", model=Quiet()).run_stream("x")]  # type: ignore[arg-type]
    assert items[-1].output == "done"  # type: ignore[union-attr]


async def test_messages_know_their_words_and_calls() -> None:
    """A message's text is its words joined."""
    message = Message(role="assistant", parts=(Text(text="a"), ToolCall(id="1", name="t"), Text(text="b")))
    assert (message.text, message.tool_calls) == ("ab", (ToolCall(id="1", name="t"),))


async def test_a_listener_that_fails_harms_no_run() -> None:
    """Its error goes to the event loop's handler; the run and the other listeners go on."""
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: reported.append(facts))
    seen: list[int] = []

    def broken(event: object) -> None:
        raise RuntimeError("sink is down")

    listeners = (broken, lambda event: seen.append(event.seq))
    result = await Agent("a", model=ScriptedModel(["ok"])).run("x", options=RunOptions(listeners=listeners))
    assert result.output == "ok"
    assert len(seen) == len(reported) == len(result.events)


async def test_a_tool_in_a_thread_may_report_and_stop() -> None:
    """Progress and cancel reach the run from a synchronous tool's thread."""

    @tool
    def work(context: RunContext[None]) -> str:
        """Work in a thread."""
        context.emit("half way")
        context.cancel("that will do")
        return "done"

    items = [
        item async for item in Agent("a", model=ScriptedModel([call("work"), "never"]), tools=[work]).run_stream("x")
    ]
    assert "half way" in [getattr(item, "message", None) for item in items]
    assert (get_kind(items[-1]), items[-1].reason) == ("run.cancelled", "that will do")  # type: ignore[union-attr, arg-type]


async def test_a_log_that_lost_its_tail_parks_the_run() -> None:
    """A log that is shorter than what was recorded is not written to again and again."""

    class Losing(MemoryLog):
        async def append(self, run: str, events: object, *, expected: int) -> None:
            if expected >= 3:
                raise Conflict("shorter")
            await super().append(run, events, expected=expected)  # type: ignore[arg-type]

        async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
            return []

    with pytest.raises(CorruptState, match="is shorter than what was recorded"):
        await Agent("a", model=ScriptedModel(["x"])).run("x", log=Losing())


async def test_lone_surrogates_do_not_cost_the_run() -> None:
    """A tool's text that no log could hold is mended."""

    @tool
    async def odd() -> str:
        """Return what is not text."""
        return "caf\udce9"

    result = await Agent("a", model=ScriptedModel([call("odd"), "ok"]), tools=[odd]).run("x")
    assert result.messages[2].parts[0].content == "caf?"  # type: ignore[union-attr]
