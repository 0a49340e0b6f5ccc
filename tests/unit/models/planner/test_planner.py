"""Does a plan hold before anything runs, and is it seen through?"""

import json

import pytest

from quorate import Agent, InvalidInput, MemoryLog, RunOptions, ScriptedModel, ToolError, tool
from quorate.events import ToolFinished, ToolStarted
from quorate.models.planner import Plan, PlannerModel, read_plan, substitute
from quorate.specs import Request, ToolSpec


@tool(effect="idempotent")
async def search(query: str) -> list[str]:
    """Search."""
    return [f"{query} one", f"{query} two"]


@tool(effect="idempotent")
async def fetch(url: str) -> dict[str, object]:
    """Fetch."""
    if "bad" in url:
        raise ToolError("no such page")
    return {"url": url, "size": len(url)}


@tool(effect="idempotent")
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


TOOLS = [search, fetch, add]
SPECS = [one.spec for one in TOOLS]


def plan(*steps: dict[str, object]) -> str:
    return json.dumps({"steps": steps})


def step(name: str, of: str, after: tuple[str, ...] = (), **arguments: object) -> dict[str, object]:
    return {"id": name, "tool": of, "arguments": arguments, "after": after}


async def test_results_are_put_in_for_references() -> None:
    """A later step gets what an earlier one returned, typed where the reference stands alone. row: C1"""
    model = ScriptedModel(
        [
            plan(
                step("find", "search", query="cats"),
                step("page", "fetch", url="http://x/{find.1}"),
                step("sum", "add", a="{page.size}", b=1),
            ),
            "it is 21 long",
        ]
    )
    result = await Agent("planner", model=PlannerModel(model), tools=TOOLS).run("how long?")
    assert result.output == "it is 21 long"
    assert [(e.key, e.call.arguments) for e in result.events if isinstance(e, ToolStarted)] == [
        ("1/tool/plan1-find", '{"query":"cats"}'),
        ("2/tool/plan1-page", '{"url":"http://x/cats two"}'),
        ("3/tool/plan1-sum", '{"a":17,"b":1}'),
    ]
    assert [e.result.content for e in result.events if isinstance(e, ToolFinished)][-1] == "18"
    assert result.usage.requests == 2


async def test_independent_steps_go_side_by_side() -> None:
    """Steps that need nothing of each other are called in one turn. row: C1"""
    model = ScriptedModel(
        [plan(step("a", "add", a=1, b=1), step("b", "add", a=2, b=2), step("c", "add", ("a", "b"), a=3, b=3)), "ok"]
    )
    result = await Agent("planner", model=PlannerModel(model), tools=TOOLS).run("x")
    assert [e.key for e in result.events if isinstance(e, ToolStarted)] == [
        "1/tool/plan1-a",
        "1/tool/plan1-b",
        "2/tool/plan1-c",
    ]


async def test_a_failed_step_stops_its_dependents_and_leads_to_another_plan() -> None:
    """What depends on a failure is not run; the model plans again, knowing why. row: C1"""
    model = ScriptedModel(
        [
            plan(
                step("page", "fetch", url="http://bad"),
                step("sum", "add", a="{page.size}", b=1),
                step("free", "add", a=1, b=1),
            ),
            plan(step("page", "fetch", url="http://good"), step("sum", "add", a="{page.size}", b=1)),
            "12",
        ]
    )
    result = await Agent("planner", model=PlannerModel(model), tools=TOOLS).run("x")
    assert result.output == "12"
    assert [e.key for e in result.events if isinstance(e, ToolStarted)] == [
        "1/tool/plan1-page",
        "1/tool/plan1-free",
        "2/tool/plan2-page",
        "3/tool/plan2-sum",
    ]
    asked = model.requests[1].messages[-1].text
    assert "Step page failed: Tool `fetch` failed (tool_error): no such page" in asked
    assert "Step sum failed: it was not run, because it needs page" in asked


async def test_replanning_is_bounded() -> None:
    """After so many plans the model must answer with what there is. row: C1"""
    failing = plan(step("page", "fetch", url="http://bad"))
    model = ScriptedModel([failing, failing, failing, "I could not"])
    result = await Agent("planner", model=PlannerModel(model), tools=TOOLS).run("x")
    assert result.output == "I could not"
    assert len(model.requests) == 4
    assert "Step page failed" in model.requests[-1].messages[-1].text


