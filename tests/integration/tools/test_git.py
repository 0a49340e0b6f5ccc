"""A git repository is read, and nothing that lies in it is obeyed. Part of row B1."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.git import git_tools
from quorate.tools.workspace import Workspace

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
DAY_S = 86_400
NOW_S = 1_790_000_000


class FixedClock:
    """A clock that stands still."""

    def now(self) -> float:
        return NOW_S

    def monotonic(self) -> float:
        return 0.0


def git(root: Path, *words: str, author: str = "Ann", days_ago: int = 0) -> None:
    date = f"{NOW_S - days_ago * DAY_S} +0000"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(root),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_NAME": author for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": "a@example.com" for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_DATE": date for role in ("AUTHOR", "COMMITTER")},
    }
    subprocess.run(["git", "-C", str(root), *words], check=True, env=environment, capture_output=True)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each test gets a copy of."""
    root = tmp_path_factory.mktemp("git") / "root"
    repository = root / "shop"
    repository.mkdir(parents=True)
    git(repository, "init", "-q", "-b", "main")
    (repository / "a.txt").write_text("one\ntwo\n")
    (repository / "big.bin").write_text("x" * 50_000)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "First\x1f with a mark", days_ago=200)
    git(repository, "rm", "-q", "big.bin")
    git(repository, "branch", "old")
    (repository / "a.txt").write_text("one\ntwo\nthree\n")
    git(repository, "commit", "-qam", "Second", author="Bob", days_ago=10)
    git(repository, "checkout", "-qb", "feature")
    (repository / "naïve name.txt").write_text("x\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "Third", days_ago=1)
    git(repository, "checkout", "-q", "main")
    git(repository, "tag", "v1")
    git(repository, "pack-refs", "--all")
    git(repository, "branch", "loose")
    return root


@pytest.fixture
def root(pattern: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pattern, tmp_path / "root", symlinks=True)


@pytest.fixture
def tools(root: Path) -> dict[str, Any]:
    return {one.name: one for one in git_tools(Workspace(root), clock=FixedClock())}


async def test_history_is_read(tools: dict[str, Any]) -> None:
    log = await tools["git_log"]("shop", since_days=365)
    assert (log.branch, log.total, [one.subject for one in log.commits]) == (
        "main",
        2,
        ["Second", "First  with a mark"],
    )
    assert {one.name: one.commits for one in log.authors} == {"Ann": 1, "Bob": 1}
    assert (log.commits[0].files, log.commits[0].added, log.commits[0].deleted) == (2, 1, 1)
    assert sum(log.by_weekday.values()) == 2
    assert (await tools["git_log"]("shop", since_days=30)).total == 1
    assert (await tools["git_log"]("shop/big.bin", since_days=365, most=1)).total == 2
    churn = await tools["git_churn"]("shop", since_days=365, most=1)
    assert (churn.commits, churn.changed_files, churn.bus_factor) == (2, 2, 1)
    assert (churn.files[0].path, churn.files[0].commits, churn.files[0].authors) == ("a.txt", 2, 2)


async def test_the_state_is_read(tools: dict[str, Any], root: Path) -> None:
    branches = await tools["git_branches"]("shop", stale_days=90)
    found = {one.name: (one.ahead, one.behind, one.is_merged, one.is_stale) for one in branches.branches}
    assert found == {
        "main": (0, 0, True, False),
        "old": (0, 1, True, True),
        "feature": (1, 0, False, False),
        "loose": (0, 0, True, False),
    }
    assert (branches.default, branches.merged, branches.stale, branches.tags) == ("main", 2, 1, 1)
    assert (await tools["git_status"]("shop")).is_clean
    (root / "shop/a.txt").write_text("changed\n")
    (root / "shop/new.txt").write_text("x")
    (root / "shop/staged.txt").write_text("x")
    git(root / "shop", "add", "staged.txt")
    status = await tools["git_status"]("shop")
    assert (status.staged, status.modified, status.untracked) == (("staged.txt",), ("a.txt",), ("new.txt",))
    assert (status.counts.staged, status.is_clean, status.branch) == (1, False, "main")


async def test_what_is_large_and_whose_lines_they_are(tools: dict[str, Any]) -> None:
    blobs = await tools["git_large_blobs"]("shop", most=1)
    assert [(one.path, one.size_bytes, one.is_in_head) for one in blobs.blobs] == [("big.bin", 50_000, False)]
    assert blobs.total_bytes > 50_000 > blobs.packed_bytes > 0
    blame = await tools["git_blame"]("shop/a.txt")
    assert [(one.name, one.lines) for one in blame.authors] == [("Ann", 2), ("Bob", 1)]
    assert blame.median_age_days == 200
    for path in ("shop", "shop/gone.txt"):
        with pytest.raises(ToolError):
            await tools["git_blame"](path)


async def test_a_repository_runs_nothing_of_its_own(tools: dict[str, Any], root: Path) -> None:
    """Programs named in its configuration, attributes and hooks stay unused, whatever is asked."""
    repository, hurt = root / "shop", root / "hurt"
    script = root / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {hurt}\ncat\n")
    script.chmod(0o755)
    for key in (
        *("core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "diff.external", "filter.evil.clean"),
        *("filter.evil.smudge", "filter.evil.process", "diff.evil.textconv", "diff.evil.command", "gpg.program"),
        *("log.showSignature", "credential.helper", "uploadpack.packObjectsHook", "core.alternateRefsCommand"),
        *("pager.log", "pager.blame", "alias.log"),
    ):
        git(repository, "config", key, "true" if key == "log.showSignature" else str(script))
    (repository / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (repository / "a.txt").write_text("changed\n")
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        path = repository / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(script.read_text())
        path.chmod(0o755)
    before = sorted((one.name, one.stat().st_mtime_ns) for one in (repository / ".git").iterdir())
    for name in ("git_log", "git_churn", "git_branches", "git_status", "git_large_blobs"):
        await tools[name]("shop")
    await tools["git_blame"]("shop/a.txt")
    assert not hurt.exists()
    assert sorted((one.name, one.stat().st_mtime_ns) for one in (repository / ".git").iterdir()) == before


async def test_a_repository_cannot_lead_outside(tools: dict[str, Any], root: Path, tmp_path: Path) -> None:
    (root / "plain").mkdir()
    (tmp_path / "outside").mkdir()
    git(tmp_path / "outside", "init", "-q")
    (root / "sub").mkdir()
    (root / "sub/.git").write_text(f"gitdir: {tmp_path}/outside/.git\n")
    (root / "linked").mkdir()
    (root / "linked/.git").symlink_to(tmp_path / "outside/.git")
    for path in ("plain", "sub", "linked", "../outside", "/etc"):
        with pytest.raises(ToolError):
            await tools["git_log"](path)
    (root / "shop/.git/objects/info").mkdir(exist_ok=True)
    (root / "shop/.git/objects/info/alternates").write_text(f"{tmp_path}/outside/.git/objects\n")
    with pytest.raises(ToolError, match="borrows objects"):
        await tools["git_log"]("shop")


async def test_odd_repositories_are_told(tools: dict[str, Any], root: Path) -> None:
    repository = root / "empty"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    with pytest.raises(ToolError, match="no commit yet"):
        await tools["git_log"]("empty")
    assert (await tools["git_branches"]("empty")).total == 0
    (repository / ".git/HEAD").write_text("ref: refs/heads/../../../x\n")
    with pytest.raises(ToolError, match="names neither"):
        await tools["git_log"]("empty")
    (repository / ".git/HEAD").write_text("f" * 40)
    with pytest.raises(ToolError, match="cannot be read") as refused:
        await tools["git_log"]("empty")
    assert "quorate-git-" not in refused.value.message
    git(root / "shop", "checkout", "-q", "--detach")
    assert (await tools["git_log"]("shop", since_days=365)).branch == ""
