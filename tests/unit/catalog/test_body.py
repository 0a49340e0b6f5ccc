"""Are the sections of an agent file read as they are meant: gates, hand-overs, cases, and what it answers?"""

from pathlib import Path
from time import process_time

import msgspec
import pytest
from tests.unit.catalog.files import build_text, write

from quorate.agent.agent import Agent
from quorate.agent.output import Output
from quorate.catalog.body import MOST_CASES, read_body, split_sections
from quorate.catalog.build import find_output_type
from quorate.catalog.case import ScriptedCall
from quorate.catalog.copies import find_shared_sentences
from quorate.catalog.definition import AgentDefinition, Gate
from quorate.catalog.load import load_catalog
from quorate.errors import InvalidFiles, InvalidInput
from quorate.models.playbook.report import Diagnosis
from quorate.models.scripted import ScriptedModel

BODY = """\
Look.

## Gates

- Every thing has a name: `= output.things.all(t, t.name != '')`
- It reads well.

## Hand over

- Up to `lead`: when it is
  too large.
- To `other`: when it is not a thing.

## Evaluation

```toml
request = "look at x"
script = [{ tool = "look", arguments = { path = "x" } }]

[files]
"x" = '''
## Not a heading
'''

[answer]
things = [{ name = "x" }]

[expect]
holds = ["size(output.things) == 1"]
```
"""
FIELDS = """\
output = "fields"
[fields]
verdict = { type = "yes|no", about = "whether it is one" }
things = { type = "records", fields = { name = "string", size = "integer" } }
note = { type = "string", optional = true }
"""


def load_one(directory: Path, more: str = "", body: str = "Look.") -> AgentDefinition:
    """The definition of one agent with some front matter and a body."""
    text = build_text("x", more).replace("Look at the thing.\n", body)
    write(directory, "x", text)
    return load_catalog([directory], builtin=None).get("x")


def find_faults(directory: Path, more: str = "", body: str = "Look.") -> list[str]:
    """What is wrong with it."""
    with pytest.raises(InvalidFiles) as caught:
        load_one(directory, more, body)
    return [fault.rpartition("/")[2] for fault in caught.value.faults]


def test_sections_become_gates_hand_overs_and_cases() -> None:
    """A bullet may go over several lines, and what is fenced is no heading."""
    body = read_body(BODY)
    assert body.gates == (
        Gate(text="Every thing has a name", condition="output.things.all(t, t.name != '')"),
        Gate(text="It reads well."),
    )
    assert (body.escalates_to, body.hands_off) == ("lead", {"other": "when it is not a thing."})
    (case,) = body.cases
    assert case.script == (ScriptedCall(tool="look", arguments={"path": "x"}),)
    assert case.files == {"x": "## Not a heading\n"}
    assert body.remarks == ()


def test_a_model_does_not_read_the_evaluation() -> None:
    """Neither the cases nor the heading; all the rest stays in its order."""
    instructions = read_body(BODY).instructions
    assert "Evaluation" not in instructions
    assert "request" not in instructions
    assert [section.title for section in split_sections(instructions)] == ["", "Gates", "Hand over"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("a\n## Hand over\n- to nobody\n", "x.md:11: `## Hand over`: 'to nobody' is not read; write ``- Up to"),
        ("a\n## Hand over\n- Up to `b`: c\n", "x.md:11: `## Hand over`: there is no agent 'b'"),
        ("a\n## Hand over\n- To `b`: c\n", "x.md:11: `## Hand over`: there is no agent 'b'"),
        ("a\n## Hand over\n- Up to `x`: c\n", "x.md:11: `## Hand over`: it cannot hand over to itself"),
        ("a\n## Gates\n- A.\n## Gates\n- B.\n", "x.md:12: there is a section `## Gates` already; put both into one"),
        ("a\n## Evaluation\nnone\n", "x.md:10: `## Evaluation` has no ```toml block"),
        ("a\n## Evaluation\n```toml\nrequest = \n```\n", "x.md:12: this case is not TOML: Invalid value"),
        ("a\n## Evaluation\n```toml\nrequest = 'a'\n```\n", "x.md:11: `## Evaluation`: object missing required field"),
        (
            "a\n## Evaluation\n```toml\nrequest = 'a'\n[expect]\nhold = []\n```\n",
            "x.md:13: `## Evaluation`: `expect`: object contains unknown field `hold`",
        ),
        ("a\n## Gates\n- Fine: `= true`\n", "x.md:11: the gate 'Fine' has a condition, and text has no fields"),
    ],
)
def test_a_section_that_cannot_be_read_is_told_with_its_line(tmp_path: Path, body: str, fault: str) -> None:
    """Each kind of fault, planted alone."""
    faults = find_faults(tmp_path, body=body)
    assert len(faults) == 1
    assert faults[0].startswith(fault), faults


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ('output = "dignosis"', "x.md:8: there is no output 'dignosis'; did you mean `diagnosis`?"),
        ('output = "fields"', "x.md:8: `output` is `fields`, and there are none; write `[fields]`"),
        ("[fields]\na = { type = 'string' }", "x.md:8: `[fields]` is for `output = \"fields\"`, and it is 'text'"),
        ("output = 'fields'\n[fields]\na = { type = 'text' }", "x.md:10: `fields.a`: 'text' is not a type; known: "),
        ("output = 'fields'\n[fields]\na = { type = 'x|x' }", "x.md:10: `fields.a`: 'x|x' names a choice twice"),
        ("output = 'fields'\n[fields]\na = { type = 'x|' }", "x.md:10: `fields.a`: '' is not a choice"),
        ("output = 'fields'\n[fields]\nA = { type = 'string' }", "x.md:10: `fields.A`: 'A' is not a field's name"),
        ("output = 'fields'\n[fields]\na = { type = 'records' }", "x.md:10: `fields.a`: `records` need `fields`"),
        (
            "output = 'fields'\n[fields]\na = { type = 'string', fields = { b = 'string' } }",
            "x.md:10: `fields.a`: only `records` have `fields`",
        ),
        ('model = "huge"', "x.md:8: `model`: invalid enum value 'huge'"),
        ('tools = ["toolset:gti"]', "x.md:8: there is no toolset 'gti'; did you mean `git`?"),
    ],
)
def test_an_output_that_cannot_be_built_is_told_with_its_line(tmp_path: Path, more: str, fault: str) -> None:
    """Each kind of fault, planted alone."""
    faults = find_faults(tmp_path, more)
    assert len(faults) == 1
    assert faults[0].startswith(fault), faults


