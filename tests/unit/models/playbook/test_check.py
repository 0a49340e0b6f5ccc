"""Are all faults of a playbook found at once, each with its place?"""

from pathlib import Path

import pytest
from tests.unit.models.playbook.samples import PROBE, TOOLS, build_playbook

from quorate.catalog.frontmatter import split_front_matter
from quorate.models.playbook import Playbook, check_playbook, render_guidance
from quorate.specs import ToolSpec

SPECS = [
    ToolSpec(
        name="connect",
        parameters={"properties": {"host": {}, "ports": {}, "note": {}, "skipped": {}}, "required": ["host", "ports"]},
    ),
    *(ToolSpec(name=name, parameters={"properties": {"host": {}}}) for name in TOOLS[1:]),
]


def test_a_sound_playbook_has_no_faults() -> None:
    """With its tools, and without."""
    assert check_playbook(build_playbook()) == []
    assert check_playbook(build_playbook(), SPECS) == []


def test_all_faults_are_found_at_once() -> None:
    """Unknown steps, tools, arguments, targets, variables and functions, and expressions that are none."""
    broken = build_playbook(
        applies="size(results.probe) > 0",
        targets={"hosts": {"kind": "host"}, "words": {"kind": "word"}},
        steps=[
            {"id": "probe", "tool": "conect", "when": "targets.hots != null"},
            {"id": "two", "tool": "connect", "after": ["prob"], "arguments": {"hots": "{hots}", "ports": "=[nope]"}},
            {"id": "Two", "tool": "uptime", "for_each": "1 +"},
            {"id": "two", "tool": "uptime"},
        ],
        findings=[
            {
                "title": "{what}",
                "severity": "low",
                "when": "item.x",
                "values": {"a": "results.prob.x"},
                "evidence": [{"fact": "it"}],
            }
        ],
        checks=[{"text": "fine", "when": "nonsense(1)"}],
    )
    assert check_playbook(broken, SPECS) == [
        "steps.Two: 'Two' is not an id; use `a-z`, `0-9` and `_`, a letter first",
        "steps.two: there are two steps of that name; rename one",
        "targets.words: `word` needs `words` to look for",
        "steps.probe.when: there is no target 'hots'; did you mean `hosts`?",
        "steps.probe.tool: there is no tool 'conect'; did you mean `connect`?",
        "steps.two.after: there is no step 'prob'; did you mean `probe`?",
        (
            "steps.two.arguments: There is no variable 'nope'. Known: `errors`, `request`, `results`, `targets`."
            " It is read by '[nope]'."
        ),
        "steps.two.arguments: there is no target 'hots'; did you mean `hosts`?",
        "steps.two.arguments: `connect` takes no 'hots'; did you mean `host`?",
        "steps.two.arguments: `connect` needs 'host'; give it",
        "steps.Two.for_each: '1 +' is not a condition: unexpected the end at line 1, column 4.",
        (
            "applies: There is no variable 'results'. Did you mean `targets`? Known: `request`, `targets`."
            " It is read by 'size(results.probe) > 0'."
        ),
        (
            "findings[0].when: There is no variable 'item'. Known: `errors`, `request`, `results`, `targets`."
            " It is read by 'item.x'."
        ),
        "findings[0].values.a: there is no step 'prob'; did you mean `probe`?",
        "findings[0]: nothing gives `{what}`; known: `a`, `hosts`, `words`",
        "findings[0].evidence[0]: say which measurement with `each`, since the finding has no `item`",
        "checks[0].when: " + _unknown_function(),
    ]


def _unknown_function() -> str:
    (fault,) = check_playbook(build_playbook(findings=[], checks=[{"text": "fine", "when": "nonsense(1)"}]))
    assert fault.startswith("checks[0].when: There is no function 'nonsense'.")
    return fault.removeprefix("checks[0].when: ")


def test_steps_that_wait_for_each_other_are_named() -> None:
    """By `after`, by what they read, and through a target that is found in results."""
    steps = [
        {"id": "a", "tool": "uptime", "when": "targets.seen != null"},
        {"id": "b", "tool": "uptime", "after": ["a"]},
        {"id": "c", "tool": "uptime"},
    ]
    targets = {"seen": {"kind": "host", "source": "results.b.text"}}
    faults = check_playbook(build_playbook(steps=steps, targets=targets, applies="", findings=[], checks=[]))
    assert faults == ["steps: a, b wait for each other; take one dependency out"]


def test_guidance_tells_another_model_the_procedure() -> None:
    """Steps with their tools, and the conclusions."""
    text = render_guidance(build_playbook())
    assert "1. `connect`: connections — for each of `targets.endpoints`" in text
    assert "- high: Connection refused: {host}:{port}" in text


AGENTS = sorted((Path(__file__).parents[4] / "src/quorate/catalog/agents").rglob("*.md"))


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_every_shipped_playbook_holds_together(path: Path) -> None:
    """Their expressions, steps and names; the tools are checked where the agents run. row: B1"""
    import msgspec

    table = split_front_matter(path.read_text(encoding="utf-8")).table
    if "playbook" in table:
        assert check_playbook(msgspec.convert(table["playbook"], Playbook)) == []


def test_the_sample_is_one() -> None:
    """The measure is measured: the sample has what the checks look at."""
    assert {"targets", "steps", "findings", "checks"} <= PROBE.keys()
