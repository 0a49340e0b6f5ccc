"""What is checked out and changed, which branches are there, and what makes a repository large?"""

from __future__ import annotations

import statistics
from collections import Counter

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.builtin.checks import clean
from quorate.tools.builtin.git.history import format_time
from quorate.tools.builtin.git.view import View
from quorate.tools.threads import run_in_thread

MAX_BRANCHES = 200
MAX_COMPARED = 50
MAX_LISTED = 200
MAX_BLAME_LINES = 20_000
_DEFAULTS = (
    "refs/remotes/origin/HEAD",
    "refs/heads/main",
    "refs/heads/master",
    "refs/heads/trunk",
    "refs/heads/develop",
)


class Branch(Struct, frozen=True, kw_only=True):
    """A branch, seen from the default branch."""

    name: str
    at: str
    age_days: int
    author: str
    ahead: int | None = None
    """Commits that the default branch lacks; absent for those beyond the first."""
    behind: int | None = None
    is_merged: bool | None = None
    is_stale: bool = False


class GitBranches(Struct, frozen=True, kw_only=True):
    """The branches of a repository, the oldest first."""

    current: str
    default: str
    total: int
    merged: int
    stale: int
    tags: int
    branches: tuple[Branch, ...]
    truncated: bool = False


class StatusCounts(Struct, frozen=True, kw_only=True):
    """How many paths there are of each kind."""

    staged: int = 0
    modified: int = 0
    untracked: int = 0
    conflicts: int = 0


class GitStatus(Struct, frozen=True, kw_only=True):
    """What is not committed."""

    branch: str
    is_clean: bool
    counts: StatusCounts
    staged: tuple[str, ...]
    modified: tuple[str, ...]
    untracked: tuple[str, ...]
    conflicts: tuple[str, ...]
    truncated: bool = False


class Blob(Struct, frozen=True, kw_only=True):
    """A file's content, as it is or once was."""

    path: str
    size_bytes: int
    hash: str
    is_in_head: bool
    """Whether it is checked out today; otherwise only the history carries it."""


class GitBlobs(Struct, frozen=True, kw_only=True):
    """The largest contents of the whole history."""

    objects: int
    total_bytes: int
    packed_bytes: int
    blobs: tuple[Blob, ...]
    truncated: bool = False


class Share(Struct, frozen=True, kw_only=True):
    """How much of a file is somebody's."""

    name: str
    lines: int
    percent: float


class GitBlame(Struct, frozen=True, kw_only=True):
    """Who wrote the lines of a file as it is committed."""

    path: str
    lines: int
    authors: tuple[Share, ...]
    oldest_at: str = ""
    newest_at: str = ""
    median_age_days: int = 0
    truncated: bool = False


