"""Is a workflow that does not hold together refused before any of it is run, with the place of every fault?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.orchestration.test_procedure import add, build_member

from quorate.errors import InvalidFiles, InvalidInput
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.check import read_inputs, read_task
from quorate.orchestration.workflow.load import load_workflow, load_workflows, parse_workflow
from quorate.orchestration.workflow.spec import Input, Repeat, Step, Undo, Workflow

GOOD = Step(id="good", tool="add", arguments={"left": 1, "right": 2})
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"id": "x", "agent": "helpr", "task": "t"}, "steps[1].agent: there is no agent 'helpr'; did you mean 'helper'?"),
    ({"id": "x", "tool": "ad"}, "steps[1].tool: there is no tool 'ad'; did you mean 'add'?"),
    ({"id": "x", "workflow": "no"}, "steps[1].workflow: there is no workflow 'no'"),
    ({"id": "x"}, "it has none of them"),
    ({"id": "x", "tool": "add", "ask": "y?"}, "it has `tool` and `ask`"),
    ({"id": "x", "agent": "helper"}, "steps[1].task: say what is to be done or decided"),
    ({"id": "good", "agent": "helper", "task": "t"}, "'good' is there twice"),
    ({"id": "x", "agent": "helper", "task": "t", "after": ("x",)}, "a step cannot come after itself"),
    ({"id": "x", "agent": "helper", "task": "t", "after": ("god",)}, "needs step 'god', which is not there; did you mean 'good'?"),
    ({"id": "x", "agent": "helper", "task": "{steps.gone.output}"}, "needs step 'gone'"),
    ({"id": "x", "agent": "helper", "task": "{citi}"}, "steps[1].task: there is no input 'citi'; did you mean 'city'?"),
    ({"id": "x", "agent": "helper", "task": "t", "when": "inputs.citi == 'a'"}, "steps[1].when: there is no input 'citi'"),
    ({"id": "x", "agent": "helper", "task": "t", "when": "1 +"}, "steps[1].when: "),
    ({"id": "x", "agent": "helper", "task": "t", "when": "unknown > 1"}, "steps[1].when: There is no variable 'unknown'"),
    ({"id": "x", "agent": "helper", "task": "=item"}, "steps[1].task: There is no variable 'item'"),
    ({"id": "x", "tool": "add", "arguments": {"left": 1, "rigth": 2}}, "steps[1].arguments.rigth: tool 'add' has no argument 'rigth'; did you mean 'right'?"),
    ({"id": "x", "tool": "add", "arguments": {"left": 1}}, "tool 'add' needs the argument 'right'"),
    ({"id": "x", "tool": "add", "arguments": {"left": 1.5, "right": 2}}, "steps[1].arguments.left: it is 1.5, which is no integer"),
    ({"id": "x", "tool": "add", "arguments": {"left": "{city}", "right": 2}}, "it is text, and tool 'add' wants integer"),
    ({"id": "x", "tool": "add", "arguments": {"left": 1, "right": 2}, "undo": Undo(tool="gone")}, "steps[1].undo.tool: there is no tool 'gone'"),
    ({"id": "x", "agent": "helper", "task": "t", "for_each": "[1]", "repeat": Repeat(until="true")}, "a step goes over a list or is repeated, not both"),
]  # fmt: skip


def check(*steps: Step, **facts: Any) -> str:
    workflow = Workflow(name="flow", steps=steps, inputs={"city": Input(default="Rome")}, **facts)
    with pytest.raises(InvalidFiles) as refused:
        build_workflow(workflow, agents={"helper": build_member("helper", "x")}, tools={"add": add})
    return str(refused.value)


@pytest.mark.parametrize(("facts", "told"), FAULTS, ids=[str(place) for place in range(len(FAULTS))])
def test_a_fault_is_told_with_its_place(facts: dict[str, Any], told: str) -> None:
    """part of row B4"""
    assert told in check(GOOD, Step(**facts))


def test_all_faults_are_told_at_once() -> None:
    said = check(GOOD, Step(id="a", tool="gone"), Step(id="b", agent="nobody", task="{x}"), output="{steps.c.output}")
    assert said.startswith("4 faults in workflow 'flow'")
    assert "output: there is no step 'c'" in said


def test_a_circle_is_refused_before_anything_is_run() -> None:
    """part of row A13"""
    steps = [Step(id=name, agent="helper", task=f"{{steps.{other}.output}}") for name, other in ("ab", "bc", "ca")]
    assert "steps a, b, c wait for one another: break the circle" in check(GOOD, *steps)


def test_a_workflow_that_would_run_itself_is_refused() -> None:
    def nest(name: str, inner: str) -> Workflow:
        return Workflow(name=name, steps=(Step(id="s", workflow=inner),))

    known = {name: nest(name, inner) for name, inner in (("a", "b"), ("b", "a"))}
    with pytest.raises(InvalidFiles, match="it would run itself: a > b > a"):
        build_workflow(known["a"], workflows=known)


def test_inputs_are_checked_by_name_all_at_once() -> None:
    """row E14's "bad param names the field" holds here for all workflows."""
    flow = Workflow(
        name="flow",
        steps=(GOOD,),
        inputs={"n": Input(type="integer"), "mode": Input(choices=("fast", "slow"), default="fast"), "on": Input(type="boolean", default=True)},
    )  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        read_inputs(flow, {"n": True, "mode": "odd", "size": 1})
    for word in (
        "'n' is True, which is no integer",
        "'mode' is 'odd'; choose one of 'fast', 'slow'",
        "no input 'size'",
    ):
        assert word in str(refused.value)
    assert read_inputs(flow, {"n": 3}) == {"n": 3, "mode": "fast", "on": True}
    with pytest.raises(InvalidInput, match="takes a JSON object with its inputs: n \\(integer\\)"):
        read_task(flow, "three")
    one = Workflow(name="flow", steps=(GOOD,), inputs={"question": Input()})
    assert read_task(one, "Why?") == {"question": "Why?"}