def test_a_toolset_stands_for_its_tools(tmp_path: Path) -> None:
    """In the order of the set, and none of them twice."""
    found = load_one(tmp_path, 'tools = ["read_file", "toolset:files", "ping"]')
    assert found.tools == ("read_file", "list_files", "search_files", "stat_file", "ping")


def test_fields_become_a_type(tmp_path: Path) -> None:
    """What a file declares is what a model must give, with its descriptions."""
    output = Output(find_output_type(load_one(tmp_path, FIELDS)))
    value = output.read('{"verdict": "yes", "things": [{"name": "a", "size": 1}]}')
    assert msgspec.to_builtins(value) == {"verdict": "yes", "things": ({"name": "a", "size": 1},), "note": None}
    assert output.spec.json_schema["properties"]["verdict"]["description"] == "whether it is one"  # type: ignore[index]
    for wrong in ('{"verdict": "perhaps", "things": []}', '{"verdict": "yes"}', '{"verdict":"no","things":[],"x":1}'):
        with pytest.raises(InvalidInput, match="does not fit the schema"):
            output.read(wrong)


@pytest.mark.parametrize("name", ["review", "plan", "extraction", "change", "calculation"])
def test_shapes_have_names(tmp_path: Path, name: str) -> None:
    """Many agents answer in the same shape."""
    kind = find_output_type(load_one(tmp_path, f'output = "{name}"'))
    assert kind.__name__ == name.title()
    assert Output(kind).spec.json_schema["additionalProperties"] is False


def test_a_gate_refuses_an_answer_and_the_model_is_asked_again(tmp_path: Path) -> None:
    """The reason is told; the second answer passes. Part of row D1."""
    found = load_one(tmp_path, FIELDS, "Look.\n\n## Gates\n- Something is named: `= size(output.things) > 0`\n")
    good = '{"verdict": "yes", "things": [{"name": "a", "size": 1}]}'
    model = ScriptedModel(['{"verdict": "no", "things": []}', good])
    agent = Agent("x", model=model, output_type=find_output_type(found))
    result = agent.run_sync("look")
    assert result.text == '{"verdict":"yes","things":[{"name":"a","size":1}],"note":null}'
    assert "a gate is not passed: Something is named (`size(output.things) > 0`)" in str(model.requests[1].messages)


def test_a_gated_diagnosis_is_a_diagnosis(tmp_path: Path) -> None:
    """Whoever reads diagnoses reads it; one that its gates refuse is none."""
    more, body = 'output = "diagnosis"', "Look.\n\n## Gates\n- It says something: `= output.summary != ''`\n"
    found = load_one(tmp_path, more, body)
    output = Output(find_output_type(found))
    assert isinstance(output.read('{"applies": true, "summary": "a"}'), Diagnosis)
    with pytest.raises(InvalidInput, match="a gate is not passed: It says something"):
        output.read('{"applies": true, "summary": ""}')
    assert find_output_type(found, gated=False) is Diagnosis


def test_a_gate_that_cannot_be_evaluated_is_not_passed(tmp_path: Path) -> None:
    """An answer is not let through because its gate stumbled over it."""
    more, body = 'output = "diagnosis"', "Look.\n\n## Gates\n- First: `= output.findings[0].title != ''`\n"
    output = Output(find_output_type(load_one(tmp_path, more, body)))
    with pytest.raises(InvalidInput, match="a gate is not passed: First"):
        output.read('{"applies": true, "summary": ""}')


@pytest.mark.parametrize(
    "text",
    [
        "## " + " a" * 60_000 + "\t",
        "- " + " " * 60_000 + "x" + " " * 60_000,
        "## Gates\n- " + "` " * 40_000 + "`= ",
        "```toml\n" * 20_000,
        "## Evaluation\n" + "```toml\nx\n" * 10_000,
        "## Hand over\n" + "- To `x`: \n" * 10_000,
        "\n" * 100_000 + "x",
        "1. " * 50_000,
    ],
)
def test_no_text_takes_long_to_read(text: str) -> None:
    """What is read grows with the text, whatever stands in it: each of these would take minutes otherwise."""
    begun = process_time()
    body = read_body(text)
    list(find_shared_sentences({"x": text}))
    assert process_time() - begun < 10
    assert len(body.cases) <= MOST_CASES


def test_a_file_has_some_cases_and_not_thousands() -> None:
    """More are told, and left out."""
    case = "```toml\nrequest = 'a'\n[expect]\ncontains = ['a']\n```\n"
    body = read_body("Look.\n\n## Evaluation\n" + case * (MOST_CASES + 1))
    assert [remark.what for remark in body.remarks] == ["`## Evaluation` has 21 cases; at most 20 are read, so choose"]
