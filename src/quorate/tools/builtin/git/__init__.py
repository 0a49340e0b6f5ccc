"""Which tools let an agent read a git repository, without obeying anything that lies in it?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.tools.builtin.git.history import GitChurn, GitLog, read_churn, read_log
from quorate.tools.builtin.git.state import (
    GitBlame,
    GitBlobs,
    GitBranches,
    GitStatus,
    read_blame,
    read_blobs,
    read_branches,
    read_status,
)
from quorate.tools.builtin.git.view import open_view
from quorate.tools.builtin.infra.ask import Run
from quorate.tools.define import AnyTool, tool
from quorate.tools.process import run_command
from quorate.tools.workspace import Workspace

__all__ = ["git_tools"]

Path = Annotated[str, Meta(max_length=4096, description="A repository in the workspace, or a path below one.")]
Days = Annotated[int, Meta(ge=1, le=36_500, description="How many days to look back.")]
Most = Annotated[int, Meta(ge=1, le=500, description="How many to list.")]


def git_tools(workspace: Workspace, *, run: Run = run_command, clock: Clock = SYSTEM_CLOCK) -> list[AnyTool]:
    """Build the tools that read git repositories; the repository's own configuration is never used."""
    return [*_history_tools(workspace, run, clock), *_state_tools(workspace, run, clock)]


def _history_tools(workspace: Workspace, run: Run, clock: Clock) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=45)
    async def git_log(path: Path = ".", since_days: Days = 90, *, most: Most = 50) -> GitLog:
        """Read who committed what in a git repository lately, or to one path of it, by person and weekday."""
        async with open_view(workspace, path, run=run) as view:
            return await read_log(view, since_days=since_days, most=most, now_s=clock.now())

    @tool(effect="idempotent", timeout_s=45)
    async def git_churn(path: Path = ".", since_days: Days = 180, *, most: Most = 20) -> GitChurn:
        """Find the files of a git repository that change most, how many people change them, and on how few it rests."""
        async with open_view(workspace, path, run=run) as view:
            return await read_churn(view, since_days=since_days, most=most, now_s=clock.now())

    @tool(effect="idempotent", timeout_s=90)
    async def git_blame(path: Path) -> GitBlame:
        """Count whose the lines of one committed file are, and how old they are."""
        async with open_view(workspace, path, run=run) as view:
            return await read_blame(view, now_s=clock.now())

    return [git_log, git_churn, git_blame]


def _state_tools(workspace: Workspace, run: Run, clock: Clock) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=60)
    async def git_branches(path: Path = ".", stale_days: Days = 90) -> GitBranches:
        """List the branches of a git repository: age, commits ahead and behind, merged or stale."""
        async with open_view(workspace, path, run=run) as view:
            return await read_branches(view, stale_days=stale_days, now_s=clock.now())

    @tool(effect="idempotent", timeout_s=45)
    async def git_status(path: Path = ".") -> GitStatus:
        """Find what is changed in a git work tree and not committed: staged, modified, untracked, in conflict."""
        async with open_view(workspace, path, run=run, index=True) as view:
            return await read_status(view)

    @tool(effect="idempotent", timeout_s=150)
    async def git_large_blobs(path: Path = ".", most: Most = 20) -> GitBlobs:
        """Find what makes a git repository large: the biggest files of its whole history, gone ones as well."""
        async with open_view(workspace, path, run=run) as view:
            return await read_blobs(view, most=most)

    return [git_branches, git_status, git_large_blobs]