TOML = """
name = "triage"
timeout_s = 60

[inputs.url]
description = "What to look at."

[[steps]]
id = "look"
agent = "helper"
task = "Look at {url}."
retries = 2

[[steps]]
id = "sum"
tool = "add"
arguments = { left = 1, right = 2 }
when = "steps.look.output != ''"
"""
YAML = """
name: triage
timeout_s: 60
inputs:
  url: {description: What to look at.}
steps:
  - {id: look, agent: helper, task: "Look at {url}.", retries: 2}
  - id: sum
    tool: add
    arguments: {left: 1, right: 2}
    when: steps.look.output != ''
"""


def test_toml_yaml_and_python_say_the_same() -> None:
    """part of row B4"""
    written = Workflow(
        name="triage",
        timeout_s=60,
        inputs={"url": Input(description="What to look at.")},
        steps=(
            Step(id="look", agent="helper", task="Look at {url}.", retries=2),
            Step(id="sum", tool="add", arguments={"left": 1, "right": 2}, when="steps.look.output != ''"),
        ),
    )
    assert parse_workflow(TOML) == parse_workflow(YAML, is_yaml=True) == written


@pytest.mark.parametrize(
    ("text", "is_yaml", "told"),
    [
        ("name = ", False, "it is not TOML"),
        ('name = "x"\nsteps = [{id = "a", agnet = "b"}]', False, "steps[0]"),
        ("name: &a x\nsteps: [*a]", True, "anchors, aliases and tags are not read"),
        ("!!python/object/apply:os.system [id]", True, "anchors, aliases and tags are not read"),
        ("- 1", True, "it holds no table"),
        ("a: [", True, "it is not YAML"),
        ("a: " + "[" * 500, True, ""),
    ],
)
def test_what_is_no_workflow_is_refused_with_its_place(text: str, is_yaml: bool, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_workflow(text, where="flow.toml", is_yaml=is_yaml)
    assert "flow.toml" in str(refused.value)
    assert told in str(refused.value)


def test_files_of_a_directory_are_read_and_names_come_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TOML)
    assert list(load_workflows([tmp_path])) == ["triage"]
    (tmp_path / "b.yaml").write_text(YAML)
    (tmp_path / "c.toml").write_bytes(b"\xff")
    with pytest.raises(InvalidFiles) as refused:
        load_workflows([tmp_path])
    assert len(refused.value.faults) == 2
    with pytest.raises(InvalidFiles, match="cannot be read"):
        load_workflow(tmp_path / "gone.toml")
