"""What takes the space below a directory?"""

from __future__ import annotations

import heapq
from collections import Counter

from msgspec import Struct

from quorate.tools.builtin.checks import clean
from quorate.tools.builtin.files.walk import Walk
from quorate.tools.workspace import Workspace

SECONDS = 25.0
MAX_DIRECTORIES = 50_000


class LargeFile(Struct, frozen=True, kw_only=True):
    """A file and its size."""

    path: str
    size_bytes: int
    modified_s: float


class DirectorySize(Struct, frozen=True, kw_only=True):
    """What lies at any depth below a directory."""

    path: str
    size_bytes: int
    files: int


class SuffixSize(Struct, frozen=True, kw_only=True):
    """What files with one suffix take."""

    suffix: str
    size_bytes: int
    files: int


class LargeFiles(Struct, frozen=True, kw_only=True):
    """What takes the space, the largest first."""

    path: str
    total_bytes: int
    files: int
    directories: int
    largest: tuple[LargeFile, ...]
    by_directory: tuple[DirectorySize, ...]
    by_suffix: tuple[SuffixSize, ...]
    truncated: bool = False
    unreadable: int = 0
    """Directories that could not be entered."""


def find_large_files(workspace: Workspace, path: str, *, most: int, seconds: float = SECONDS) -> LargeFiles:
    """Add up what lies below a directory; links and other mounts of the kernel are not followed.

    Raises:
        ToolError: The name is refused or missing, or it is no directory.
    """
    walk = Walk(workspace, path, seconds=seconds, skip=("proc", "sys", "dev"))
    heap: list[tuple[int, str, float]] = []
    sizes, counts = Counter[str](), Counter[str]()
    suffixes, suffix_counts = Counter[str](), Counter[str]()
    total = files = directories = 0
    base = workspace.name(workspace.parts(path)).rstrip("/")
    for entry in walk:
        if entry.kind == "directory":
            directories += 1
        if entry.kind != "file":
            continue
        files += 1
        total += entry.size_bytes
        heapq.heappush(heap, (entry.size_bytes, entry.path, entry.modified_s))
        if len(heap) > most:
            heapq.heappop(heap)
        name = entry.path.rpartition("/")[2]
        suffix = f".{name.rpartition('.')[2].lower()[:20]}" if "." in name.lstrip(".") else ""
        suffixes[suffix] += entry.size_bytes
        suffix_counts[suffix] += 1
        place = entry.path.rpartition("/")[0]
        while len(place) > len(base) and (place in sizes or len(sizes) < MAX_DIRECTORIES):
            sizes[place] += entry.size_bytes
            counts[place] += 1
            place = place.rpartition("/")[0]
    return LargeFiles(
        path=path,
        total_bytes=total,
        files=files,
        directories=directories,
        largest=tuple(
            LargeFile(path=clean(name, 1000), size_bytes=size, modified_s=modified)
            for size, name, modified in sorted(heap, key=lambda one: (-one[0], one[1]))
        ),
        by_directory=tuple(
            DirectorySize(path=clean(name, 1000), size_bytes=size, files=counts[name])
            for name, size in sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
        ),
        by_suffix=tuple(
            SuffixSize(suffix=clean(name, 20), size_bytes=size, files=suffix_counts[name])
            for name, size in sorted(suffixes.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
        ),
        truncated=walk.truncated,
        unreadable=walk.unreadable,
    )
