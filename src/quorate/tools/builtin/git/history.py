"""What was done in a repository, by whom, and to which files?"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from msgspec import Struct

from quorate.tools.builtin.checks import clean
from quorate.tools.builtin.git.view import View, split_records
from quorate.tools.threads import run_in_thread

MAX_COMMITS = 20_000
MAX_NAMES = 200
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FORMAT = "--format=%x1e%H%x1f%P%x1f%an%x1f%at%x1f%s"


class Author(Struct, frozen=True, kw_only=True):
    """Somebody who made commits."""

    name: str
    commits: int
    added: int = 0
    deleted: int = 0


class Commit(Struct, frozen=True, kw_only=True):
    """One commit."""

    hash: str
    author: str
    at: str
    subject: str
    files: int
    added: int
    deleted: int
    is_merge: bool = False


class GitLog(Struct, frozen=True, kw_only=True):
    """The commits of a time, the newest first."""

    head: str
    branch: str
    """Empty when a bare commit is checked out."""
    total: int
    merges: int
    first_at: str = ""
    last_at: str = ""
    authors: tuple[Author, ...] = ()
    commits: tuple[Commit, ...] = ()
    by_weekday: dict[str, int] = {}
    truncated: bool = False


class ChangedFile(Struct, frozen=True, kw_only=True):
    """A file and how often it was changed."""

    path: str
    commits: int
    added: int
    deleted: int
    authors: int


class GitChurn(Struct, frozen=True, kw_only=True):
    """Where the work of a time went, the files changed most often first."""

    commits: int
    files: tuple[ChangedFile, ...]
    changed_files: int
    hot: int
    """Files that were changed in more than a tenth of the commits, and at least five times."""
    single_author: int
    """Files changed five times or more, always by the same person."""
    authors: tuple[Author, ...]
    bus_factor: int
    """How few people made half of the commits."""
    truncated: bool = False


class _Entry(Struct):
    """A commit as it is read."""

    commit: Commit
    seconds: int
    changes: list[tuple[str, int, int]]


async def read_log(view: View, *, since_days: int, most: int, now_s: float) -> GitLog:
    """Read the commits of the last days.

    Raises:
        ToolError: `git` refused, or there is no commit.
    """
    entries = await _read(view, since_days=since_days, now_s=now_s, merges=True)
    authors = _count_authors(entries)
    days = Counter(_WEEKDAYS[datetime.fromtimestamp(one.seconds, UTC).weekday()] for one in entries)
    return GitLog(
        head=view.commit[:12],
        branch=view.branch,
        total=len(entries),
        merges=sum(one.commit.is_merge for one in entries),
        first_at=entries[-1].commit.at if entries else "",
        last_at=entries[0].commit.at if entries else "",
        authors=authors[:MAX_NAMES],
        commits=tuple(one.commit for one in entries[:most]),
        by_weekday={day: days[day] for day in _WEEKDAYS},
        truncated=len(entries) >= MAX_COMMITS,
    )


async def read_churn(view: View, *, since_days: int, most: int, now_s: float) -> GitChurn:
    """Count which files were changed how often in the last days; merges do not count.

    Raises:
        ToolError: `git` refused, or there is no commit.
    """
    entries = await _read(view, since_days=since_days, now_s=now_s, merges=False)
    commits, added, deleted = Counter[str](), Counter[str](), Counter[str]()
    people: dict[str, set[str]] = {}
    for one in entries:
        for path, plus, minus in one.changes:
            commits[path] += 1
            added[path] += plus
            deleted[path] += minus
            people.setdefault(path, set()).add(one.commit.author)
    authors = _count_authors(entries)
    files = tuple(
        ChangedFile(
            path=clean(path, 500), commits=count, added=added[path], deleted=deleted[path], authors=len(people[path])
        )
        for path, count in sorted(commits.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    )
    return GitChurn(
        commits=len(entries),
        files=files,
        changed_files=len(commits),
        hot=sum(count >= 5 and count > len(entries) / 10 for count in commits.values()),
        single_author=sum(count >= 5 and len(people[path]) == 1 for path, count in commits.items()),
        authors=authors[:MAX_NAMES],
        bus_factor=_bus_factor(authors),
        truncated=len(entries) >= MAX_COMMITS,
    )


async def _read(view: View, *, since_days: int, now_s: float, merges: bool) -> list[_Entry]:
    since = int(now_s) - since_days * 86_400
    words = ["log", _FORMAT, "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-show-signature"]
    words += [
        f"--since={since}",
        f"--max-count={MAX_COMMITS}",
        *(() if merges else ("--no-merges",)),
        view.commit,
        "--",
    ]
    output = await view.ask(*words, *((view.inside,) if view.inside else ()), timeout_s=30)
    return await run_in_thread(lambda: _parse_all(output))


def _parse_all(output: str) -> list[_Entry]:
    return [entry for record in split_records(output) if (entry := _parse(record)) is not None]


def _parse(record: str) -> _Entry | None:
    head, _, rest = record.partition("\n")
    fields = head.split("\x1f", 4)
    # What was cut at the bound of the output is no record any more.
    if len(fields) < 5 or not fields[3].isdigit():
        return None
    commit, parents, author, at, subject = fields
    changes: list[tuple[str, int, int]] = []
    for line in rest.splitlines():
        parts = line.split("\t", 2)
        if len(parts) == 3:
            changes.append((parts[2], _number(parts[0]), _number(parts[1])))
    return _Entry(
        commit=Commit(
            hash=commit[:12],
            author=clean(author, 100),
            at=format_time(int(at)),
            subject=clean(subject, 200),
            files=len(changes),
            added=sum(plus for _, plus, _ in changes),
            deleted=sum(minus for _, _, minus in changes),
            is_merge=" " in parents,
        ),
        seconds=_bound(int(at)),
        changes=changes,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _bound(seconds: int) -> int:
    return min(max(seconds, 0), 253_402_300_799)


def format_time(seconds: int) -> str:
    """Write Unix seconds as a time of day in UTC; what a commit claims may be any number."""
    return datetime.fromtimestamp(_bound(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _count_authors(entries: list[_Entry]) -> tuple[Author, ...]:
    commits, added, deleted = Counter[str](), Counter[str](), Counter[str]()
    for one in entries:
        commits[one.commit.author] += 1
        added[one.commit.author] += one.commit.added
        deleted[one.commit.author] += one.commit.deleted
    ordered = sorted(commits.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Author(name=name, commits=count, added=added[name], deleted=deleted[name]) for name, count in ordered)


def _bus_factor(authors: tuple[Author, ...]) -> int:
    total, seen = sum(one.commits for one in authors), 0
    for place, one in enumerate(authors, 1):
        seen += one.commits
        if seen * 2 >= total:
            return place
    return 0
