"""Agent files for the tests, good ones and broken ones."""

from pathlib import Path

HERE = Path(__file__).parent
SAMPLES = HERE / "agents"

GOOD = """\
+++
name = "{name}"
description = "Looks at things."
tier = "core"
domain = "things"
triggers = ["thing"]
examples = ["look at the thing"]
{more}+++
Look at the thing.
"""


def build_text(name: str, more: str = "") -> str:
    """A whole agent file; `more` are further lines of front matter."""
    return GOOD.format(name=name, more=more and more.rstrip("\n") + "\n")


def write(directory: Path, name: str, text: str | bytes | None = None, *, more: str = "") -> Path:
    """Write an agent file and return its path."""
    path = directory / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = build_text(path.stem, more) if text is None else text
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
