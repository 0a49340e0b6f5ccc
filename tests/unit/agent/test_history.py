"""Does the fold of a run's log give what the loop had in hand, wherever the log ends?"""

import asyncio
from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from tests.unit.agent.doubles import reply

from quorate import Agent, Approved, ScriptedModel, ToolError, UpstreamError, tool
from quorate.agent.agent import AnyAgent
from quorate.agent.attempt import attempt
from quorate.agent.history import build_conversation, load_history
from quorate.agent.run import Run, RunOptions
from quorate.errors import CorruptState, NotFound
from quorate.events import AnyEvent, ModelRequested, RunCreated, ToolFailed, ToolFinished
from quorate.messages import Message, Text, ToolCall, ToolResult, build_user_message
from quorate.models.scripted import Answer, call
from quorate.ports import Log
from quorate.specs import FINAL_TOOL, ModelProfile
from quorate.state.backends.memory import MemoryLog

MADE_UP = {"unknown", "waiting", "cancelled", "incomplete"}
"""The codes of results that no log has."""


class Verdict(Struct):
    """What an agent must answer in the tests of output tools."""

    ok: bool


@tool(effect="idempotent")
async def look(name: str) -> str:
    """Look at something."""
    return f"{name} is fine"


@tool(effect="unsafe")
async def pay(amount: int) -> str:
    """Pay."""
    await asyncio.sleep(0)
    return f"paid {amount}"


@tool(effect="idempotent")
async def refuse() -> str:
    """Refuse."""
    raise ToolError("not today")


@tool(effect="idempotent")
async def crash() -> str:
    """Crash."""
    raise RuntimeError("broken")


@tool(effect="unsafe")
async def sign(name: str) -> str:
    """Sign something, if a person lets you."""
    return f"{name} signed"


CALLS = {
    "look": call("look", name="disk"),
    "pay": call("pay", amount=3),
    "refuse": call("refuse"),
    "crash": call("crash"),
    "sign": call("sign", name="deed"),
    "helper": call("helper", task="help"),
    "absent": call("absent"),
    "malformed": ToolCall(id="x/y", name="look", arguments="{"),
    "twice": ToolCall(id="x/y", name="look", arguments='{"name": "twin"}'),
}
"""What a turn may call; the last two share an id that looks like a path."""

ENDS: dict[str, Answer] = {
    "text": "All is well.",
    "empty": reply(""),
    "cut": reply("All is", call("look", name="disk"), stop="length"),
    "filtered": reply("I will not.", stop="filtered"),
    "broken": UpstreamError("the provider is away"),
}


def build_agent(
    turns: Sequence[Sequence[str]], *, bad: int, end: str, mode: Literal["text", "native", "tool"]
) -> AnyAgent:
    """Build an agent whose model calls what `turns` name, answers badly a few times, and ends."""
    script: list[Answer] = [[CALLS[name] for name in names] for names in turns]
    wrong: dict[str, Answer] = {"native": "no JSON", "tool": [call(FINAL_TOOL, ok="perhaps"), CALLS["look"]]}
    right: dict[str, Answer] = {"native": '{"ok": true}', "tool": [call(FINAL_TOOL, ok=True), CALLS["look"]]}
    if mode != "text":
        script += [wrong[mode]] * bad
    script.append(right.get(mode, ENDS["text"]) if end == "text" else ENDS[end])
    said: list[Answer] = [CALLS["look"], "helped"] * len(turns)
    helper = Agent("helper", model=ScriptedModel(said), tools=[look])
    profile = ModelProfile(name="scripted", provider="scripted", native_output=mode == "native")
    tools = [look, pay, refuse, crash, Approved(sign), helper]
    model = ScriptedModel(script, profile=profile)
    return Agent("worker", model=model, tools=tools, output_type=str if mode == "text" else Verdict)


async def drive(agent: AnyAgent, *, cancel_at: int = 0, leave_at: int = 0, log: Log | None = None) -> Run:
    """Drive a run to its end, or stop it or leave it when so many events are recorded."""

    def stop(event: AnyEvent) -> None:
        if event.seq == cancel_at:
            run.cancel("enough")
        if event.seq == leave_at:
            task.cancel()

    async def work() -> None:
        async for _ in attempt(run):
            pass

    run = agent.open_run("Do it.", options=RunOptions(listeners=(stop,), log=log))
    task = asyncio.get_running_loop().create_task(work())
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # how it failed is in the log, which is what is looked at
    return run


