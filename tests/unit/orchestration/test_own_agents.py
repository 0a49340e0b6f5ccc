"""Do the agents that a workflow brings along run as it says, and is what is wrong with them told with its place?"""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.orchestration.test_procedure import add, build_member

from quorate import ScriptedModel
from quorate.agent.replay.exact import replay_exactly
from quorate.errors import InvalidFiles, InvalidInput
from quorate.models.scripted import call
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.load import parse_workflow

FLOW = """
name = "flow"
artifacts = ["sum.md"]
output = "=steps.judge.output.sum"
[inputs.topic]
[agents.judge-one]
instructions = "You judge."
tools = ["add"]
fields = { sum = "integer", notes = "list" }
limits = { steps = 5 }
[[steps]]
id = "judge"
agent = "judge-one"
task = "Judge {topic}"
[[steps]]
id = "keep"
tool = "save_artifact"
arguments = { name = "sum.md", text = "{steps.judge.output.notes}" }
"""
NO_KEEP = FLOW.partition('[[steps]]\nid = "keep"')[0].replace('artifacts = ["sum.md"]\n', "")
FAULTS = [
    ('tools = ["add"]', 'tools = ["ad"]', "agents.judge-one.tools: there is no tool 'ad'; did you mean 'add'?"),
    ('agent = "judge-one"', 'agent = "other"', "agents.judge-one: nobody asks it"),
    ('instructions = "You judge."', 'instructions = " "', "agents.judge-one.instructions: say what it is for"),
    ("steps = 5", "steps = 0", "agents.judge-one.limits.steps: it is 0: give a number above 0"),
    ("output.sum", "output.total", "output: what 'judge' gives has no field 'total'; there are notes, sum"),
    ("output.notes", "output.notse", "steps[1].arguments: what 'judge' gives has no field 'notse'; did you mean 'notes'?"),
    ('fields = { sum = "integer", notes = "list" }', "", "what 'judge' gives is text, which has no field 'sum'"),
    ('artifacts = ["sum.md"]', 'artifacts = ["all.md"]', "artifacts[0]: no step that is needed saves 'all.md'"),
    ('id = "keep"', 'id = "keep"\noptional = true', "artifacts[0]: no step that is needed saves 'sum.md'"),
    ("judge-one", "save-artifact", "agents.save-artifact: a tool that a step calls has that name"),
]  # fmt: skip
UNREADABLE = [
    ("steps = 5", "stps = 5", "unknown field `stps`"),
    ("[agents.judge-one]", "[agents.Judge]", "Expected `str` matching regex"),
    ('"integer"', '"number of"', "Invalid enum value 'number of'"),
    ('instructions = "You judge."', "", "missing required field `instructions`"),
]


def tools() -> dict[str, Any]:
    from quorate.agent.artifacts import artifact_tools

    return {"add": add, **{tool.name: tool for tool in artifact_tools()}}


async def test_an_agent_of_the_file_answers_in_its_form_with_its_tools() -> None:
    """An answer of another form is mended by the model that gave it."""
    model = ScriptedModel(
        [call("add", left=1, right=2), '{"sum": "three", "notes": []}', '{"sum": 3, "notes": ["odd"]}']
    )
    flow = build_workflow(parse_workflow(NO_KEEP), tools=tools(), find_model=lambda name: model)
    result = await flow.run("sums")
    assert (result.output.output, result.usage.requests) == (3, 5)
    assert model.requests[0].instructions == "You judge."
    assert [tool.name for tool in model.requests[0].tools] == ["add"]
    assert (await replay_exactly(flow, result.events)).divergence is None


async def test_it_stands_before_one_of_the_catalog_and_only_in_its_file() -> None:
    inner = NO_KEEP.replace('name = "flow"', 'name = "inner"', 1).replace("judge-one", "judge")
    outer = 'name = "outer"\n[[steps]]\nid = "a"\nagent = "judge"\ntask = "x"\n'
    outer += '[[steps]]\nid = "b"\nworkflow = "inner"\narguments = { topic = "{steps.a.output}" }\n'
    model = ScriptedModel(['{"sum": 7, "notes": []}'])
    flow = build_workflow(
        parse_workflow(outer),
        agents={"judge": build_member("judge", "from the catalog")},
        tools=tools(),
        workflows={"inner": parse_workflow(inner)},
        find_model=lambda name: model,
    )
    assert (await flow.run("")).output.output == 7
    assert "from the catalog" in model.requests[0].messages[-1].text


@pytest.mark.parametrize(("old", "new", "told"), FAULTS, ids=[str(place) for place in range(len(FAULTS))])
def test_a_fault_is_told_with_its_place(old: str, new: str, told: str) -> None:
    with pytest.raises(InvalidFiles) as refused:
        build_workflow(parse_workflow(FLOW.replace(old, new)), tools=tools())
    assert told in str(refused.value)


@pytest.mark.parametrize(("old", "new", "told"), UNREADABLE)
def test_what_cannot_be_read_is_told(old: str, new: str, told: str) -> None:
    with pytest.raises(InvalidFiles) as refused:
        parse_workflow(FLOW.replace(old, new))
    assert told in str(refused.value)


def test_the_playbook_is_no_model_for_it() -> None:
    """Each is asked for by the name that the file gives, or by none."""
    asked: list[str] = []

    def find(name: str) -> str:
        asked.append(name)
        return "playbook"

    named = NO_KEEP.replace("[agents.judge-one]", '[agents.judge-one]\nmodel = "openai:gpt-5.2"')
    for text in (NO_KEEP, named):
        with pytest.raises(InvalidInput, match="Agent 'judge-one' needs a language model"):
            build_workflow(parse_workflow(text), tools=tools(), find_model=find)
    assert asked == ["", "openai:gpt-5.2"]
