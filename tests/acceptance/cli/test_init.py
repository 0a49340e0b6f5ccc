"""Does a new project work by itself, offline?"""

import os
import subprocess
import sys
from pathlib import Path


def test_a_new_project_passes_its_own_tests(quorate, tmp_path: Path) -> None:
    """An agent, a tool, tests with a scripted model, settings without faults. row: C17"""
    folder = tmp_path / "my-agents"
    done = quorate("init", str(folder))
    assert done.code == 0
    for name in ("pyproject.toml", "README.md", "AGENTS.md", "quorate.toml", ".env.example", "tests/test_agent.py"):
        assert (folder / name).is_file()
        assert name in done.out
    assert (folder / "src/my_agents/agent.py").is_file()
    assert "@name@" not in "".join(f.read_text(encoding="utf-8") for f in folder.rglob("*") if f.is_file())
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "2 passed" in tested.stdout
    assert quorate("config", "check", cwd=folder).code == 0
    assert quorate("config", "check", "--env", "prod", cwd=folder).code == 0


def test_a_new_project_is_told_as_json(quorate, tmp_path: Path) -> None:
    """The files it has."""
    done = quorate("init", str(tmp_path / "x"), "--name", "other-name", "--json")
    assert done.json["directory"] == str(tmp_path / "x")
    assert "src/other_name/agent.py" in done.json["files"]


def test_nothing_is_overwritten(quorate, project: Path) -> None:
    """A directory with something in it, and a file, are refused; an empty one is taken. row: C17"""
    for place in (project, project / "quorate.toml"):
        done = quorate("init", str(place))
        assert done.code == 2
        assert "not empty: name a new directory" in done.err
    (project / "fresh").mkdir()
    assert quorate("init", str(project / "fresh")).code == 0


def test_a_bad_name_is_refused(quorate, tmp_path: Path) -> None:
    """One that is no package, or hides one of Python's own. row: C17"""
    for name in ("json", "class", "quorate", "1st", "../x", "Ab"):
        done = quorate("init", str(tmp_path / "fresh"), "--name", name)
        assert done.code == 2
        assert "is no name for a project" in done.err
        assert not (tmp_path / "fresh").exists()


def test_a_place_that_cannot_be_written_is_named(quorate) -> None:
    """One line, not a traceback."""
    done = quorate("init", "/proc/fresh")
    assert done.code == 2
    assert "cannot be written" in done.err