def check_valid(messages: Sequence[Message]) -> None:
    """What providers want: results right behind their calls, in order; no results without; no empty message."""
    pending: tuple[str, ...] = ()
    for message in messages:
        assert message.parts
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        if pending:
            assert message.role == "tool"
            assert tuple(result.call_id for result in results) == pending
        else:
            assert message.role != "tool"
        pending = tuple(each.id for each in message.tool_calls)
    assert not pending


def is_repair(message: Message) -> bool:
    """Whether the loop wrote a message to tell the model that its answer does not fit."""
    for part in message.parts:
        words = part.text if isinstance(part, Text) else part.content if isinstance(part, ToolResult) else ""
        if message.role != "assistant" and isinstance(words, str) and words.endswith("Mend it and answer again."):
            return True
    return False


def expect(run: Run) -> list[Message]:
    """What the loop had in hand: without repairs and what they repair, and without empty replies."""
    asked = {event.key for event in run.journal.events if isinstance(event, ModelRequested)}
    turn, kept = 0, list[Message]()
    for message in run.messages:
        turn += message.role == "assistant"
        if not is_repair(message):
            kept.append(message)
        elif f"{turn + 1}/model" in asked:
            kept.pop()
    return [message for message in kept if message.parts]


def is_made_up(result: ToolResult) -> bool:
    """Whether a result only says that there is none."""
    return result.code in MADE_UP or result.content == "Not called: an answer was given beside it."


def check_fold(run: Run) -> None:
    """The fold is what the loop had, and every part of the log folds to a conversation that can go on."""
    events = run.journal.events
    folded = build_conversation(events)
    check_valid(folded)
    had = expect(run)
    if had[-1].tool_calls:  # the loop was stopped before it had all results; the log knows those that came
        recorded = {event.result for event in events if isinstance(event, (ToolFinished, ToolFailed))}
        results = [part for part in folded.pop().parts if isinstance(part, ToolResult)]
        assert all(is_made_up(result) or result in recorded for result in results)
    assert folded == had
    for upto in range(1, len(events) + 1):
        check_valid(build_conversation(events, upto=upto))
        assert build_conversation(events, upto=upto) == build_conversation(events[:upto])


turns = st.lists(st.lists(st.sampled_from(sorted(CALLS)), min_size=1, max_size=4), max_size=4)
scenarios = st.fixed_dictionaries(
    {
        "turns": turns,
        "bad": st.integers(0, 3),
        "end": st.sampled_from(sorted(ENDS)),
        "mode": st.sampled_from(["text", "native", "tool"]),
    }
)


