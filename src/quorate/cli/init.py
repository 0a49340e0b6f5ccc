"""What does `quorate init` do?"""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.console import say, say_json
from quorate.cli.options import Json
from quorate.errors import InvalidInput

FILES = {
    "pyproject.toml": "pyproject.txt",
    "README.md": "readme.txt",
    "AGENTS.md": "agents.txt",
    "quorate.toml": "quorate.txt",
    ".env.example": "env.txt",
    ".gitignore": "gitignore.txt",
    "src/{package}/__init__.py": "package.txt",
    "src/{package}/__main__.py": "main.txt",
    "src/{package}/agent.py": "agent.txt",
    "src/{package}/tools.py": "tools.txt",
    "tests/test_agent.py": "test.txt",
}
"""Each file of a new project, and the template it is written from."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def add_commands(app: typer.Typer) -> None:
    """Add `init`."""
    app.command("init")(init)


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the project; new, or empty.")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="The project's name; the directory's own without one.")
    ] = None,
    json: Json = False,
) -> None:
    """Create a project: an agent, a tool, and tests that pass offline."""
    written = write_project(directory, name=name or _build_name(directory))
    if json:
        say_json({"directory": str(directory), "files": written})
        return
    for file in written:
        say(f"  {file}")
    say()
    say("Next:")
    say(f"  cd {directory}")
    say("  python -m pytest          the tests pass offline, with a scripted model")
    say("  quorate doctor            whether this machine is ready")


def write_project(directory: Path, *, name: str) -> list[str]:
    """Write a new project and return the files it has.

    Raises:
        InvalidInput: The name is none, or something is in the way.
    """
    package = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(package) or package in {*sys.stdlib_module_names, "quorate"}:
        raise InvalidInput(f"{name!r} is no name for a project: give one with `--name`, such as `--name my-agents`.")
    written: list[str] = []
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise InvalidInput(f"{str(directory)!r} is there already and not empty: name a new directory.")
        for target, template in FILES.items():
            file = directory / target.format(package=package)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = files(__package__ or "").joinpath("template", template).read_text(encoding="utf-8")
            file.write_text(text.replace("@name@", name).replace("@package@", package), encoding="utf-8")
            written.append(str(file.relative_to(directory)))
    except OSError as error:
        raise InvalidInput(
            f"{error.filename!r} cannot be written: {error.strerror}; name another directory."
        ) from error
    return written


def _build_name(directory: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-")
