"""Can a run go on after its process died, its owner changed, or a person answered?"""

import asyncio
from collections.abc import Sequence

import pytest
from tests.unit.agent.doubles import Effects

from quorate import Agent, Approved, Limits, MemoryLog, NotFound, RunOptions, ScriptedModel, Waiting, tool
from quorate.agent.attempt import attempt, get_active_seconds
from quorate.agent.replay import replay
from quorate.errors import Conflict, CorruptState, Fenced, Nondeterministic, QuorateError
from quorate.events import (
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    CancelRequested,
    RunStarted,
    RunWaiting,
    ToolFinished,
    ToolStarted,
    ToolUnknown,
    get_kind,
)
from quorate.messages import ToolCall
from quorate.models.scripted import call
from quorate.testing.clock import ManualClock
from quorate.tools.edits import get_edit_digest
from quorate.tools.toolsets import Toolbox

SCRIPT = [
    [call("look", name="a"), call("look", name="b")],
    call("look", name="c"),
    "all fine",
]


class Dying(MemoryLog):
    """A log whose process dies after so many events: what came later was never written."""

    def __init__(self, events: Sequence[AnyEvent], keep: int) -> None:
        super().__init__()
        self.kept = tuple(events[:keep])

    async def refill(self) -> "Dying":
        await self.append(self.kept[0].run, self.kept, expected=0)
        return self


async def record() -> list[AnyEvent]:
    log = MemoryLog()
    agent = Agent("looker", model=ScriptedModel(SCRIPT), tools=Effects().tools())
    await agent.run("look", log=log, options=RunOptions(run_id="run-1"))
    return await log.read("run-1")


async def test_resume_at_every_boundary_repeats_nothing_recorded() -> None:
    """Whatever prefix of the log survived, recorded calls are not made again and the end is the same. row: B5"""
    whole = await record()
    for keep in range(1, len(whole)):
        log = await Dying(whole, keep).refill()
        effects = Effects()
        recorded = [e.result.content for e in whole[:keep] if isinstance(e, ToolFinished)]
        replies = sum(get_kind(event) == "model.replied" for event in whole[:keep])
        agent = Agent("looker", model=ScriptedModel(SCRIPT[replies:]), tools=effects.tools())
        result = await agent.resume("run-1", log=log)
        assert result.output == "all fine"
        assert len(effects.done) + len(recorded) == 3, keep
        assert not {f"look {str(content)[0]}" for content in recorded} & set(effects.done)
        events = await log.read("run-1")
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert result.usage.requests == 3


async def test_parallel_branches_get_their_own_results() -> None:
    """Branches that finish in any order and crash anywhere are resumed with their own results, 200 times of 200."""
    right = 0
    for trial in range(200):
        order = [(trial * 7 + n * 3) % 5 for n in range(4)]
        log = MemoryLog()

        def build(log_effects: list[str], order: list[int] = order) -> Agent[None, str]:
            @tool(effect="idempotent")
            async def work(branch: int, step: int) -> str:
                """Work."""
                for _ in range(order[branch] + step):
                    await asyncio.sleep(0)
                log_effects.append(f"{branch}.{step}")
                return f"result {branch}.{step}"

            def child(branch: int) -> Agent[None, str]:
                script = [
                    call("work", branch=branch, step=1),
                    call("work", branch=branch, step=2),
                    f"branch {branch} ok",
                ]
                return Agent(f"child-{branch}", model=ScriptedModel(_skip(script, f"child_{branch}")), tools=[work])

            calls = [call(f"child_{n}", task="go") for n in range(4)]
            return Agent("lead", model=ScriptedModel(_skip([calls, "end"], "")), tools=[child(n) for n in range(4)])

        recorded: list[AnyEvent] = []

        def _skip(script: list[object], who: str) -> list[object]:
            path = next((e.key for e in recorded if isinstance(e, ToolStarted) and e.call.name == who), None)
            prefix = "" if not who else f"{path}/"
            done = sum(
                get_kind(e) == "model.replied"
                and e.key.startswith(prefix)
                and e.key.count("/model") == 1
                and e.key.removeprefix(prefix).count("/") == 1
                for e in recorded
            )
            return script[done:] if path or not who else script

        first: list[str] = []
        await build(first).run("x", log=log, options=RunOptions(run_id="run-1"))
        whole = await log.read("run-1")
        keep = 3 + trial % (len(whole) - 3)
        recorded = whole[:keep]
        again: list[str] = []
        result = await build(again).resume("run-1", log=await Dying(whole, keep).refill())
        finished = [e.result.content for e in recorded if isinstance(e, ToolFinished) and e.result.name == "work"]
        own = all(f"result {step}" not in finished for step in again)
        told = [part.content for part in result.messages[2].parts]  # type: ignore[union-attr]
        right += result.output == "end" and own and told == [f"branch {n} ok" for n in range(4)]
    assert right == 200