class TestFold:
    @given(scenario=scenarios)
    async def test_it_is_what_the_loop_had_in_hand(self, scenario: dict) -> None:
        """Tools, parallel calls, delegates, repairs and every kind of end, however they are put together."""
        check_fold(await drive(build_agent(**scenario)))

    @given(scenario=scenarios, place=st.integers(1, 40), leave=st.booleans())
    async def test_it_is_what_the_loop_had_when_it_was_stopped(self, scenario: dict, place: int, leave: bool) -> None:
        """A run that is cancelled, or left by whoever drives it, at any event."""
        agent = build_agent(**scenario)
        check_fold(await drive(agent, leave_at=place) if leave else await drive(agent, cancel_at=place))

    @pytest.mark.parametrize("leave", [False, True])
    async def test_stopped_at_every_event(self, leave: bool) -> None:
        """One long run, stopped behind each of its events in turn."""
        script = [["look", "helper", "pay"], ["twice", "malformed"], ["refuse", "absent"]]
        whole = await drive(build_agent(script, bad=2, end="text", mode="tool"))
        assert len(whole.journal.events) > 30
        for place in range(1, len(whole.journal.events)):
            agent = build_agent(script, bad=2, end="text", mode="tool")
            check_fold(await drive(agent, leave_at=place) if leave else await drive(agent, cancel_at=place))

    async def test_a_resumed_run_folds_to_the_same(self) -> None:
        """What was recorded in two attempts reads as if it had been one."""
        log = MemoryLog()
        script = [["look", "helper"], ["look"]]
        first = await drive(build_agent(script, bad=0, end="text", mode="text"), leave_at=9, log=log)
        again = build_agent(script, bad=0, end="text", mode="text")
        left = len(first.journal.events)
        assert left < 20

        def answer(request):
            answers = [["look", "helper"], ["look"], None]
            names = answers[sum(message.role == "assistant" for message in request.messages)]
            return "All is well." if names is None else [CALLS[name] for name in names]

        again.model = ScriptedModel(answer)
        result = await again.resume(first.info.run, log=log)
        assert result.status == "completed"
        assert build_conversation(result.events) == list(result.messages)

    async def test_the_words_for_results_that_are_missing(self) -> None:
        """A reader can tell what was not begun, what waits, and what may have taken effect."""
        run = await drive(build_agent([["look", "pay", "sign"]], bad=0, end="text", mode="text"))
        by_seq = {
            event.seq: [
                part.content
                for message in build_conversation(run.journal.events, upto=event.seq)
                for part in message.parts
                if isinstance(part, ToolResult)
            ]
            for event in run.journal.events
        }
        contents = {content for listed in by_seq.values() for content in listed}
        assert "Not called: the run ended before." in contents
        assert "Not called: nobody had answered whether it may be." in contents
        assert "It was begun, and nobody knows how it ended: it may have taken effect." in contents
        assert {"disk is fine", "paid 3"} <= contents

    async def test_an_answer_by_tool_is_taken(self) -> None:
        """The call that carries the answer has a result, and so has what was called beside it."""
        run = await drive(build_agent([], bad=0, end="text", mode="tool"))
        folded = build_conversation(run.journal.events)
        assert folded == run.messages
        assert [part.content for part in folded[-1].parts if isinstance(part, ToolResult)] == [
            "The answer was taken.",
            "Not called: an answer was given beside it.",
        ]
        before = build_conversation(run.journal.events[:-1])
        words = [part.content for part in before[-1].parts if isinstance(part, ToolResult)]
        assert words[0] == "The answer was not taken."

    def test_what_is_no_log_is_refused(self) -> None:
        """Nothing is guessed of a log without a beginning, or one that lost its tail."""
        with pytest.raises(CorruptState, match=r"does not begin with `run\.created`"):
            build_conversation([])
        with pytest.raises(CorruptState, match="has 1 events, and not the 7 that are referred to"):
            build_conversation([build_created("run-1")], upto=7)


def build_created(
    run: str, *, previous: str = "", seq: int = 0, session: str | None = "s", tenant: str = "default"
) -> RunCreated:
    return RunCreated(
        run=run,
        seq=1,
        time=0.0,
        agent="a",
        messages=(build_user_message(f"task of {run}"),),
        session=session,
        tenant=tenant,
        previous=previous,
        previous_seq=seq,
    )


