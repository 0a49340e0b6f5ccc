"""Does a workflow end right when steps fail, wait, are cut or die at the worst moment?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.unit.orchestration.test_procedure import add, answer_all, build_member, pay
from tests.unit.orchestration.test_workflow_run import broken, build, fail, plus

from quorate import Agent, Limits, MemoryLog, ScriptedModel, tool
from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.together import Candidate, race
from quorate.agent.procedure.work import Work
from quorate.agent.replay.exact import replay_exactly
from quorate.errors import NotFound, Unavailable
from quorate.events import AnyEvent, RunFailed, ToolFailed, ToolFinished, ToolStarted
from quorate.models.scripted import After
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.run import StepFailed
from quorate.orchestration.workflow.spec import Input, Step, Undo, Workflow
from quorate.tools.toolsets import Approved


class MortalLog(MemoryLog):
    """A log that is away after a number of appends, as when a process dies there."""

    def __init__(self, appends: int) -> None:
        super().__init__()
        self.left = appends

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        await asyncio.sleep(0)
        if not self.left:
            raise Unavailable("the store is away")
        self.left -= 1
        await super().append(run, events, expected=expected)


def build_flow(*steps: Step, tools: Mapping[str, object], **facts: Any) -> AnyAgent:
    return build_workflow(Workflow(name="flow", steps=steps, **facts), tools=tools)


async def read_failed(log: MemoryLog, failed: pytest.ExceptionInfo[StepFailed]) -> list[AnyEvent]:
    return list(await log.read(str(failed.value.context["run"])))


@pytest.mark.parametrize("first", ["pay", "bad"])
async def test_a_failure_beside_a_wait_ends_the_workflow_and_the_wait_is_dropped(first: str) -> None:
    """Nobody is asked to approve what will not be made. part of row B4"""
    log, made = MemoryLog(), list[str]()

    @tool(effect="unsafe")
    async def spend(amount: int) -> str:
        """Spend.

        Args:
            amount: How much.
        """
        made.append("spent")
        return "spent"

    steps = {"pay": Step(id="pay", tool="spend", arguments={"amount": 1}), "bad": Step(id="bad", tool="fail")}
    ordered = [steps.pop(first), *steps.values()]
    flow = build_flow(*ordered, tools={"spend": Approved(spend), "fail": fail})
    with pytest.raises(StepFailed, match="`bad`") as failed:
        await flow.run("", log=log)
    events = await read_failed(log, failed)
    assert isinstance(events[-1], RunFailed)
    ended = {event.key.rpartition("/")[2]: event.result.code for event in events if isinstance(event, ToolFailed)}
    assert (ended["pay"], made) == ("cancelled", [])
    assert (await replay_exactly(flow, events)).divergence is None


async def test_what_waits_is_asked_where_the_others_go_on() -> None:
    """With `continue`, a failure does not drop what waits; the workflow fails once that is answered."""
    log = MemoryLog()
    flow = build_flow(
        Step(id="pay", tool="pay", arguments={"amount": 1}),
        broken("bad"),
        tools={"pay": Approved(pay), "fail": fail},
        on_failure="continue",
    )
    result = await flow.run("", log=log)
    assert result.status == "waiting"
    await answer_all(log, result.run_id)
    with pytest.raises(StepFailed, match="`bad`"):
        await flow.resume(result.run_id, log=log)
    paid = [event for event in await log.read(result.run_id) if isinstance(event, ToolFinished)]
    assert [event.key for event in paid] == ["1/tool/work/1/tool/pay"]


async def test_whatever_append_is_the_last_nothing_recorded_is_made_again_or_lost() -> None:
    """The store goes away after each possible append; another attempt ends the run. part of row B4"""
    made: list[str] = []

    @tool(effect="idempotent")
    async def mark(name: str) -> str:
        """Mark.

        Args:
            name: What.
        """
        made.append(name)
        return name

    def step(name: str, *after: str) -> Step:
        return Step(id=name, tool="mark", arguments={"name": name}, after=after)

    flow = build_flow(
        step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"), step("e", "b"), tools={"mark": mark}
    )
    for appends in range(1, 30):
        made.clear()
        log = MortalLog(appends)
        try:
            result = await flow.run("", log=log)
        except Unavailable as error:
            run = str(error.context["run"])
        else:
            assert result.output.output == "e"
            return
        settled = [event.key.rpartition("/")[2] for event in await log.read(run) if isinstance(event, ToolFinished)]
        before, log.left = [*made], 1_000
        result = await flow.resume(run, log=log)
        assert result.output.status == "completed"
        assert set(made) == set("abcde")
        again = made[len(before) :]
        assert not set(again) & set(settled)
        assert (await replay_exactly(flow, await log.read(run))).divergence is None
    raise AssertionError("it never came to its end")


async def test_what_had_ended_when_it_was_stopped_has_ended_and_is_taken_back() -> None:
    undone: list[str] = []

    class SlowLog(MemoryLog):
        async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            await super().append(run, events, expected=expected)

    @tool(effect="idempotent")
    async def create() -> str:
        """Give so much that it is recorded by itself."""
        await asyncio.sleep(0)
        return "x" * 100_000

    @tool(effect="idempotent")
    async def remove(what: str) -> str:
        """Undo.

        Args:
            what: What.
        """
        undone.append(what)
        return what

    @tool(effect="idempotent")
    async def late() -> str:
        """Fail a moment later."""
        for _ in range(3):
            await asyncio.sleep(0)
        raise NotFound("no")

    log = SlowLog()
    undo = Undo(tool="remove", arguments={"what": "it"})
    flow = build_flow(
        Step(id="made", tool="create", undo=undo),
        Step(id="bad", tool="late"),
        tools={"create": create, "remove": remove, "late": late},
    )
    with pytest.raises(StepFailed, match="Taken back: made") as failed:
        await flow.run("", log=log)
    events = await read_failed(log, failed)
    settled = [event.key.rpartition("/")[2] for event in events if isinstance(event, (ToolFinished, ToolFailed))]
    assert settled.count("made") == 1
    assert undone == ["it"]
    assert (await replay_exactly(flow, events)).divergence is None


async def test_an_output_that_cannot_be_worked_out_takes_everything_back() -> None:
    undone: list[int] = []

    @tool(effect="idempotent")
    async def remove(number: int) -> int:
        """Undo.

        Args:
            number: What.
        """
        undone.append(number)
        return number

    flow = build_flow(
        plus("a", 1, undo=Undo(tool="remove", arguments={"number": "=output"})),
        tools={"add": add, "remove": remove},
        output="{steps.a.output.name}",
    )
    with pytest.raises(StepFailed, match=r"The output of workflow 'flow' failed: .* Taken back: a"):
        await flow.run("")
    assert undone == [2]


async def test_a_failure_reads_the_same_when_it_is_gone_on_from() -> None:
    """What later steps are told of a failure does not depend on whether a process died behind it."""
    log = MemoryLog()

    @tool(effect="idempotent")
    async def gone() -> str:
        """Fail by our own error."""
        raise NotFound("there is no such thing")

    tools = {"gone": gone, "pay": Approved(pay)}
    steps = (
        Step(id="bad", tool="gone", optional=True),
        Step(id="p", tool="pay", arguments={"amount": 1}, after=("bad",), join="ended"),
    )
    flow = build_flow(*steps, tools=tools, output="{steps.bad.reason}")
    once = build_flow(*steps[:1], tools=tools, output="{steps.bad.reason}")
    result = await flow.run("", log=log)
    await answer_all(log, result.run_id)
    result = await flow.resume(result.run_id, log=log)
    assert result.output.output == (await once.run("")).output.output
    assert (await replay_exactly(flow, result.events)).divergence is None


async def test_a_list_is_taken_back_in_its_turn_also_after_a_crash() -> None:
    undone: list[str] = []

    @tool(effect="idempotent")
    async def remove(name: str) -> str:
        """Undo.

        Args:
            name: What.
        """
        undone.append(name)
        return name

    def undo(name: str) -> Undo:
        return Undo(tool="remove", arguments={"name": name})

    log = MemoryLog()
    flow = build_flow(
        plus("each", "=item", for_each="[1, 2]", undo=undo("each")),
        plus("then", 1, after=("each",), undo=undo("then")),
        Step(id="p", tool="pay", arguments={"amount": 1}, after=("then",)),
        broken("bad", after=("p",)),
        tools={"add": add, "fail": fail, "pay": Approved(pay), "remove": remove},
    )
    result = await flow.run("", log=log)
    await answer_all(log, result.run_id)
    with pytest.raises(StepFailed, match="Taken back: then, each"):
        await flow.resume(result.run_id, log=log)
    assert undone == ["then", "each"]


async def test_an_agent_that_is_cut_is_cut_in_a_replay() -> None:
    flow = build(
        Step(id="slow", agent="slow", task="x", timeout_s=0.01, optional=True),
        plus("next", 1, after=("slow",), join="ended"),
        agents={"slow": build_member("slow", After(600, "late"))},
    )
    result = await flow.run("", log=MemoryLog())
    assert result.output.steps["slow"].code == "deadline_exceeded"
    assert (await replay_exactly(flow, result.events)).divergence is None


async def test_what_is_recorded_as_failed_stops_what_was_under_way_at_a_crash() -> None:
    """Another attempt does not begin again what the failure would have stopped."""
    made: list[str] = []

    @tool(effect="idempotent")
    async def slow() -> str:
        """Never come back."""
        made.append("slow")
        await asyncio.Event().wait()
        return ""

    class DeadLog(MemoryLog):
        async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
            await super().append(run, events, expected=expected)
            if any(isinstance(event, ToolFailed) for event in events):
                raise Unavailable("the store is away")

    log = DeadLog()
    flow = build_flow(Step(id="slow", tool="slow"), broken("bad"), tools={"slow": slow, "fail": fail})
    with pytest.raises(Unavailable) as lost:
        await flow.run("", log=log)
    run, whole = str(lost.value.context["run"]), MemoryLog()
    await whole.append(run, await log.read(run), expected=0)
    with pytest.raises(StepFailed, match="`bad`"):
        await flow.resume(run, log=whole)
    assert made == ["slow"]


async def test_a_race_of_whom_nobody_knows_fails_as_what_it_is() -> None:
    """And one in which the store goes away leaves the run to be gone on with."""

    async def accept(outcome: Outcome) -> bool:
        return True

    async def procedure(work: Work, task: str) -> str:
        winner, _ = await race(work, [Candidate(step=name, agent=name, task=task) for name in ("a", task)], accept)
        return winner.step if winner is not None else ""

    team = build_agent("team", procedure, tools=[build_member("a", After(600, "x"))])
    with pytest.raises(Exception, match="nobody") as failed:
        await team.run("nobody")
    assert type(failed.value).__name__ == "UnknownName"
    pair = build_agent("team", procedure, tools=[build_member("a", "x"), build_member("b", "y")])
    log = MortalLog(2)
    with pytest.raises(Unavailable) as lost:
        await pair.run("b", log=log)
    log.left = 1_000
    assert (await pair.resume(str(lost.value.context["run"]), log=log)).text in ("a", "b")


async def test_who_loses_a_race_waits_for_nobody() -> None:
    async def accept(outcome: Outcome) -> bool:
        return outcome.is_good

    async def procedure(work: Work, task: str) -> str:
        candidates = [Candidate(step=name, agent=name, task=task) for name in ("asks", "quick")]
        winner, came = await race(work, candidates, accept)
        assert winner is not None
        return f"{winner.step}: {','.join(f'{one.step}={one.code or one.text}' for one in came)}"

    asks = build_agent("asks", _ask_to_pay, tools=[Approved(pay)])
    team = build_agent("team", procedure, tools=[asks, build_member("quick", After(0.01, "x"))])
    result = await team.run("go", log=MemoryLog())
    assert result.text == "quick: quick=x,asks=cancelled"
    assert (await replay_exactly(team, result.events)).divergence is None


async def _ask_to_pay(work: Work, task: str) -> str:
    return (await work.call("pay", "pay", {"amount": 1})).text


async def test_a_step_has_a_name_of_its_own() -> None:
    async def twice(work: Work, task: str) -> str:
        for name in task.split(","):
            await work.call(name, "add", {"left": 1, "right": 1})
        return "done"

    team = build_agent("team", twice, tools=[add])
    odd = ",".join(["a b", "ä/ö", "x\ny", "1", "a:b", "%2F", "🙂"])
    result = await team.run(odd, log=MemoryLog())
    assert (await replay_exactly(team, result.events)).divergence is None
    assert sum(isinstance(event, ToolStarted) for event in result.events) == 8
    for wrong in ("a,a", "a/b,a|b", "a,"):
        with pytest.raises(Exception, match="by its own name"):
            await team.run(wrong)


async def test_a_wide_list_holds_no_more_than_it_must() -> None:
    """A thousand items are worked on a few at a time."""
    busy, most = 0, 0

    @tool(effect="idempotent")
    async def double(number: int) -> int:
        """Double.

        Args:
            number: It.
        """
        nonlocal busy, most
        busy += 1
        most = max(most, busy, len(asyncio.all_tasks()) // 10)
        await asyncio.sleep(0)
        busy -= 1
        return 2 * number

    items = [*range(1_000)]
    step = Step(id="each", tool="double", arguments={"number": "=item"}, for_each="inputs.items", at_once=5)
    flow = build_flow(step, tools={"double": double}, inputs={"items": Input(type="list")})
    assert (await flow.run(f'{{"items": {items}}}')).output.output == [2 * item for item in items]
    assert most == 5


async def test_a_runaway_procedure_is_bounded_by_its_limits() -> None:
    async def endless(work: Work, task: str) -> str:
        number = 0
        while True:
            number += 1
            await work.call(f"s{number}", "add", {"left": number, "right": 1})

    result = await build_agent("team", endless, tools=[add], limits=Limits(tool_calls=5)).run("go")
    assert (result.status, getattr(result.events[-1], "limit", "")) == ("incomplete", "tool_calls")
    assert sum(isinstance(event, ToolFinished) for event in result.events) == 5


async def test_what_no_log_takes_is_handed_on_mended() -> None:
    flow = build(
        Step(id="say", agent="sly", task="x"),
        Step(id="use", agent="sly", task="{steps.say.output}"),
        agents={"sly": build_member("sly", "\ud800!")},
    )
    assert (await flow.run("")).output.output == "?!"


async def test_a_workflow_goes_on_in_a_conversation() -> None:
    """What was said before is no task of its own."""
    echo = Agent("echo", model=ScriptedModel(lambda request: request.messages[-1].text))
    flow = build(Step(id="say", agent="echo", task="{q}"), agents={"echo": echo}, inputs={"q": Input()})
    first = await flow.run("one")
    second = await flow.run("two", history=first.messages)
    assert second.output.output == "two"
    assert (await replay_exactly(flow, second.events)).divergence is None
