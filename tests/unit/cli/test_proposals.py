"""Does what commands propose to type work?"""

import re
from pathlib import Path

import pytest

import quorate.cli
from quorate.assembly import build_toolbox
from quorate.catalog.load import load_catalog
from quorate.settings import Settings

PROPOSED = {
    found: path.name
    for path in sorted(Path(quorate.cli.__file__).parent.glob("*.py"))
    for found in re.findall(r'quorate run \\?"([^"\\]+)', path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("task", PROPOSED)
def test_a_proposed_task_has_an_agent(task: str) -> None:
    catalog = load_catalog(tools=build_toolbox(Settings()))
    assert catalog.route(task).agent


def test_tasks_are_proposed() -> None:
    assert PROPOSED