async def read_branches(view: View, *, stale_days: int, now_s: float) -> GitBranches:
    """Compare the local branches with the default branch.

    Raises:
        ToolError: `git` refused.
    """
    default = next((ref for ref in _DEFAULTS if ref in view.refs), view.head)
    form = "--format=%(refname)%1f%(committerdate:unix)%1f%(authorname)"
    output = await view.ask("for-each-ref", form.replace("%1f", "%1F"), "--sort=committerdate", "refs/heads")
    rows = [line.split("\x1f") for line in output.splitlines()]
    rows = [row for row in rows if len(row) == 3 and row[1].isdigit()]
    found: list[Branch] = []
    for place, (ref, seconds, author) in enumerate(rows[:MAX_BRANCHES]):
        ahead = behind = None
        if place < MAX_COMPARED and default in view.refs:
            counted = await view.ask("rev-list", "--count", "--left-right", f"{default}...{ref}", "--")
            behind, ahead = (int(number) for number in counted.split()[:2])
        age_days = max(0, int((now_s - int(seconds)) // 86_400))
        found.append(
            Branch(
                name=ref.removeprefix("refs/heads/"),
                at=format_time(int(seconds)),
                age_days=age_days,
                author=clean(author, 100),
                ahead=ahead,
                behind=behind,
                is_merged=None if ahead is None else ahead == 0,
                is_stale=age_days >= stale_days and ref != default,
            )
        )
    own = default.rpartition("/")[2]
    return GitBranches(
        current=view.branch,
        default=own,
        total=len(rows),
        merged=sum(one.is_merged is True and one.name != own for one in found),
        stale=sum(one.is_stale for one in found),
        tags=sum(ref.startswith("refs/tags/") for ref in view.refs),
        branches=tuple(found),
        truncated=len(rows) > MAX_BRANCHES,
    )


async def read_status(view: View) -> GitStatus:
    """Find what is changed and not committed; submodules are not entered.

    Raises:
        ToolError: `git` refused.
    """
    words = ("status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=all")
    output = await view.ask(*words, "--", *((view.inside,) if view.inside else ()), tree=True, timeout_s=30)
    kinds: dict[str, list[str]] = {"staged": [], "modified": [], "untracked": [], "conflicts": []}
    for record in output.split("\0"):
        if record.startswith("? "):
            kinds["untracked"].append(record[2:])
        elif record.startswith("u "):
            kinds["conflicts"].append(record.split(" ", 10)[-1])
        elif record.startswith("1 "):
            fields = record.split(" ", 8)
            if len(fields) == 9:
                if fields[1][0] != ".":
                    kinds["staged"].append(fields[8])
                if fields[1][1] != ".":
                    kinds["modified"].append(fields[8])
    shown = {kind: tuple(clean(path, 500) for path in paths[:MAX_LISTED]) for kind, paths in kinds.items()}
    return GitStatus(
        branch=view.branch,
        is_clean=not any(kinds.values()),
        counts=StatusCounts(**{kind: len(paths) for kind, paths in kinds.items()}),
        staged=shown["staged"],
        modified=shown["modified"],
        untracked=shown["untracked"],
        conflicts=shown["conflicts"],
        truncated=any(len(paths) > MAX_LISTED for paths in kinds.values()),
    )


async def read_blobs(view: View, *, most: int) -> GitBlobs:
    """Find the largest contents of the whole history.

    Raises:
        ToolError: `git` refused.
    """
    form = "--batch-check=%(objecttype) %(objectsize) %(objectsize:disk) %(objectname)"
    output = await view.ask(
        "cat-file", form, "--batch-all-objects", "--unordered", timeout_s=60, max_output_bytes=64 << 20
    )
    # Megabytes of lines are read in a thread, so that nobody else waits.
    objects, total, packed, largest = await run_in_thread(lambda: _find_largest(output, most))
    names, is_cut = await _name_blobs(view, largest)
    current = await view.ask("ls-tree", "-r", "-z", "--full-tree", view.commit, max_output_bytes=32 << 20)
    present = await run_in_thread(lambda: _list_present(current))
    return GitBlobs(
        objects=objects,
        total_bytes=total,
        packed_bytes=packed,
        blobs=tuple(
            Blob(path=clean(names.get(blob, ""), 500), size_bytes=size, hash=blob[:12], is_in_head=blob in present)
            for blob, size in largest.items()
        ),
        truncated=is_cut or len(output) >= 64 << 20,
    )


def _find_largest(output: str, most: int) -> tuple[int, int, int, dict[str, int]]:
    sizes: dict[str, int] = {}
    objects = total = packed = 0
    for line in output.splitlines():
        fields = line.split(" ")
        # What was cut at the bound of the output is no line any more.
        if len(fields) != 4 or not (fields[1].isdigit() and fields[2].isdigit()):
            continue
        objects += 1
        total += int(fields[1])
        packed += int(fields[2])
        if fields[0] == "blob":
            sizes[fields[3]] = int(fields[1])
    return objects, total, packed, dict(sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))[:most])


def _list_present(output: str) -> set[str]:
    return {fields[2] for entry in output.split("\0") if len(fields := entry.partition("\t")[0].split(" ")) == 3}


async def _name_blobs(view: View, wanted: dict[str, int]) -> tuple[dict[str, str], bool]:
    most = 64 << 20
    output = await view.ask("rev-list", "--objects", "--all", "--", timeout_s=60, max_output_bytes=most)
    return await run_in_thread(lambda: _find_names(output, wanted)), len(output) >= most


def _find_names(output: str, wanted: dict[str, int]) -> dict[str, str]:
    names: dict[str, str] = {}
    for line in output.splitlines():
        blob, _, path = line.partition(" ")
        if blob in wanted and path:
            names.setdefault(blob, path)
    return names


async def read_blame(view: View, *, now_s: float) -> GitBlame:
    """Count whose the lines of a file are.

    Raises:
        ToolError: It is no file of the commit, or `git` refused.
    """
    if not view.inside:
        raise ToolError("A file is needed, and this is the whole repository; give a path such as `src/app.py`.")
    words = ("blame", "--line-porcelain", f"-L1,+{MAX_BLAME_LINES}", view.commit, "--", view.inside)
    try:
        output = await view.ask(*words, timeout_s=60, max_output_bytes=64 << 20)
    except ToolError as error:
        if "has only 0 lines" in error.message:
            return GitBlame(path=view.inside, lines=0, authors=())
        raise
    lines, times = await run_in_thread(lambda: _count_lines(output))
    total = sum(lines.values())
    ordered = sorted(lines.items(), key=lambda pair: (-pair[1], pair[0]))
    return GitBlame(
        path=view.inside,
        lines=total,
        authors=tuple(
            Share(name=name, lines=count, percent=round(100 * count / total, 1)) for name, count in ordered[:50]
        ),
        oldest_at=format_time(min(times)) if times else "",
        newest_at=format_time(max(times)) if times else "",
        median_age_days=max(0, int((now_s - statistics.median(times)) // 86_400)) if times else 0,
        truncated=total >= MAX_BLAME_LINES,
    )


def _count_lines(output: str) -> tuple[Counter[str], list[int]]:
    lines, times = Counter[str](), list[int]()
    for line in output.splitlines():
        if line.startswith("author "):
            lines[clean(line[7:], 100)] += 1
        elif line.startswith("author-time ") and line[12:].isdigit():
            times.append(int(line[12:]))
    return lines, times
