"""Are the steps of a workflow made in the right order, once, and never on the failure of what they need?"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.unit.orchestration.test_procedure import add, answer_all, build_member, hang, pay

from quorate import Agent, MemoryLog, ScriptedModel, tool
from quorate.agent.agent import AnyAgent
from quorate.agent.replay.exact import replay_exactly
from quorate.events import StepSkipped, ToolFailed, ToolStarted
from quorate.models.scripted import After
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.run import StepFailed
from quorate.orchestration.workflow.spec import Input, Repeat, Step, Undo, Workflow, WorkflowReport
from quorate.tools.toolsets import Approved


@tool(effect="idempotent")
async def fail(word: str = "") -> str:
    """Fail."""
    raise RuntimeError(word or "no")


TOOLS = {"add": add, "fail": fail, "hang": hang, "pay": pay}


def build(*steps: Step, agents: dict[str, AnyAgent] | None = None, **facts: Any) -> AnyAgent:
    return build_workflow(Workflow(name="flow", steps=steps, **facts), agents=agents, tools=TOOLS)


def plus(name: str, left: object, right: object = 1, **facts: Any) -> Step:
    return Step(id=name, tool="add", arguments={"left": left, "right": right}, **facts)


def broken(name: str, **facts: Any) -> Step:
    return Step(id=name, tool="fail", **facts)


async def report(agent: AnyAgent, **inputs: object) -> WorkflowReport:
    result = await agent.run(msgspec.json.encode(inputs).decode())
    assert (await replay_exactly(agent, result.events)).divergence is None
    return result.output


async def test_values_flow_by_name_whatever_the_order_in_the_file() -> None:
    """part of row B4"""
    flow = build(
        plus("last", "=steps.first.output", "=steps.other.output"),
        plus("other", "=inputs.start", 10),
        plus("first", "=inputs.start"),
        inputs={"start": Input(type="integer")},
        output={"sum": "=steps.last.output", "said": "{start} gives {steps.last.output}"},
    )
    assert (await report(flow, start=1)).output == {"sum": 13, "said": "1 gives 13"}


async def test_a_condition_that_does_not_hold_skips_and_the_reason_goes_on() -> None:
    """part of row A13"""
    flow = build(plus("a", 1), plus("b", 1, when="steps.a.output > 5"), plus("c", "=steps.b.output"), plus("d", 2))
    result = await flow.run("")
    assert {name: one.status for name, one in result.output.steps.items()} == {
        "a": "completed", "b": "skipped", "c": "skipped", "d": "completed",
    }  # fmt: skip
    assert result.output.steps["c"].reason == "`b` was skipped: `steps.a.output > 5` does not hold"
    assert [event.name for event in result.events if isinstance(event, StepSkipped)] == ["b", "c"]


@pytest.mark.parametrize("on_failure", ["fail_fast", "continue"])
async def test_a_payment_is_never_made_on_the_failure_before_it(on_failure: str) -> None:
    """part of row B4"""
    log = MemoryLog()
    flow = build(
        broken("check"),
        Step(id="payment", tool="pay", arguments={"amount": 5}, after=("check",)),
        on_failure=on_failure,
    )
    with pytest.raises(StepFailed, match="Step `check` of workflow 'flow' failed") as failed:
        await flow.run("", log=log)
    events = await log.read(str(failed.value.context["run"]))
    assert [event.call.name for event in events if isinstance(event, ToolStarted)] == ["run_procedure", "fail"]
    skipped = [event for event in events if isinstance(event, StepSkipped)]
    assert [(event.name, "`check` failed" in event.reason) for event in skipped] == [("payment", True)]


async def test_independent_branches_go_on_or_are_stopped_when_one_fails() -> None:
    """part of row E12"""
    steps = (broken("bad"), plus("one", 1), plus("two", "=steps.one.output"))
    log = MemoryLog()
    with pytest.raises(StepFailed) as failed:
        await build(*steps, on_failure="continue").run("", log=log)
    events = await log.read(str(failed.value.context["run"]))
    assert [event.call.id for event in events if isinstance(event, ToolStarted)][1:] == ["bad", "one", "two"]
    with pytest.raises(StepFailed, match="`bad`"):
        await build(broken("bad"), Step(id="slow", tool="hang")).run("")


async def test_an_optional_failure_leaves_a_partial_success() -> None:
    """part of row E12"""
    flow = build(
        plus("a", 1), broken("b", optional=True), plus("c", 1, after=("b",)), plus("d", 1, after=("b",), join="ended")
    )
    found = await report(flow)
    assert found.status == "partially_completed"
    assert {name: one.status for name, one in found.steps.items()} == {
        "a": "completed", "b": "failed", "c": "skipped", "d": "completed",
    }  # fmt: skip


async def test_a_step_is_tried_again_and_each_try_is_recorded() -> None:
    """part of row B4"""
    tries = 0

    @tool(effect="idempotent")
    async def shaky() -> str:
        """Fail twice."""
        nonlocal tries
        tries += 1
        if tries < 3:
            raise RuntimeError("not yet")
        return "there"

    flow = build_workflow(Workflow(name="flow", steps=(Step(id="s", tool="shaky", retries=3),)), tools={"shaky": shaky})
    result = await flow.run("")
    assert (result.output.output, result.output.steps["s"].tries) == ("there", 3)
    started = [event.key for event in result.events if isinstance(event, ToolStarted)][1:]
    assert started == [f"1/tool/work/{number}/tool/s" for number in (1, 2, 3)]


async def test_a_step_is_cut_at_its_time() -> None:
    """part of row B4"""
    flow = build(Step(id="slow", tool="hang", timeout_s=0.01, optional=True))
    assert (await report(flow)).steps["slow"].code == "deadline_exceeded"


async def test_a_list_is_gone_over_in_order_and_bounded() -> None:
    """part of row E12"""
    flow = build(
        plus("each", "=item", "=index", for_each="inputs.items", limit=3), inputs={"items": Input(type="list")}
    )
    assert (await report(flow, items=[5, 6, 7])).output == [5, 7, 9]
    with pytest.raises(StepFailed, match="gives 4 items; `limit` is 3"):
        await flow.run('{"items":[1,2,3,4]}')


async def test_items_that_fail_are_counted() -> None:
    @tool(effect="idempotent")
    async def even(number: int) -> int:
        """Take even numbers."""
        if number % 2:
            raise RuntimeError("odd")
        return number

    step = Step(id="each", tool="even", arguments={"number": "=item"}, for_each="[1, 2, 3, 4]")
    for allowed, status in ((2, "completed"), (1, "failed")):
        chosen = msgspec.structs.replace(step, failures=allowed, optional=True)
        flow = build_workflow(Workflow(name="flow", steps=(chosen,)), tools={"even": even})
        result = await flow.run("")
        assert result.output.steps["each"].status == status
        assert result.output.output == ([None, 2, None, 4] if allowed == 2 else None)


async def test_rounds_are_made_until_it_is_enough_or_too_many() -> None:
    """part of row E12"""
    step = plus("grow", "=index", 1, repeat=Repeat(until="last >= 3", most=5))
    assert (await report(build(step))).output == 3
    never = plus("grow", "=index", 1, repeat=Repeat(until="last > 99", most=3))
    with pytest.raises(StepFailed, match="does not hold after 3 rounds"):
        await build(never).run("")


async def test_a_choice_leads_one_way() -> None:
    """part of row E12"""
    steps = (
        Step(id="way", choose={"big": "inputs.n > 10", "small": "inputs.n > 0"}, otherwise="none"),
        plus("big", 1, when="steps.way.output == 'big'"),
        plus("small", 2, when="steps.way.output == 'small'"),
        plus("end", 0, after=("big", "small"), join="any"),
    )
    flow = build(*steps, inputs={"n": Input(type="integer")})
    for number, done in ((20, {"way", "big", "end"}), (5, {"way", "small", "end"}), (-1, {"way"})):
        found = await report(flow, n=number)
        assert {name for name, one in found.steps.items() if one.is_good} == done


async def test_what_was_done_is_taken_back_the_last_first() -> None:
    """part of row E12"""
    undone: list[str] = []

    @tool(effect="idempotent")
    async def undo(what: str) -> str:
        """Undo."""
        undone.append(what)
        return what

    def step(name: str, *after: str) -> Step:
        taking_back = Undo(tool="undo", arguments={"what": f"{name} {{output}}"})
        return plus(name, 1, after=after, undo=taking_back)

    flow = build_workflow(
        Workflow(name="flow", steps=(step("a"), step("b", "a"), broken("c", after=("b",)))),
        tools={**TOOLS, "undo": undo},
    )
    with pytest.raises(StepFailed, match="Taken back: b, a"):
        await flow.run("")
    assert undone == ["b 2", "a 2"]


async def test_people_are_asked_and_it_goes_on_behind_their_answer() -> None:
    log = MemoryLog()
    flow = build_workflow(
        Workflow(name="flow", steps=(plus("a", 1), Step(id="p", tool="pay", arguments={"amount": "=steps.a.output"}))),
        tools={**TOOLS, "pay": Approved(pay)},
    )
    result = await flow.run("", log=log)
    assert result.status == "waiting"
    await answer_all(log, result.run_id)
    result = await flow.resume(result.run_id, log=log)
    assert result.output.output == "paid 2"
    assert (await replay_exactly(flow, result.events)).divergence is None


async def test_agents_and_workflows_are_steps() -> None:
    """part of row E12"""
    inner = Workflow(
        name="inner",
        inputs={"n": Input(type="integer")},
        steps=(plus("twice", "=inputs.n", "=inputs.n"),),
        output="=steps.twice.output",
    )
    outer = Workflow(
        name="outer",
        steps=(
            Step(id="ask", agent="count", task="How many?"),
            Step(id="nested", workflow="inner", arguments={"n": "=steps.ask.output.n"}),
        ),
    )
    flow = build_workflow(
        outer, agents={"count": build_member("count", '{"n": 21}')}, tools=TOOLS, workflows={"inner": inner}
    )
    assert (await report(flow)).output == 42


async def test_what_a_step_says_is_never_a_template() -> None:
    flow = build(
        Step(id="say", agent="sly", task="Speak."),
        Step(id="echo", agent="echo", task="You said: {steps.say.output}"),
        agents={
            "sly": build_member("sly", "{start} =inputs.start {steps.say.output}"),
            "echo": Agent("echo", model=ScriptedModel(lambda request: request.messages[-1].text)),
        },
        inputs={"start": Input(default="secret")},
    )
    assert (await report(flow)).output == "You said: {start} =inputs.start {steps.say.output}"


@pytest.mark.parametrize("said", ["x" * (2 << 20), "[" * 5_000, '{"a": ' * 2_000])
async def test_poisonous_output_is_that_steps_matter(said: str) -> None:
    flow = build(
        Step(id="say", agent="sly", task="Speak.", optional=True),
        plus("next", 1),
        Step(id="use", agent="sly", task="{steps.say.output}", optional=True),
        agents={"sly": build_member("sly", said)},
    )
    result = await flow.run("")
    assert result.output.steps["next"].status == "completed"


async def test_steps_are_bounded_in_all() -> None:
    flow = build(plus("each", "=item", for_each="inputs.items"), inputs={"items": Input(type="list")}, max_steps=5)
    with pytest.raises(StepFailed, match="made 5 steps"):
        await flow.run(msgspec.json.encode({"items": list(range(9))}).decode())


async def test_a_member_that_never_answers_ends_with_the_workflow() -> None:
    slow = Agent("slow", model=ScriptedModel([After(600, "late")]))
    flow = build(Step(id="ask", agent="slow", task="x"), agents={"slow": slow}, timeout_s=0.05)
    result = await flow.run("")
    assert (result.status, result.events[-1].limit) == ("incomplete", "seconds")  # type: ignore[union-attr]


async def test_runs_of_one_workflow_do_not_meet() -> None:
    """part of row A13"""
    flow = build(plus("a", "=inputs.n"), plus("b", "=steps.a.output"), inputs={"n": Input(type="integer")})
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(flow.run(f'{{"n": {number}}}')) for number in range(20)]
    assert [task.result().output.output for task in tasks] == [number + 2 for number in range(20)]


async def test_steps_that_were_stopped_are_recorded_as_stopped() -> None:
    log = MemoryLog()
    slow = Agent("slow", model=ScriptedModel([After(600, "late")]))
    flow = build(Step(id="ask", agent="slow", task="x"), broken("bad"), agents={"slow": slow})
    with pytest.raises(StepFailed, match="`bad`") as failed:
        await flow.run("", log=log)
    events = await log.read(str(failed.value.context["run"]))
    ended = {event.key: event.result.code for event in events if isinstance(event, ToolFailed)}
    assert ended["1/tool/work/1/tool/ask"] == "cancelled"


async def test_a_run_ends_by_the_version_it_began_with() -> None:
    """part of row B4"""
    log = MemoryLog()
    tools = {**TOOLS, "pay": Approved(pay)}
    asks = Step(id="p", tool="pay", arguments={"amount": 1})
    older = Workflow(name="flow", version="1", steps=(asks, plus("a", 1, after=("p",))))
    newer = Workflow(name="flow", version="2", steps=(asks, plus("a", 100, after=("p",)), plus("b", 5)))
    result = await build_workflow(older, tools=tools).run("", log=log)
    await answer_all(log, result.run_id)
    result = await build_workflow(newer, tools=tools).resume(result.run_id, log=log)
    assert (result.output.version, result.output.output, list(result.output.steps)) == ("1", 2, ["p", "a"])


async def test_a_run_whose_steps_are_gone_is_parked() -> None:
    """part of row B4"""
    log = MemoryLog()
    tools = {**TOOLS, "pay": Approved(pay)}
    asks = Step(id="p", tool="pay", arguments={"amount": 1})
    older = Workflow(name="flow", steps=(asks, plus("a", 1, after=("p",))))
    result = await build_workflow(older, tools=tools).run("", log=log)
    await answer_all(log, result.run_id)
    result = await build_workflow(Workflow(name="flow", steps=(asks,)), tools=tools).resume(result.run_id, log=log)
    assert (result.status, "needs add" in str(getattr(result.events[-1], "note", ""))) == ("waiting", True)
