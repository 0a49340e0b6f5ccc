"""Are a project's dependencies fixed, single, from where they should be, and bound to a hash?"""

from __future__ import annotations

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, CheckBounds, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.project.packages import Package, find_reader
from quorate.tools.workspace import Workspace

BOUNDS = CheckBounds(files=500, file_bytes=10_000_000, total_bytes=60_000_000)
_STRONG = ("AGPL", "GPL", "SSPL", "BUSL")
_LOCKS = {
    "pyproject.toml": ("uv.lock", "poetry.lock", "pdm.lock"),
    "package.json": ("package-lock.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock"),
    "Cargo.toml": ("Cargo.lock",),
    "go.mod": ("go.sum",),
}


def check_dependencies(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check manifests and lock files; nothing is asked of any registry.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("manifests", "locks", "packages", "direct")
    found: dict[str, tuple[Source, list[Package]]] = {}
    for source in read_sources(
        workspace, path, board, wanted=lambda name: find_reader(name) is not None, bounds=BOUNDS
    ):
        reader = find_reader(source.file)
        if reader is None:
            raise ToolError(f"{source.file!r} is no manifest or lock file that is known here.")
        read, is_lock = reader
        board.count("locks" if is_lock else "manifests")
        try:
            packages = list(read(source))
        except ToolError as error:
            board.find(source, 1, "not-readable", "high", error.message)
            continue
        found[source.file] = (source, packages)
        board.count("packages", len(packages))
        board.count("direct", sum(one.is_direct for one in packages))
        for one in packages:
            board.item(f"{one.ecosystem}:{one.name}@{one.version}")
        _check_file(source, packages, is_lock=is_lock, board=board)
    for file, (source, packages) in found.items():
        _check_lock(workspace, file, source, packages, board)
    return board.build(path, most=most)


def _check_file(source: Source, packages: list[Package], *, is_lock: bool, board: Board) -> None:
    versions: dict[str, set[str]] = {}
    seen: dict[str, int] = {}
    for one in packages:
        versions.setdefault(one.name, set()).add(one.version)
        if one.source in ("git", "url"):
            where = "a repository" if one.source == "git" else "an address"
            message = f"`{one.name}` comes from {where}, not from its registry"
            board.find(source, one.line, f"from-{one.source}", "medium", message)
        if is_lock:
            if not one.has_hash and not one.source:
                message = f"`{one.name}` {one.version} is bound to no hash"
                board.find(source, one.line, "no-hash", "medium", message)
            if one.licence.startswith(_STRONG):
                message = f"`{one.name}` is under {one.licence}, which asks something of whoever passes it on"
                board.find(source, one.line, "strong-licence", "medium", message)
            continue
        if not one.version.strip("* ") and not one.source:
            message = f"`{one.name}` may be any version, past and future ones"
            board.find(source, one.line, "any-version", "medium", message)
        elif source.file.endswith((".txt", ".in")) and not one.is_pinned and not one.source:
            message = f"`{one.name}` is not fixed to one version ({one.version.strip()})"
            board.find(source, one.line, "not-pinned", "low", message)
        key = f"{one.name}{one.version}"
        if key in seen and source.file.endswith(".txt"):
            board.find(source, one.line, "double", "medium", f"`{one.name}` stands at line {seen[key]} already")
        seen.setdefault(key, one.line)
    if is_lock and not source.file.endswith("go.sum"):
        for name, several in versions.items():
            if len(several) > 1:
                message = f"`{name}` is there in {len(several)} versions: {', '.join(sorted(several))[:150]}"
                line = next((one.line for one in packages if one.name == name), 1)
                board.find(source, line, "several-versions", "low", message)


def _check_lock(workspace: Workspace, file: str, source: Source, packages: list[Package], board: Board) -> None:
    place, _, name = file.rpartition("/")
    locks = _LOCKS.get(name)
    if locks is None or not any(one.is_direct for one in packages):
        return
    # A workspace keeps one lock file at its top, for all of its members.
    parts = place.split("/") if place else []
    for count in range(len(parts), max(-1, len(parts) - 6), -1):
        for lock in locks:
            try:
                workspace.stat("/".join([*parts[:count], lock]) or lock)
            except ToolError:
                continue
            return
    message = f"no lock file ({', '.join(locks)}) fixes what is installed"
    board.find(source, 1, "no-lock-file", "medium", message)