async def test_a_finished_run_is_only_looked_at() -> None:
    """Resuming a run that has ended gives its result and appends nothing."""
    whole = await record()
    log = await Dying(whole, len(whole)).refill()
    agent = Agent("looker", model=ScriptedModel([]), tools=Effects().tools())
    result = await agent.resume("run-1", log=log)
    assert (result.output, await log.last("run-1")) == ("all fine", len(whole))
    with pytest.raises(NotFound, match="There is no run 'run-2'"):
        await agent.resume("run-2", log=log)


async def test_an_older_attempt_is_fenced() -> None:
    """Once another attempt has begun, the older one's next append is refused and it stops."""
    log, release, entered = MemoryLog(), asyncio.Event(), asyncio.Event()

    @tool(effect="idempotent")
    async def wait() -> str:
        """Wait."""
        entered.set()
        await release.wait()
        return "old"

    @tool(effect="idempotent", name="wait")
    async def quick() -> str:
        """Do not wait."""
        return "new"

    old = Agent("a", model=ScriptedModel([call("wait"), "old end"]), tools=[wait])
    task = asyncio.ensure_future(old.run("x", log=log, options=RunOptions(run_id="run-1")))
    await entered.wait()
    new = Agent("a", model=ScriptedModel(["new end"]), tools=[quick])
    result = await new.resume("run-1", log=log)
    release.set()
    with pytest.raises(Fenced, match="Another attempt owns run 'run-1'"):
        await task
    assert result.output == "new end"
    events = await log.read("run-1")
    assert [get_kind(event) for event in events].count("run.completed") == 1
    assert events[-1].attempt != next(event for event in events if isinstance(event, RunStarted)).attempt


async def test_control_events_are_absorbed() -> None:
    """A cancel that somebody else appended is found at the next append and ends the run. row: B5"""
    log, entered, release = MemoryLog(), asyncio.Event(), asyncio.Event()

    @tool(effect="idempotent")
    async def wait() -> str:
        """Wait."""
        entered.set()
        await release.wait()
        return "x"

    agent = Agent("a", model=ScriptedModel([call("wait"), "never"]), tools=[wait])
    task = asyncio.ensure_future(agent.run("x", log=log, options=RunOptions(run_id="run-1")))
    await entered.wait()
    last = await log.last("run-1")
    await log.append(
        "run-1", (CancelRequested(run="run-1", seq=last + 1, time=0.0, key="cancel", reason="stop it"),), expected=last
    )
    release.set()
    result = await task
    assert (result.status, result.reason) == ("cancelled", "stop it")
    events = await log.read("run-1")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [get_kind(event) for event in events[-3:]] == ["tool.finished", "model.requested", "run.cancelled"]