class CountingLog(MemoryLog):
    """A log that counts how it is read."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        self.asked.append("read")
        return await super().read(run, after=after, limit=limit)

    async def read_many(self, runs: Sequence[str]) -> dict[str, list[AnyEvent]]:
        self.asked.append("read_many")
        return await super().read_many(runs)


def get_texts(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages]


class TestChain:
    async def test_it_goes_to_the_beginning(self) -> None:
        """What was said in all runs before, oldest first, in one read where they are of one session."""
        log = CountingLog()
        for number in range(1, 6):
            previous = f"run-{number - 1}" if number > 1 else ""
            await log.append(f"run-{number}", [build_created(f"run-{number}", previous=previous)], expected=0)
        await log.append("run-3x", [build_created("run-3x", previous="run-2")], expected=0)
        found = await load_history(log, build_created("run-6", previous="run-5"))
        assert get_texts(found) == [f"task of run-{number}" for number in range(1, 6)]
        assert log.asked == ["read_many"]

    async def test_without_a_session_each_run_is_read(self) -> None:
        """Runs that only refer to each other are found one by one."""
        log = CountingLog()
        await log.append("run-1", [build_created("run-1", session=None)], expected=0)
        await log.append("run-2", [build_created("run-2", session=None, previous="run-1")], expected=0)
        found = await load_history(log, build_created("run-3", session=None, previous="run-2"))
        assert get_texts(found) == ["task of run-1", "task of run-2"]
        assert log.asked == ["read", "read"]

    async def test_it_goes_on_in_the_session_that_was_forked(self) -> None:
        """The history of a fork reaches into the session it came from, and stops at its event."""
        log = MemoryLog()
        agent = Agent("a", model=ScriptedModel([CALLS["look"], "one"]), tools=[look])
        first = await agent.run("first", log=log, options=RunOptions(session="s", run_id="run-1"))
        options = RunOptions(session="t", run_id="run-2", previous="run-1", previous_seq=3)
        forker = Agent("a", model=ScriptedModel(["two"]))
        await forker.run("second", log=log, history=[build_user_message("first")], options=options)
        created = build_created("run-3", session="t", previous="run-2")
        assert get_texts(await load_history(log, created)) == ["first", "second", "two"]
        assert len(first.events) > 3

    async def test_nothing_before(self) -> None:
        """A run that refers to nothing has no history."""
        assert await load_history(MemoryLog(), build_created("run-1")) == []

    async def test_a_run_that_is_gone_is_named(self) -> None:
        """What is missing is said, with what to do."""
        with pytest.raises(
            NotFound, match=r"no run 'run-1', from which run 'run-2' goes on: .* `quorate sessions recover`"
        ):
            await load_history(MemoryLog(), build_created("run-2", previous="run-1"))

    @pytest.mark.parametrize("session", ["s", None])
    async def test_another_tenants_run_is_gone_in_the_same_words(self, session: str | None) -> None:
        """A reference across tenants finds nothing."""
        log = MemoryLog()
        await log.append("run-1", [build_created("run-1", tenant="other", session=session)], expected=0)
        with pytest.raises(NotFound) as there:
            await load_history(log, build_created("run-2", previous="run-1", session=session))
        with pytest.raises(NotFound) as absent:
            await load_history(MemoryLog(), build_created("run-2", previous="run-1", session=session))
        assert there.value.message == absent.value.message

    async def test_a_circle_is_refused(self) -> None:
        """References that come back to where they were are a corrupt record."""
        log = MemoryLog()
        await log.append("run-1", [build_created("run-1", previous="run-2")], expected=0)
        await log.append("run-2", [build_created("run-2", previous="run-1")], expected=0)
        with pytest.raises(CorruptState, match="goes in a circle at run 'run-2'"):
            await load_history(log, build_created("run-3", previous="run-2"))

    async def test_it_is_bounded(self) -> None:
        """A conversation over more runs than allowed is refused."""
        log = MemoryLog()
        for number in range(1, 8):
            created = build_created(f"run-{number}", previous=f"run-{number - 1}" if number > 1 else "")
            await log.append(f"run-{number}", [created], expected=0)
        with pytest.raises(CorruptState, match="more than 5 runs"):
            await load_history(log, build_created("run-8", previous="run-7"), max_runs=5)
        assert len(await load_history(log, build_created("run-8", previous="run-7"), max_runs=7)) == 7

    async def test_over_more_than_a_page_of_runs(self) -> None:
        """A session with more runs than are read at once, with younger ones beside them."""
        log = CountingLog()
        for number in range(1200):
            created = build_created(f"run-{number:04}", previous=f"run-{number - 1:04}" if number else "")
            await log.append(created.run, [created], expected=0)
        found = await load_history(log, build_created("run-1000x", previous="run-1000"))
        assert get_texts(found) == [f"task of run-{number:04}" for number in range(1001)]
        assert log.asked == ["read_many"] * 3

    async def test_a_log_that_lost_its_tail(self) -> None:
        """A reference behind the end of a log is a corrupt record."""
        log = MemoryLog()
        await log.append("run-1", [build_created("run-1")], expected=0)
        with pytest.raises(CorruptState, match="has 1 events, and not the 4"):
            await load_history(log, build_created("run-2", previous="run-1", seq=4))


def test_an_empty_reply_is_left_out() -> None:
    """A reply without any part says nothing, and no provider takes it back."""
    run = asyncio.run(drive(build_agent([], bad=0, end="empty", mode="text")))
    assert not run.messages[1].parts
    assert get_texts(build_conversation(run.journal.events)) == ["Do it."]
