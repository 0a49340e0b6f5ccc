"""Can a run go on from any point of another, with something different there?"""

import pytest
from msgspec import structs
from tests.unit.agent.doubles import Effects, reply

from quorate import Agent, Approved, InvalidInput, Limits, MemoryLog, NotFound, RunOptions, ScriptedModel, tool
from quorate.agent.replay import replay_exactly
from quorate.agent.replay.fork import Change, Origin, build_fork, fork_run
from quorate.events import (
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    ModelReplied,
    RunCreated,
    RunWaiting,
    ToolFailed,
    ToolFinished,
    ToolStarted,
    ToolUnknown,
    get_kind,
    summarize,
)
from quorate.models.scripted import call
from quorate.specs import Request
from quorate.testing.clock import ManualClock
from quorate.tools.toolsets import get_call_digest

RUN = "run-1"


def answer(request: Request):
    """Look, pay, and say what the last call gave."""
    turn = sum(message.role == "assistant" for message in request.messages)
    if turn < 2:
        return [call("look", name="a"), call("pay", amount=5)][turn]
    return f"it says: {request.messages[-1].parts[0].content}"  # type: ignore[union-attr]


def build(effects: Effects, *, asks: bool = False) -> Agent:
    look, pay, _ = effects.tools()
    return Agent("a", model=ScriptedModel(answer), tools=[look, Approved(pay, editable=["amount"]) if asks else pay])


async def record(*, asks: bool = False) -> tuple[MemoryLog, list[AnyEvent]]:
    log = MemoryLog()
    options = RunOptions(run_id=RUN, idempotency_key="key-1", request="ab", session="s-1", labels={"model": "m"})
    await build(Effects(), asks=asks).run("go", log=log, options=options)
    return log, await log.read(RUN)


def find(events: list[AnyEvent], kind: type, place: int = 0) -> AnyEvent:
    return [event for event in events if isinstance(event, kind)][place]


async def resume(log: MemoryLog, run: str, *, asks: bool = False) -> tuple[str, list[str], list[AnyEvent]]:
    effects = Effects()
    agent = build(effects, asks=asks)
    result = await agent.resume(run, log=log)
    events = await log.read(run)
    assert (await replay_exactly(build(Effects(), asks=asks), events)).is_identical
    return result.text if result.status == "completed" else result.status, effects.done, events


async def test_a_fork_is_a_run_of_its_own() -> None:
    """New id, where it came from in its labels, no key, session or owner of the old one; it rests. row: E13"""
    log, events = await record()
    clock = ManualClock(now=events[-1].time + 1000)
    run = await fork_run(log, RUN, at=8, clock=clock)
    copied = await log.read(run)
    created = copied[0]
    assert isinstance(created, RunCreated)
    assert created.labels == {"model": "m", "fork.run": RUN, "fork.seq": "8"}
    assert (created.session, created.idempotency_key, created.request) == (None, None, "")
    assert {event.run for event in copied} == {run}
    assert [event.seq for event in copied] == list(range(1, 10))
    assert copied[-1].time == copied[-2].time == clock.now()
    summary = summarize(None, copied)
    assert summary is not None
    assert (summary.status, summary.wakes, summary.owner) == ("waiting", None, "")
    assert await log.read(RUN) == events
    origin = Origin(run="run-2", session="s-2", principal="ann", limits=Limits(steps=9), labels={"model": "n"})
    assert await fork_run(log, RUN, at=3, origin=origin) == "run-2"
    created = (await log.read("run-2"))[0]
    assert isinstance(created, RunCreated)
    assert (created.session, created.principal, created.limits.steps) == ("s-2", "ann", 9)
    assert created.labels["model"] == "n"


async def test_nothing_that_was_recorded_is_done_again() -> None:
    """What is behind the fork is done for real."""
    log, events = await record()
    run = await fork_run(log, RUN, at=find(events, ToolFinished).seq)
    assert await resume(log, run) == ("it says: paid 5", ["pay 5"], await log.read(run))
    run = await fork_run(log, RUN, at=find(events, ToolFinished, 1).seq)
    text, done, _ = await resume(log, run)
    assert (text, done) == ("it says: paid 5", [])
    run = await fork_run(log, RUN, at=len(events))
    text, done, _ = await resume(log, run)
    assert (text, done) == ("it says: paid 5", [])