async def test_an_unsafe_call_of_unknown_outcome_waits_for_a_person() -> None:
    """After a crash inside an unsafe call nobody guesses: the run rests, and the answer decides."""
    log = MemoryLog()
    agent = Agent("payer", model=ScriptedModel([call("pay", amount=5), "paid"]), tools=Effects().tools())
    await agent.run("pay", log=log, options=RunOptions(run_id="run-1"))
    whole = await log.read("run-1")
    keep = next(event.seq for event in whole if isinstance(event, ToolStarted))
    for approved, done, said in ((True, ["pay 5"], "paid 5"), (False, [], "ann decided not to repeat it: it arrived")):
        effects = Effects()
        log = await Dying(whole, keep).refill()
        agent = Agent("payer", model=ScriptedModel(["paid"]), tools=effects.tools())
        result = await agent.resume("run-1", log=log)
        assert (result.status, effects.done) == ("waiting", [])
        with pytest.raises(Waiting, match="unknown"):
            _ = result.output
        assert any(isinstance(event, ToolUnknown) for event in result.events)
        asked = next(event for event in result.events if isinstance(event, ApprovalRequested))
        assert isinstance(result.events[-1], RunWaiting)
        assert result.events[-1].keys == (asked.key,)
        again = await agent.resume("run-1", log=log)
        assert again.status == "waiting", "resuming without an answer asks nothing twice"
        assert sum(isinstance(event, ApprovalRequested) for event in again.events) == 1
        await answer(log, asked, approved=approved, reason="it arrived")
        result = await agent.resume("run-1", log=log)
        assert (result.output, effects.done) == ("paid", done)
        assert said in result.messages[-2].parts[0].content  # type: ignore[union-attr, operator]


async def answer(
    log: MemoryLog, asked: ApprovalRequested, *, approved: bool, reason: str = "", arguments: str | None = None
) -> None:
    last = await log.last(asked.run)
    decided = ApprovalDecided(
        run=asked.run,
        seq=last + 1,
        time=0.0,
        key=asked.key,
        approved=approved,
        digest=asked.digest,
        by="ann",
        reason=reason,
        arguments=arguments,
        covers="" if arguments is None else get_edit_digest(asked.digest, arguments),
    )
    await log.append(asked.run, (decided,), expected=last)


async def test_a_call_that_needs_approval_rests_the_run() -> None:
    """An approval toolset holds the exact call until a person answers; calls beside it are made."""
    effects, log = Effects(), MemoryLog()
    tools = Toolbox(effects.tools())  # type: ignore[arg-type]
    guarded = Approved(tools, lambda call: call.name == "pay", editable=["amount"])
    agent = Agent(
        "payer", model=ScriptedModel([[call("look", name="x"), call("pay", amount=5)], "done"]), tools=[guarded]
    )
    result = await agent.run("x", log=log)
    assert (result.status, effects.done) == ("waiting", ["look x"])
    asked = next(event for event in result.events if isinstance(event, ApprovalRequested))
    assert (asked.call.arguments, asked.reason) == ('{"amount":5}', "Tool `pay` needs a person's approval.")

    await answer(log, asked, approved=True, arguments='{"amount":4}')
    result = await agent.resume(result.run_id, log=log)
    assert (result.output, effects.done) == ("done", ["look x", "pay 4"])

    result = await Agent("payer", model=ScriptedModel([call("pay", amount=5), "sorry"]), tools=[guarded]).run(
        "x", log=log
    )
    asked = next(event for event in result.events if isinstance(event, ApprovalRequested))
    await answer(log, asked, approved=False, reason="too much")
    result = await Agent("payer", model=ScriptedModel(["sorry"]), tools=[guarded]).resume(result.run_id, log=log)
    assert "ann refused it: too much" in result.messages[-2].parts[0].content  # type: ignore[union-attr, operator]


async def test_replay_comes_to_the_same_end_without_doing_anything() -> None:
    """A recorded run replays offline; a missing step or another end is named."""
    whole, effects = await record(), Effects()
    agent = Agent("looker", model=ScriptedModel([]), tools=effects.tools())
    result = await replay(agent, whole)
    assert (result.output, effects.done) == ("all fine", [])
    assert list(result.events) == whole

    log = MemoryLog()
    await Agent("looker", model=ScriptedModel([call("look", name="a")] * 9), tools=Effects().tools()).run(
        "x", log=log, limits=Limits(steps=2), options=RunOptions(run_id="run-2")
    )
    cut = await replay(agent, await log.read("run-2"))
    assert cut.status == "incomplete"

    without = [event for event in whole if event.key != "2/tool/call-3-1"]
    renumbered = [
        type(e)(**{f: getattr(e, f) for f in e.__struct_fields__} | {"seq": n}) for n, e in enumerate(without, 1)
    ]  # type: ignore[call-arg]
    with pytest.raises(Nondeterministic, match="2/tool/call-3-1"):
        await replay(agent, renumbered)
    with pytest.raises(NotFound):
        await replay(agent, [])
    with pytest.raises(QuorateError, match="has not ended"):
        await replay(agent, whole[:-1])


