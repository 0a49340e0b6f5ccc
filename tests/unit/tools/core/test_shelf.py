"""Tools are built when they are wanted, and their table tells the truth. Part of row B1."""

import subprocess
import sys
from pathlib import Path

import pytest

from quorate.tools.builtin.shelf import TOOLSETS, Surroundings, ToolShelf, build_shelf
from quorate.tools.define import tool
from quorate.tools.targets import ProbePolicy
from quorate.tools.workspace import Workspace


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    return Surroundings(workspace=Workspace(tmp_path, writable=True), policy=ProbePolicy.served())


def test_the_table_names_every_tool(surroundings: Surroundings) -> None:
    for one in TOOLSETS:
        built = one.build(surroundings)
        assert sorted(tool.name for tool in built) == sorted(one.tools), one.name
    names = [name for one in TOOLSETS for name in one.tools]
    assert len(names) == len(set(names)) >= 80


def test_every_tool_describes_itself_and_only_reads(surroundings: Surroundings) -> None:
    shelf = build_shelf(surroundings)
    for name, found in shelf.items():
        assert found.name == name
        assert found.spec.effect == "idempotent"
        assert found.spec.description.endswith(".")
        assert found.returns is not None, name
        assert found.spec.timeout_s <= 150


def test_names_are_known_without_building_and_more_tools_lie_beside(surroundings: Surroundings) -> None:
    @tool(effect="idempotent")
    def own() -> str:
        """Say something."""
        return "x"

    shelf = build_shelf(surroundings, [own])
    assert "own" in shelf
    assert "calculate" in shelf
    assert "write_file" in shelf
    assert shelf["own"] is own
    assert len(shelf) == len(list(shelf)) == len(set(shelf))
    assert shelf["calculate"] is shelf["calculate"]
    with pytest.raises(KeyError):
        shelf["gone"]
    assert isinstance(shelf, ToolShelf)


def test_a_workspace_for_reading_has_no_tool_that_writes(tmp_path: Path) -> None:
    shelf = build_shelf(Surroundings(workspace=Workspace(tmp_path), policy=ProbePolicy.served()))
    assert "write_file" not in shelf


def test_nothing_is_loaded_before_it_is_wanted() -> None:
    code = (
        "import sys; from quorate.tools.builtin import shelf;"
        "print([name for name in sys.modules if name.startswith('quorate.tools.builtin.')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['quorate.tools.builtin.shelf']"