async def test_another_answer_of_the_model_is_gone_on_from() -> None:
    """Text, or a whole reply with other calls. row: E13"""
    log, events = await record()
    at = find(events, ModelReplied, 1).seq
    text, done, _ = await resume(log, await fork_run(log, RUN, at=at, change=Change(reply="enough")))
    assert (text, done) == ("enough", [])
    other = structs.replace(call("pay", amount=7), id="c-7")
    text, done, _ = await resume(log, await fork_run(log, RUN, at=at, change=Change(reply=reply("", other))))
    assert (text, done) == ("it says: paid 7", ["pay 7"])


async def test_another_result_of_a_call_is_gone_on_from() -> None:
    """As text, or as a whole result that failed. row: E13"""
    log, events = await record()
    last = find(events, ToolFinished, 1)
    assert isinstance(last, ToolFinished)
    text, done, _ = await resume(log, await fork_run(log, RUN, at=last.seq, change=Change(result="paid nothing")))
    assert (text, done) == ("it says: paid nothing", [])
    failed = structs.replace(last.result, content="no money", is_error=True, code="tool_error")
    run = await fork_run(log, RUN, at=last.seq, change=Change(result=failed))
    text, done, went = await resume(log, run)
    assert (text, done) == ("it says: no money", [])
    assert isinstance(went[last.seq - 1], ToolFailed)


async def test_an_unsafe_call_under_way_is_asked_about() -> None:
    """It is not repeated silently; a person decides, and then it is."""
    log, events = await record()
    run = await fork_run(log, RUN, at=find(events, ToolStarted, 1).seq)
    text, done, went = await resume(log, run)
    assert (text, done) == ("waiting", [])
    assert isinstance(find(went, ToolUnknown), ToolUnknown)
    asked = find(went, ApprovalRequested)
    assert isinstance(asked, ApprovalRequested)
    yes = ApprovalDecided(
        run=run, seq=len(went) + 1, time=1.0, key=asked.key, approved=True, digest=asked.digest, by="ann"
    )
    await log.append(run, (yes,), expected=len(went))
    text, done, _ = await resume(log, run)
    assert (text, done) == ("it says: paid 5", ["pay 5"])


@pytest.mark.parametrize("kind", ["keyed", "idempotent"])
async def test_a_keyed_or_approved_call_under_way_is_asked_about_too(kind: str) -> None:
    """Its key is made of the run's id, and what was approved was the old run's call."""
    done: list[int] = []

    @tool(effect=kind)  # type: ignore[call-overload]
    async def move(n: int) -> str:
        """Move."""
        done.append(n)
        return "moved"

    script = [call("move", n=1), "done"]
    agent = Agent(
        "a",
        model=ScriptedModel(lambda request: script[sum(m.role == "assistant" for m in request.messages)]),
        tools=[move if kind == "keyed" else Approved(move)],
    )
    log = MemoryLog()
    await agent.run("go", log=log, options=RunOptions(run_id=RUN))
    events = await log.read(RUN)
    if kind == "idempotent":
        asked = find(events, ApprovalRequested)
        assert isinstance(asked, ApprovalRequested)
        yes = ApprovalDecided(
            run=RUN, seq=len(events) + 1, time=1.0, key=asked.key, approved=True, digest=asked.digest, by="ann"
        )
        await log.append(RUN, (yes,), expected=len(events))
        await agent.resume(RUN, log=log)
        events = await log.read(RUN)
    begun = [event for event in events if isinstance(event, ToolStarted)][-1]
    done.clear()
    run = await fork_run(log, RUN, at=begun.seq)
    assert (await agent.resume(run, log=log)).status == "waiting"
    assert done == []


