"""What does a recorded run come to with something changed, and how alike are two runs?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from quorate import Agent, Limits, MemoryLog, RunOptions, ScriptedModel, ToolError, UnknownName, tool
from quorate.agent.replay.compare import align_steps, compare_outputs, compare_runs, list_steps, normalize_arguments
from quorate.agent.replay.modified import Changes, Policy, change_agent, get_digest, replay_modified
from quorate.events import AnyEvent
from quorate.messages import ToolCall
from quorate.models.scripted import call

done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@tool(effect="idempotent")
async def look(name: str, deep: bool = False) -> str:
    """Look."""
    done.append(f"look {name}")
    return f"{name} is fine"


@tool(effect="unsafe")
async def pay(amount: int) -> str:
    """Pay."""
    done.append(f"pay {amount}")
    return f"paid {amount}"


@tool(effect="idempotent")
async def fail() -> str:
    """Fail."""
    done.append("fail")
    raise ToolError("no such host")


def build(*script, tools=(look, pay, fail), **facts) -> Agent:
    return Agent("a", model=ScriptedModel(list(script)), tools=list(tools), **facts)


async def record(agent: Agent) -> list[AnyEvent]:
    log = MemoryLog()
    await agent.run("go", log=log, options=RunOptions(run_id="run-1"))
    done.clear()
    return await log.read("run-1")


async def test_another_model_reads_the_recorded_results() -> None:
    """The same calls, in another order and spelling, are not made again. row: E13"""
    events = await record(build([call("look", name="a", deep=True), call("look", name="b")], "both are fine"))
    spelled = ToolCall(id="x", name="look", arguments='{ "deep":true, "name":"a" }')
    found = await replay_modified(
        build(),
        events,
        changes=Changes(model=ScriptedModel([call("look", name="b"), spelled, "all is fine"], name="other")),
    )
    assert done == []
    assert found.result is not None
    assert found.result.output == "all is fine"
    assert (found.live, found.refused, found.error) == ((), (), "")
    compared = found.comparison
    assert (compared.recorded.output, compared.replayed.output) == ("both are fine", "all is fine")
    assert 0 < compared.output_similarity < 1
    assert 0 < compared.step_similarity < 1
    assert compared.divergence is not None
    assert compared.replayed.run != compared.recorded.run


async def test_the_same_again_is_the_same() -> None:
    """Nothing changed: both similarities are 1 and there is no divergence. row: E13"""
    script = [[call("look", name="a"), call("fail")], "done"]
    events = await record(build(*script))
    found = await replay_modified(build(*script), events)
    assert (found.comparison.output_similarity, found.comparison.step_similarity) == (1.0, 1.0)
    assert found.comparison.divergence is None
    assert {row.change for row in found.comparison.rows} == {"same"}
    assert done == []


async def test_a_call_that_was_not_recorded_stops_the_replay() -> None:
    """Nothing is called; the message says what was asked for and what can be done."""
    events = await record(build(call("look", name="a"), "done"))
    found = await replay_modified(build(call("look", name="z"), "done"), events)
    assert done == []
    assert 'a call of `look` with {"deep":true}' not in found.error
    assert 'a call of `look` with {"name":"z"} that was not recorded, and a replay makes no calls' in found.error
    assert found.comparison.replayed.status == "failed"
    assert found.refused == ("1/tool/call-1-1",)


async def test_the_model_may_be_told_that_a_call_is_not_made() -> None:
    """And goes on without it."""
    events = await record(build(call("look", name="a"), "done"))
    model = ScriptedModel([call("look", name="z"), "then without"])
    found = await replay_modified(build(), events, changes=Changes(model=model), policy=Policy(missing="refuse"))
    assert found.result is not None
    assert found.result.output == "then without"
    told = model.requests[1].messages[-1].parts[0]
    assert told.code == "nondeterministic"  # type: ignore[union-attr]
    assert "no such call was recorded, and a replay makes no calls" in told.content  # type: ignore[union-attr, operator]


async def test_calls_are_really_made_where_that_does_no_harm() -> None:
    """An unsafe one is not, unless that is allowed too."""
    events = await record(build("done"))
    script = [[call("look", name="z"), call("pay", amount=3)], "done"]
    policy = Policy(tools="live", missing="refuse")
    found = await replay_modified(build(*script), events, policy=policy)
    assert done == ["look z"]
    assert (found.live, found.refused) == (("1/tool/call-1-1",), ("1/tool/call-1-2",))
    found = await replay_modified(build(*script), events, policy=Policy(tools="live", allow_unsafe=True))
    assert done == ["look z", "look z", "pay 3"]
    assert found.refused == ()


async def test_the_second_like_call_gets_the_second_result() -> None:
    """And when there are no more, the last one."""
    count = iter(range(9))

    @tool(effect="idempotent")
    async def tick() -> str:
        """Count."""
        return str(next(count))

    events = await record(build(call("tick"), call("tick"), "done", tools=[tick]))
    found = await replay_modified(build(call("tick"), call("tick"), call("tick"), "done", tools=[tick]), events)
    given = [step.text for step in found.comparison.replayed.steps if step.text.startswith("call")]
    assert given == ["call tick {} → 0", "call tick {} → 1", "call tick {} → 1"]


async def test_a_delegates_calls_are_bound_too() -> None:
    """A new task for another agent is worked on, with recorded results for its tools."""

    def build_team(task: str, *script) -> Agent:
        inner = Agent("inner", model=ScriptedModel(list(script)), tools=[look])
        return Agent("outer", model=ScriptedModel([call("inner", task=task), "done"]), tools=[inner])

    events = await record(build_team("first", call("look", name="a"), "inner done"))
    found = await replay_modified(build_team("second", call("look", name="a"), "inner done"), events)
    assert found.error == ""
    assert done == []
    found = await replay_modified(build_team("second", call("look", name="b"), "inner done"), events)
    assert "was not recorded" in found.error
    same = await replay_modified(build_team("first"), events)
    assert same.error == ""


async def test_instructions_tools_types_and_limits_change() -> None:
    """Each of them, and all else stays."""

    class Answer(Struct):
        n: int

    agent = build("x", instructions="Be brief.", limits=Limits(steps=3), description="d", version="7")
    model = ScriptedModel(['{"n":1}'])
    changed = change_agent(
        agent,
        Changes(model=model, instructions="Be long.", without=("pay",), output_type=Answer, limits=Limits(steps=1)),
    )
    result = await changed.run("go")
    assert result.output == Answer(n=1)
    assert [spec.name for spec in model.requests[0].tools] == ["look", "fail"]
    assert model.requests[0].instructions == "Be long."
    assert (changed.name, changed.description, changed.version, changed.limits.steps) == ("a", "d", "7", 1)
    assert change_agent(agent, Changes()).instructions == "Be brief."
    with pytest.raises(UnknownName, match="Did you mean `pay`"):
        change_agent(agent, Changes(without=("pays",)))


async def test_a_changed_limit_shows_in_the_comparison() -> None:
    """The run stops earlier, and so says the first difference."""
    script = [call("look", name="a"), call("look", name="b"), "done"]
    events = await record(build(*script))
    found = await replay_modified(build(*script), events, changes=Changes(limits=Limits(steps=2)))
    assert found.comparison.replayed.status == "incomplete"
    assert found.comparison.divergence is not None
    assert found.comparison.divergence.recorded == "say done"
    assert found.comparison.divergence.replayed == "stop at the limit steps"


async def test_results_are_set_in_the_order_of_the_calls() -> None:
    """Which of several calls ended first makes no difference."""
    events = await record(build([call("look", name="a"), call("look", name="b")], "done"))
    ends = [event for event in events if event.key.startswith("1/tool")][2:]
    swapped = [*events[:6], ends[1], ends[0], *events[8:]]
    assert [step.text for step in list_steps(swapped)] == [step.text for step in list_steps(events)]
    assert compare_runs(events, swapped).step_similarity == 1.0


def test_outputs_are_compared_by_leaves_or_words() -> None:
    """JSON by what stands where, all else by matching words."""
    assert compare_outputs("", "") == 1.0
    assert compare_outputs("a b c d", "a b c d") == 1.0
    assert compare_outputs("a b c d", "a b x d") == 0.75
    assert compare_outputs("a", "b") == 0.0
    assert compare_outputs('{"a":1,"b":[1,2]}', '{"b":[1,2],"a":1}') == 1.0
    assert compare_outputs('{"a":1,"b":2}', '{"a":1,"b":3}') == 0.5
    assert compare_outputs("word " * 6000, "word " * 6000 + "x") > 0.99
    assert compare_outputs('{"a":', "x") == 0.0


@given(st.text(max_size=60), st.text(max_size=60))
def test_similarity_is_between_0_and_1_and_1_for_the_same(one: str, two: str) -> None:
    """Whatever the texts are."""
    assert 0.0 <= compare_outputs(one, two) <= 1.0
    assert compare_outputs(one, one) == 1.0


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_aligning_loses_no_step(one: list[str], two: list[str]) -> None:
    """Each side's steps are in the rows, in their order."""
    from quorate.agent.replay.compare import Step

    before = [Step(seq=n, text=t) for n, t in enumerate(one)]
    after = [Step(seq=n, text=t) for n, t in enumerate(two)]
    rows = list(align_steps(before, after))
    assert [row.recorded for row in rows if row.recorded is not None] == before
    assert [row.replayed for row in rows if row.replayed is not None] == after


def test_arguments_are_alike_whatever_their_spelling() -> None:
    """Order and spaces do not count; what is no JSON is taken as it is."""
    assert normalize_arguments('{"b": 1, "a": [1, 2]}') == normalize_arguments('{"a":[1,2],"b":1}')
    assert normalize_arguments("") == "{}"
    assert normalize_arguments("{") == "{"
    one = ToolCall(id="1", name="look", arguments='{"a":1}')
    assert get_digest(one) == get_digest(ToolCall(id="2", name="look", arguments='{ "a": 1 }'))
    assert get_digest(one) != get_digest(ToolCall(id="1", name="pay", arguments='{"a":1}'))
