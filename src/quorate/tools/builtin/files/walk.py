"""What lies in a workspace, as far as a bound of entries, depth and time lets one look?"""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Collection, Iterator

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.workspace import Entry, Workspace, build_entry

MAX_DEPTH = 32
MAX_SEEN = 200_000


class Listing(Struct, frozen=True, kw_only=True):
    """The entries that match, in the order of their names."""

    entries: tuple[Entry, ...]
    truncated: bool = False
    """Whether there may be more than are listed."""
    unreadable: int = 0
    """Directories that could not be entered."""


class Walk:
    """One look through a directory tree; iterate over it once, then ask what was left out."""

    def __init__(
        self,
        workspace: Workspace,
        path: str,
        *,
        seconds: float,
        skip: Collection[str] = (),
        max_depth: int = MAX_DEPTH,
        max_seen: int = MAX_SEEN,
    ) -> None:
        self.workspace = workspace
        self.path = path
        self.skip = frozenset(skip)
        self.max_depth = min(max_depth, MAX_DEPTH)
        self.max_seen = max_seen
        self.ends_at = time.monotonic() + seconds
        self.truncated = False
        self.unreadable = 0
        self._seen = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield entries depth first, sorted by name; links are named and never followed."""
        parts = self.workspace.parts(self.path)
        if self.workspace.stat(self.path).kind != "directory":
            raise ToolError(f"The path {self.path!r} is not a directory.")
        deepest = len(parts) + self.max_depth
        stack = [parts]
        while stack:
            inner: list[tuple[str, ...]] = []
            for entry, name in self._entries(stack.pop()):
                if self._seen >= self.max_seen or time.monotonic() > self.ends_at:
                    self.truncated = True
                    return
                self._seen += 1
                yield entry
                if entry.kind != "directory" or name[-1] in self.skip:
                    continue
                if len(name) < deepest:
                    inner.append(name)
                elif self.max_depth == MAX_DEPTH:
                    self.truncated = True
            stack.extend(reversed(inner))

    def _entries(self, parts: tuple[str, ...]) -> list[tuple[Entry, tuple[str, ...]]]:
        try:
            with self.workspace.open_directory("/".join(parts), parts=parts) as directory:
                return self._scan(directory, parts, room=self.max_seen - self._seen + 1)
        except (OSError, ToolError):
            self.unreadable += 1
            return []

    def _scan(self, directory: int, parts: tuple[str, ...], *, room: int) -> list[tuple[Entry, tuple[str, ...]]]:
        found: list[tuple[Entry, tuple[str, ...]]] = []
        with os.scandir(directory) as items:
            for item in items:
                name = (*parts, item.name)
                try:
                    facts = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it went away while we looked
                found.append((build_entry(self.workspace.name(name), facts), name))
                if len(found) >= room:
                    break
        return sorted(found, key=lambda pair: pair[1])


def list_entries(
    workspace: Workspace, path: str, *, pattern: str, recursive: bool, max_entries: int, seconds: float = 10.0
) -> Listing:
    """List what matches a glob; a pattern without `/` is held against names, one with `/` against relative paths."""
    walk = Walk(workspace, path, seconds=seconds, max_depth=MAX_DEPTH if recursive else 1)
    base = workspace.name(workspace.parts(path)).rstrip("/") + "/"
    found: list[Entry] = []
    for entry in walk:
        if not matches_glob(entry.path.removeprefix(base), pattern):
            continue
        if len(found) >= max_entries:
            return Listing(entries=tuple(found), truncated=True, unreadable=walk.unreadable)
        found.append(entry)
    return Listing(entries=tuple(found), truncated=walk.truncated, unreadable=walk.unreadable)


def matches_glob(path: str, pattern: str) -> bool:
    """Tell whether a relative path matches; `*` stays within a name and `**` stands for any number of directories."""
    if "/" not in pattern:
        return fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], pattern)
    globs = pattern.split("/")
    places = _pass_stars({0}, globs)
    for name in path.split("/"):
        kept = {place for place in places if place < len(globs) and globs[place] == "**"}
        moved = {place + 1 for place in places - kept if place < len(globs) and fnmatch.fnmatchcase(name, globs[place])}
        places = _pass_stars(kept | moved, globs)
    return len(globs) in places


def _pass_stars(places: set[int], globs: list[str]) -> set[int]:
    todo = list(places)
    while todo:
        place = todo.pop()
        if place < len(globs) and globs[place] == "**" and place + 1 not in places:
            places.add(place + 1)
            todo.append(place + 1)
    return places