async def test_an_invalid_plan_is_asked_for_again_and_then_fails() -> None:
    """Every fault of a plan is told at once; after two repairs the run fails with a typed error. row: C1"""
    bad = plan(step("a", "serch", query="x"), step("b", "add", a="{c}", b=1))
    model = ScriptedModel([bad, plan(step("a", "search", query="x")), "ok"])
    assert (await Agent("planner", model=PlannerModel(model), tools=TOOLS).run("x")).output == "ok"
    told = model.requests[1].messages[-1].text
    assert "$.steps[0].tool: There is no tool 'serch'. Did you mean `search`?" in told
    assert "$.steps[1]: There is no step 'c'" in told

    effects = MemoryLog()
    with pytest.raises(InvalidInput, match="No plan held after 2 repairs: The plan is not valid"):
        await Agent("planner", model=PlannerModel(ScriptedModel(["words"] * 3)), tools=TOOLS).run("x", log=effects)


async def test_an_unknown_tool_is_refused_before_anything_runs() -> None:
    """No step of a plan with an unknown tool is made. row: C1"""
    model = ScriptedModel([plan(step("a", "add", a=1, b=1), step("b", "launch"))] * 3)
    log = MemoryLog()
    with pytest.raises(InvalidInput, match="There is no tool 'launch'"):
        await Agent("planner", model=PlannerModel(model), tools=TOOLS).run(
            "x", log=log, options=RunOptions(run_id="run-1")
        )
    assert not [event for event in await log.read("run-1") if isinstance(event, ToolStarted)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (plan(step("a", "add", a="{b}", b=1), step("b", "add", a="{a}", b=1)), "steps a, b wait for one another"),
        (plan(step("a", "add", a=1, b=1), step("a", "add", a=1, b=1)), "'a' is there twice"),
        ('{"steps":[]}', "1 to 50 steps, not 0"),
        ('{"steps":[{"id":"a"}]}', "Object missing required field `tool`"),
        ("{", "Input data was truncated"),
    ],
)
def test_plans_that_do_not_hold(text: str, fault: str) -> None:
    """Circles, doubles, empty and malformed plans are named. row: C1"""
    with pytest.raises(InvalidInput, match=fault):
        read_plan(text, SPECS)


def test_substitution_reaches_into_lists_and_objects() -> None:
    """References are found anywhere in the arguments; a missing part is named."""
    results = {"a": {"items": [1, {"x": "deep"}]}, "b": "text"}
    assert substitute({"k": ["{a.items.1.x}", "{b}!", 3], "n": "{a.items.0}"}, results) == {
        "k": ["deep", "text!", 3],
        "n": 1,
    }
    with pytest.raises(InvalidInput, match=r"'\{a.items.7\}' names nothing in the result of step 'a'"):
        substitute("{a.items.7}", results)


async def test_a_plan_survives_a_crash() -> None:
    """A resumed run goes on with the plan it had, without asking for another. row: C1"""
    steps = plan(step("a", "add", a=1, b=1), step("b", "add", a="{a}", b=1))
    log = MemoryLog()
    await Agent("planner", model=PlannerModel(ScriptedModel([steps, "3"])), tools=TOOLS).run(
        "x", log=log, options=RunOptions(run_id="run-1")
    )
    whole = await log.read("run-1")
    keep = next(event.seq for event in whole if event.key == "1/tool/plan1-a" and isinstance(event, ToolFinished))
    cut = MemoryLog()
    await cut.append("run-1", whole[:keep], expected=0)
    model = ScriptedModel(["3"])
    result = await Agent("planner", model=PlannerModel(model), tools=TOOLS).resume("run-1", log=cut)
    assert result.output == "3"
    assert len(model.requests) == 1


async def test_the_planner_streams() -> None:
    """A watcher sees the final words."""
    model = PlannerModel(ScriptedModel([plan(step("a", "add", a=1, b=1)), "two"]))
    items = [item async for item in Agent("planner", model=model, tools=TOOLS).run_stream("x")]
    assert [item.text for item in items if hasattr(item, "text")] == ["two"]
    assert isinstance(read_plan(plan(step("a", "add", a=1, b=2)), SPECS), Plan)
    assert isinstance(Request(messages=()), Request)
    assert ToolSpec(name="x").effect == "unsafe"