async def test_a_log_with_a_gap_is_not_resumed() -> None:
    """A log that does not verify parks the run; nothing is guessed."""
    whole = await record()
    log = MemoryLog()
    await log.append("run-1", (*whole[:3], *whole[4:6]), expected=0)
    with pytest.raises(CorruptState, match="event 5 at place 4"):
        await Agent("looker", model=ScriptedModel([]), tools=[]).resume("run-1", log=log)


async def test_an_append_whose_answer_was_lost_is_recognised() -> None:
    """When a commit went through but its answer did not, the rows are found and not written twice."""

    class Forgetful(MemoryLog):
        forgot = False

        async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
            await super().append(run, events, expected=expected)
            if not self.forgot and any(isinstance(event, ToolStarted) for event in events):
                self.forgot = True
                raise Conflict("the answer was lost, and the retry met its own rows")

    log = Forgetful()
    effects = Effects()
    result = await Agent("a", model=ScriptedModel([call("look", name="x"), "ok"]), tools=effects.tools()).run(
        "x", log=log
    )
    events = await log.read(result.run_id)
    assert [event.seq for event in events] == list(range(1, 10))
    assert effects.done == ["look x"]


async def test_time_at_rest_does_not_count() -> None:
    """The limit in seconds counts work, over all attempts; a run may wait for days."""
    clock = ManualClock()

    @tool(effect="idempotent")
    async def work() -> str:
        """Work for a while."""
        clock.advance(30)
        return "x"

    log = MemoryLog()
    guarded = Approved(Toolbox([work]), lambda call: True)
    agent = Agent("a", model=ScriptedModel([call("work"), "ok"]), tools=[guarded])
    first = await agent.run("x", log=log, options=RunOptions(clock=clock))
    clock.advance(86_400)
    asked = next(event for event in first.events if isinstance(event, ApprovalRequested))
    await answer(log, asked, approved=True)
    result = await agent.resume(first.run_id, log=log, options=RunOptions(clock=clock))
    assert result.status == "completed"
    assert get_active_seconds(result.events) == 30


async def test_an_open_run_that_was_cancelled_ends_on_resume() -> None:
    """A cancel that came while a run rested is honoured by the next attempt."""
    whole = await record()
    log = await Dying(whole, 5).refill()
    await log.append("run-1", (CancelRequested(run="run-1", seq=6, time=0.0, key="cancel", reason="no"),), expected=5)
    effects = Effects()
    result = await Agent("looker", model=ScriptedModel(SCRIPT), tools=effects.tools()).resume("run-1", log=log)
    assert (result.status, effects.done) == ("cancelled", [])


def test_attempt_is_one_generator() -> None:
    """`run`, `run_stream` and `resume` share one driver."""
    import inspect

    assert inspect.isasyncgenfunction(attempt)
    assert ToolCall(id="1", name="x").arguments == "{}"


async def test_two_approvals_of_one_call_take_one_answer() -> None:
    """A call that is guarded twice is asked about once, also when its arguments were edited."""
    effects, log = Effects(), MemoryLog()
    once = Approved(Toolbox(effects.tools()), editable=["amount"])  # type: ignore[arg-type]
    twice = Approved(once, editable=["amount"])
    result = await Agent("payer", model=ScriptedModel([call("pay", amount=5)]), tools=[twice]).run("x", log=log)
    asked = next(event for event in result.events if isinstance(event, ApprovalRequested))
    await answer(log, asked, approved=True, arguments='{"amount":4}')
    again = Agent("payer", model=ScriptedModel(["done"]), tools=[twice])
    assert ((await again.resume(result.run_id, log=log)).output, effects.done) == ("done", ["pay 4"])


async def test_a_run_that_cannot_be_opened_leaves_no_timer() -> None:
    """Instructions that fail are raised, and nothing of the run is left behind."""

    def broken(deps: object) -> str:
        raise RuntimeError("no words")

    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="no words"):
        await Agent("a", model=ScriptedModel([]), instructions=broken).run("x")
    assert all(handle.cancelled() for handle in loop._scheduled[before:])  # type: ignore[attr-defined]
