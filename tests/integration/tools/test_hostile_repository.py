"""A repository that borrows objects from outside the workspace is refused, however that is said. Part of row B1."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.git import git_tools
from quorate.tools.workspace import Workspace

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(root: Path, *words: str) -> str:
    options = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *options, "-C", str(root), *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that nobody in the workspace may read."""
    root = tmp_path_factory.mktemp("outside")
    git(root, "init", "-q", "-b", "main")
    git(root, "commit", "-q", "--allow-empty", "-m", "Secret")
    return root


@pytest.mark.parametrize("way", ["long file", "linked file", "linked directory", "linked object", "linked pack"])
async def test_objects_from_outside_are_not_read(tmp_path: Path, outside: Path, way: str) -> None:
    repository = tmp_path / "workspace" / "shop"
    repository.mkdir(parents=True)
    git(repository, "init", "-q", "-b", "main")
    (repository / ".git/refs/heads/main").write_text(git(outside, "rev-parse", "HEAD"))
    theirs, objects = outside / ".git/objects", repository / ".git/objects"
    if way == "long file":
        (objects / "info/alternates").write_text(f"#{'x' * 20_000}\n{theirs}\n")
    elif way == "linked file":
        (tmp_path / "places").write_text(f"{theirs}\n")
        (objects / "info/alternates").symlink_to(tmp_path / "places")
    elif way == "linked pack":
        (objects / "pack/pack-1.pack").symlink_to(theirs / "pack")
    for place in theirs.glob("[0-9a-f][0-9a-f]") if way in ("linked directory", "linked object") else ():
        if way == "linked directory":
            (objects / place.name).symlink_to(place)
            continue
        (objects / place.name).mkdir()
        for one in place.iterdir():
            (objects / place.name / one.name).symlink_to(one)
    tools: dict[str, Any] = {one.name: one for one in git_tools(Workspace(tmp_path / "workspace"))}
    with pytest.raises(ToolError, match=r"symbolic link|borrows objects"):
        await tools["git_log"]("shop", 36_500)
