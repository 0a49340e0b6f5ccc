"""Can an agent work for another inside one run?"""

import pytest
from tests.unit.agent.doubles import Effects, reply

from quorate import Agent, InvalidInput, Limits, ScriptedModel, TextDelta, UpstreamError
from quorate.clock import SYSTEM_CLOCK
from quorate.events import Event, StepFinished, StepStarted, ToolFailed
from quorate.models.scripted import call
from quorate.ports import RunContext, RunInfo


async def test_an_agent_is_a_tool_with_a_schema() -> None:
    """Its tool takes a task, is named after it, and its steps are in the caller's log under the call's key. row: E15"""
    effects = Effects()
    helper = Agent(
        "log-reader",
        description="Reads logs.",
        model=ScriptedModel([call("look", name="log"), "3 errors"]),
        tools=effects.tools(),
    )
    lead = Agent(
        "lead", model=ScriptedModel([call("log_reader", task="read the log"), "it is the log"]), tools=[helper]
    )

    result = await lead.run("why?")

    (spec,) = helper.as_tool().specs()
    assert (spec.name, spec.description, spec.effect) == ("log_reader", "Reads logs.", "idempotent")
    assert spec.parameters["required"] == ["task"]
    assert result.output == "it is the log"
    assert result.messages[2].parts[0].content == "3 errors"  # type: ignore[union-attr]
    keys = [event.key for event in result.events]
    assert "1/tool/call-1-1/1/tool/call-1-1" in keys
    assert "1/tool/call-1-1/2/model" in keys
    assert [type(event) for event in result.events if isinstance(event, (StepStarted, StepFinished))] == [
        StepStarted,
        StepFinished,
    ]
    assert len({event.run for event in result.events}) == 1


async def test_usage_and_cost_of_delegates_are_in_the_total() -> None:
    """What a delegate uses counts for the whole run, and against its limits."""
    helper = Agent("helper", model=ScriptedModel([reply("done", tokens=40, cost_usd=0.2)] * 9))
    lead = Agent(
        "lead",
        model=ScriptedModel([reply("", call("helper", task="a"), tokens=2, cost_usd=0.1).message, "ok"]),
        tools=[helper],
    )
    result = await lead.run("x")
    assert (result.usage.input_tokens, result.cost_usd) == (40, 0.2)

    lead = Agent("lead", model=ScriptedModel([call("helper", task=f"{n}") for n in range(9)]), tools=[helper])
    result = await lead.run("x", limits=Limits(tokens=70))
    assert (result.status, result.events[-1].limit) == ("incomplete", "tokens")  # type: ignore[union-attr]
    assert result.usage.input_tokens == 80


async def test_a_delegate_that_fails_degrades_only_itself() -> None:
    """Its failure, or a limit it meets, is told to the agent above."""
    broken = Agent("broken", model=ScriptedModel([UpstreamError("the model is down")]))
    endless = Agent(
        "endless",
        model=ScriptedModel([call("look", name=str(n)) for n in range(9)]),
        tools=Effects().tools(),
        limits=Limits(steps=2),
    )
    good = Agent("good", model=ScriptedModel(["fine"]))
    lead = Agent(
        "lead",
        model=ScriptedModel(
            [[call("broken", task="x"), call("endless", task="x"), call("good", task="x")], "one of three"]
        ),
        tools=[broken, endless, good],
    )
    result = await lead.run("x")
    told = [part.content for part in result.messages[2].parts]  # type: ignore[union-attr]
    assert told[0] == "Tool `broken` failed (upstream_error): the agent failed: the model is down"
    assert (
        told[1] == "Tool `endless` failed (incomplete): the agent met its limit (steps): "
        "The agent took 2 steps without an answer."
    )
    assert told[2] == "fine"
    assert result.status == "completed"
    assert sum(isinstance(event, ToolFailed) for event in result.events) == 2


async def test_depth_is_bounded() -> None:
    """Agents may delegate so deep and no deeper. row: B5"""
    inner = Agent("level-3", model=ScriptedModel(["deep"]))
    middle = Agent("level-2", model=ScriptedModel([call("level_3", task="x"), "no deeper"]), tools=[inner])
    outer = Agent("level-1", model=ScriptedModel([call("level_2", task="x"), "done"]), tools=[middle])
    result = await outer.run("x", limits=Limits(depth=1))
    failed = next(event for event in result.events if isinstance(event, ToolFailed))
    assert "agents may delegate 1 deep" in str(failed.result.content)
    assert result.output == "done"


async def test_a_delegate_streams_with_its_path() -> None:
    """Pieces of a delegate's text carry the key of the call it works on."""
    helper = Agent("helper", model=ScriptedModel(["some longer text here"]))
    lead = Agent("lead", model=ScriptedModel([call("helper", task="x"), "ok"]), tools=[helper])
    items = [item async for item in lead.run_stream("x")]
    inner = [item for item in items if isinstance(item, TextDelta) and item.path]
    assert "".join(item.text for item in inner) == "some longer text here"
    assert {item.path for item in inner} == {"1/tool/call-1-1/"}
    seqs = [item.seq for item in items if isinstance(item, Event)]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_a_delegate_without_a_model_uses_its_callers() -> None:
    """A team needs its model named once."""
    model = ScriptedModel([call("helper", task="x"), "from the helper", "from the lead"])
    result = await Agent("lead", model=model, tools=[Agent("helper")]).run("x")
    assert result.messages[2].parts[0].content == "from the helper"  # type: ignore[union-attr]
    assert result.output == "from the lead"


async def test_bad_arguments_for_an_agent_go_back() -> None:
    """A call without a task is the model's to mend; outside a run it is the programmer's."""
    helper = Agent("helper", model=ScriptedModel(["x"]))
    result = await Agent("lead", model=ScriptedModel([call("helper", question="x"), "ok"]), tools=[helper]).run("x")
    assert (
        "Object missing required field `task`" in result.messages[2].parts[0].content
        or "unknown field" in result.messages[2].parts[0].content
    )  # type: ignore[union-attr, operator]
    one = call("helper", task="x")

    class Nobody:
        def emit(self, item: object) -> None: ...
        def cancel(self, reason: str = "") -> None: ...
        def find(self, key: str) -> None: ...

    info = RunInfo(run="r", agent="a", limits=Limits(), deadline=0.0)
    context = RunContext[object](info=info, deps=None, key="k", call=one, clock=SYSTEM_CLOCK, owner=Nobody())
    with pytest.raises(InvalidInput, match="only inside an agent's run"):
        await helper.as_tool().call(one, context)
