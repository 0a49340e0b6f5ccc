"""Can a person run, estimate, draw and check workflows and teams with nothing but the command line?"""

from pathlib import Path
from typing import Any, cast

import pytest
from tests.acceptance.cli.conftest import Run

FLOW = """
name = "measure"
artifacts = ["disks.json"]
output = { disks = "{steps.disks.output.summary}", path = "=inputs.path" }
[inputs.path]
type = "integer"
default = 1
[[steps]]
id = "disks"
agent = "disk-watch"
task = "watch the disk"
[[steps]]
id = "wait"
agent = "disk-watch"
task = "watch the disk"
when = "inputs.path > 1"
[[steps]]
id = "keep"
tool = "save_artifact"
arguments = { name = "disks.json", text = "{steps.disks.output}", media_type = "application/json" }
"""
TEAM = 'kind = "team"\nname = "both"\ndescription = "Two looks."\npattern = "broadcast"\nmembers = ["disk-watch"]\n'


@pytest.fixture
def flows(project: Path) -> Path:
    folder = project / "flows"
    folder.mkdir()
    (project / "quorate.toml").write_text('[agents]\ndirectories = ["agents"]\nworkflows = ["flows"]\n')
    (folder / "measure.toml").write_text(FLOW)
    (folder / "both.toml").write_text(TEAM)
    return folder


def test_a_workflow_is_run_and_its_steps_are_told(quorate: Run, flows: Path) -> None:
    """What is skipped is told with its reason, and what was kept is there."""
    done = quorate("workflow", "run", "measure", "--json")
    assert done.code == 0, done.err
    report = cast("dict[str, Any]", done.json["output"])
    assert (report["status"], report["output"]["path"]) == ("completed", 1)
    assert report["steps"]["wait"] == {"status": "skipped", "reason": "`inputs.path > 1` does not hold"}
    for line in ("→ disks: disk_watch(", "– wait: `inputs.path > 1` does not hold", "✓ keep: save_artifact("):
        assert line in done.err
    assert "disks.json" in quorate("artifacts", "list").out


def test_what_is_wrong_is_said_before_anything_is_run(quorate: Run, flows: Path) -> None:
    bad = quorate("workflow", "run", "measure", "-i", "path=far")
    assert (bad.code, "--input path='far' is no JSON" in bad.err) == (2, True)
    bare = quorate("workflow", "run", "research-brief", "-i", "question=Why?")
    assert (bare.code, "needs a language model" in bare.err) == (2, True)
    (flows / "broken.toml").write_text(FLOW.replace("measure", "broken").replace('agent = "disk-watch"', 'agent = "x"'))
    checked = quorate("workflow", "check")
    assert (checked.code, "broken: steps[0].agent: there is no agent 'x'" in checked.err) == (2, True)


def test_a_workflow_is_drawn_and_estimated(quorate: Run, flows: Path) -> None:
    drawn = quorate("workflow", "show", "research-brief", "--mermaid").out
    assert drawn.startswith("flowchart TD\n")
    words = ("workflow", "run", "research-brief", "-i", "question=Why?", "--estimate", "--model", "openai:gpt-5.2")
    told = quorate(*words)
    assert (told.code, "in all" in told.out, "$" in told.out, "3 items" in told.out) == (0, True, True, True)


def test_a_team_is_listed_and_asked(quorate: Run, flows: Path) -> None:
    assert "both  broadcast  disk-watch  Two looks." in quorate("team", "list").out
    done = quorate("team", "run", "both", "watch the disk", "--json")
    assert done.code == 0, done.err
    report = cast("dict[str, Any]", done.json["output"])
    assert (report["pattern"], report["contributions"][0]["agent"]) == ("broadcast", "disk-watch")
    assert "→ member-1: disk_watch(" in done.err
