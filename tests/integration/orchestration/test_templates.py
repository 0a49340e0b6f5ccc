"""Does each workflow that comes with Quorate run from end to end, leave what it declares, and cost what was said?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from tests.integration.orchestration.scripted_templates import CSV, GIVEN, LETTER, PRICE, build_model

from quorate import Settings
from quorate.assembly import TEMPLATES, build_toolbox, open_runtime
from quorate.errors import InvalidInput
from quorate.events import ToolFinished
from quorate.orchestration.workflow.check import TYPES, read_inputs
from quorate.orchestration.workflow.estimate import estimate_workflow
from quorate.orchestration.workflow.load import load_workflows
from quorate.orchestration.workflow.spec import Workflow, WorkflowReport
from quorate.runtime import Runtime
from quorate.state.artifacts.access import Caller

WORKFLOWS: Mapping[str, Workflow] = load_workflows([TEMPLATES])
WRONG: dict[str, object] = {
    "string": 7, "integer": "seven", "number": "seven", "boolean": "yes", "list": "a, b", "object": [],
}  # fmt: skip
NAMES = sorted(GIVEN)
OPERATOR = Caller(tenant="default", operator=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    files = tmp_path / "files"
    files.mkdir()
    (files / "lease.txt").write_text(LETTER)
    (files / "people.csv").write_text(CSV)
    return Settings(database=str(tmp_path / "quorate.db"), workspace=str(files), model="scripted")


async def run(runtime: Runtime, name: str) -> tuple[str, float]:
    """Run a template to its end, saying yes to whatever is asked; return the run and what it cost."""
    handle = await runtime.submit(msgspec.json.encode(GIVEN[name]).decode(), agent=name)
    result = await handle.wait()
    if result.status == "waiting":
        (question,) = await runtime.questions()
        await runtime.answer(handle.id, question.key, text="send", by="ann")
        result = await (await runtime.resume(handle.id)).wait()
    report = result.output
    assert isinstance(report, WorkflowReport)
    assert report.status == "completed"
    assert result.cost_usd is not None
    return handle.id, result.cost_usd


@pytest.mark.parametrize("name", NAMES)
async def test_a_template_runs_leaves_its_artifacts_and_costs_about_what_was_said(
    name: str, settings: Settings
) -> None:
    """Each of ten runs from end to end, writes what it declares, and costs what the estimate says within a factor of 2.

    row: E14
    """
    workflow = WORKFLOWS[name]
    async with open_runtime(settings, models={"scripted": build_model(workflow)}) as runtime:
        run_id, actual = await run(runtime, name)
        events = await runtime.log.read(run_id)
        kept = {
            str(saved["name"]): await runtime.artifacts.load(str(saved["artifact"]), caller=OPERATOR)
            for event in events
            if isinstance(event, ToolFinished) and event.result.name == "save_artifact"
            for saved in [msgspec.json.decode(str(event.result.content), type=dict[str, object])]
        }
    assert set(workflow.artifacts) <= set(kept)
    assert all(len(content) > 20 and b"{steps." not in content for content in kept.values())
    inputs = read_inputs(workflow, GIVEN[name])
    estimate = estimate_workflow(workflow, inputs, tools=build_toolbox(settings), workflows=WORKFLOWS, price=PRICE)
    assert estimate.cost_usd is not None
    assert actual / 2 <= estimate.cost_usd <= actual * 2, f"{name}: {estimate.cost_usd:.5f}, was {actual:.5f}"


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_parameter_of_a_template_is_named(name: str) -> None:
    """A missing one, an unknown one and one of the wrong type: each by its name.

    row: E14
    """
    workflow, given = WORKFLOWS[name], GIVEN[name]
    assert set(TYPES) == set(WRONG)
    for field, rule in workflow.inputs.items():
        with pytest.raises(InvalidInput, match=f"'{field}' is .*, which is no {rule.type}"):
            read_inputs(workflow, {**given, field: WRONG[rule.type]})
        if rule.default is None:
            with pytest.raises(InvalidInput, match=f"'{field}' is missing"):
                read_inputs(workflow, {one: value for one, value in given.items() if one != field})
    with pytest.raises(InvalidInput, match="there is no input 'colour'"):
        read_inputs(workflow, {**given, "colour": "red"})


def test_there_are_ten_templates_that_a_model_runs() -> None:
    """And one that needs none."""
    assert sorted(name for name, one in WORKFLOWS.items() if one.agents) == NAMES
    assert len(NAMES) == 10
    assert all(one.description and all(rule.description for rule in one.inputs.values()) for one in WORKFLOWS.values())


async def test_without_a_model_it_is_said_what_is_missing(settings: Settings) -> None:
    """Before any of it is recorded."""
    async with open_runtime(msgspec.structs.replace(settings, model="auto")) as runtime:
        with pytest.raises(InvalidInput, match=r"'brief-planner' needs a language model.*`--model openai:gpt-5.2`"):
            await runtime.submit("What is it?", agent="research-brief")
        assert await runtime.list_runs() == []
