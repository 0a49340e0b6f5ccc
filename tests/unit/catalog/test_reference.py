"""Does the page on agent files say what the reader does?"""

import re
from pathlib import Path

from msgspec import structs
from tests.unit.catalog.files import HERE, SAMPLES, write

from quorate.catalog.definition import AgentDefinition
from quorate.catalog.load import load_catalog
from quorate.catalog.shape import NOT_KEYS
from quorate.specs import Limits

PAGE = (HERE.parents[2] / "docs" / "reference" / "agent-files.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_loads(tmp_path: Path) -> None:
    """What a reader copies is an agent."""
    (example,) = re.findall(r"````toml\n(.*?)````", PAGE, re.DOTALL)
    write(tmp_path, "disk-watch", example)
    catalog = load_catalog([tmp_path, SAMPLES], builtin=None)
    assert catalog.get("disk-watch").limits == Limits(steps=10, seconds=60, tool_calls=60)
    assert catalog.route("how many inodes are left on /srv?").agent == "disk-watch"


def test_the_page_lists_every_key_and_whether_it_is_needed() -> None:
    """No key without a line, no line without a key."""
    listed = dict(re.findall(r"^\| `(\w+)` \| (yes|no) \|", PAGE, re.MULTILINE))
    fields = {f.name: "yes" if f.required else "no" for f in structs.fields(AgentDefinition)}
    assert listed == {name: needed for name, needed in fields.items() if name not in NOT_KEYS}


def test_the_page_lists_every_limit() -> None:
    """The line on `limits` names them all."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith("| `limits`")]
    assert set(re.findall(r"`(\w+)`", line)) - {"limits"} == {field.name for field in structs.fields(Limits)}