async def test_what_was_asked_stands_open_and_what_was_approved_is_asked_anew() -> None:
    """An approval is good for one call of one run."""
    log, events = await record(asks=True)
    asked = find(events, ApprovalRequested)
    assert isinstance(asked, ApprovalRequested)
    run = await fork_run(log, RUN, at=len(events))
    copied = await log.read(run)
    question = find(copied, ApprovalRequested)
    assert isinstance(question, ApprovalRequested)
    assert question.digest == get_call_digest(run, "2/tool/call-3-1", asked.call) != asked.digest
    yes = ApprovalDecided(
        run=RUN, seq=len(events) + 1, time=1.0, key=asked.key, approved=True, digest=asked.digest, by="ann"
    )
    await log.append(RUN, (yes,), expected=len(events))
    run = await fork_run(log, RUN, at=len(events) + 1)
    text, done, went = await resume(log, run, asks=True)
    assert (text, done) == ("waiting", [])
    assert sum(isinstance(event, ApprovalRequested) for event in went) == 2


@pytest.mark.parametrize("at_answer", [True, False])
async def test_another_decision_is_gone_on_from(at_answer: bool) -> None:
    """Where the old run was refused, the fork is allowed, also with edited arguments; and the other way round."""
    log, events = await record(asks=True)
    asked = find(events, ApprovalRequested)
    assert isinstance(asked, ApprovalRequested)
    no = ApprovalDecided(
        run=RUN, seq=len(events) + 1, time=1.0, key=asked.key, approved=False, digest=asked.digest, by="ann"
    )
    await log.append(RUN, (no,), expected=len(events))
    at = no.seq if at_answer else asked.seq
    run = await fork_run(log, RUN, at=at, change=Change(approved=True, by="bob", reason="it is due"))
    assert (await resume(log, run, asks=True))[:2] == ("it says: paid 5", ["pay 5"])
    change = Change(approved=True, by="bob", arguments='{"amount":3}')
    run = await fork_run(log, RUN, at=at, change=change)
    assert (await resume(log, run, asks=True))[:2] == ("it says: paid 3", ["pay 3"])
    run = await fork_run(log, RUN, at=at, change=Change(approved=False, by="bob", reason="too much"))
    text, done, _ = await resume(log, run, asks=True)
    assert "bob refused it: too much" in text
    assert done == []


async def test_a_fork_of_a_fork_tells_the_last_origin() -> None:
    """And goes on as well."""
    log, events = await record()
    first = await fork_run(log, RUN, at=8)
    second = await fork_run(log, first, at=4)
    created = (await log.read(second))[0]
    assert isinstance(created, RunCreated)
    assert (created.labels["fork.run"], created.labels["fork.seq"]) == (first, "4")
    assert (await resume(log, second))[0] == "it says: paid 5"
    assert len(events) > 8


async def test_what_a_fork_refuses() -> None:
    """An event that is not there, and a change that does not fit the event; nothing is written."""
    log, events = await record()
    runs = len(await log.list_runs())
    for at in (0, len(events) + 1):
        with pytest.raises(NotFound, match=f"has events 1 to {len(events)}, and no event {at}"):
            await fork_run(log, RUN, at=at)
    with pytest.raises(NotFound):
        await fork_run(log, "run-none", at=1)
    for change, words in (
        (Change(reply="x"), "an answer of the model can be changed at a `model.replied` only"),
        (Change(result="x"), "the result of a call can be changed at a `tool.finished` or `tool.failed` only"),
        (Change(approved=True), "a decision can be changed at a `approval.requested` only"),
        (Change(text="x"), "a word can be changed at a `input.requested` only"),
    ):
        with pytest.raises(InvalidInput, match=words):
            await fork_run(log, RUN, at=1, change=change)
    assert len(await log.list_runs()) == runs


async def test_a_question_bound_in_another_way_takes_no_answer() -> None:
    """Nothing is allowed by accident: what a toolset of one's own binds its questions to is not known."""
    log, events = await record(asks=True)
    asked = find(events, ApprovalRequested)
    odd = [structs.replace(event, digest="of its own") if event is asked else event for event in events]
    with pytest.raises(InvalidInput, match="no answer can be given for the new run"):
        build_fork(odd, at=asked.seq, change=Change(approved=True), origin=Origin(run="run-2"), now=1.0)
    copied = build_fork(odd, at=asked.seq, origin=Origin(run="run-2"), now=1.0)
    assert get_kind(copied[-1]) == get_kind(RunWaiting(run="", seq=1, time=0.0, reason="interrupted"))
    assert log is not None
