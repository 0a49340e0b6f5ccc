"""How is a repository read by `git` without obeying anything that lies in it?

A repository's own configuration can name programs that `git` then runs: monitors, filters, helpers, signature checkers.
So `git` never sees it. It is given a directory of ours, with a configuration of ours, that only borrows the objects.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from quorate.errors import ToolError
from quorate.tools.builtin.infra.ask import Run, ask
from quorate.tools.threads import run_in_thread
from quorate.tools.workspace import Workspace

MAX_REFS = 20_000
MAX_INDEX_BYTES = 64_000_000
MAX_OUTPUT_BYTES = 16 << 20
MAX_PARENTS = 40
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"refs/(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)|@\{))[\w./@+=#%-]{1,240}")
_CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tbare = {bare}
\tfilemode = true
\tfsmonitor = false
\tuntrackedCache = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
\tquotePath = false
\tcommitGraph = false
\tbigFileThreshold = 16m
\tdeltaBaseCacheLimit = 32m
[gc]
\tauto = 0
[protocol]
\tallow = never
[log]
\tshowSignature = false
[submodule]
\trecurse = false
"""


class View:
    """A repository as `git` may see it."""

    def __init__(self, directory: Path, top: str, inside: str, *, refs: dict[str, str], head: str, run: Run) -> None:
        self.directory = directory
        self.top = top
        """The top of the work tree, as an absolute path."""
        self.inside = inside
        """What was asked for, below the top; empty for all of it."""
        self.refs = refs
        self.head = head
        """What HEAD names: a branch such as `refs/heads/main`, or a commit."""
        self._run = run

    @property
    def branch(self) -> str:
        """The branch that is checked out; empty when it is a bare commit."""
        return self.head.removeprefix("refs/heads/") if self.head.startswith("refs/heads/") else ""

    @property
    def commit(self) -> str:
        """The commit that is checked out.

        Raises:
            ToolError: There is none yet.
        """
        found = self.refs.get(self.head, self.head if _HASH.fullmatch(self.head) else "")
        if not found:
            raise ToolError("The repository has no commit yet; there is nothing to look at.")
        return found

    async def ask(
        self, *words: str, timeout_s: float = 20, max_output_bytes: int = MAX_OUTPUT_BYTES, tree: bool = False
    ) -> str:
        """Run one `git` command and return what it prints.

        Raises:
            ToolError: `git` is not installed, took too long, or refused.
        """
        argv = ["git", "--no-pager", "--no-optional-locks", "--literal-pathspecs", f"--git-dir={self.directory}"]
        if tree:
            argv.append(f"--work-tree={self.top}")
        answer = await ask(self._run, [*argv, *words], timeout_s=timeout_s, max_output_bytes=max_output_bytes)
        if answer.reason:
            said = answer.reason.replace(str(self.directory), "<repository>")
            raise ToolError(f"The repository cannot be read: {said[:400]}")
        return answer.output


class _Place:
    """A directory of ours that goes again, also when whoever wanted it no longer waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_over = False
        self._directory = ""

    def build(self, build: Callable[[Path], View]) -> View:
        with self._lock:
            if self._is_over:
                raise ToolError("The repository was given up before it was opened.")
            self._directory = tempfile.mkdtemp(prefix="quorate-git-")
            return build(Path(self._directory))

    def remove(self) -> None:
        with self._lock:
            self._is_over = True
            if self._directory:
                shutil.rmtree(self._directory, ignore_errors=True)


@asynccontextmanager
async def open_view(workspace: Workspace, path: str, *, run: Run, index: bool = False) -> AsyncGenerator[View]:
    """Open the repository that a path lies in, for reading alone.

    Raises:
        ToolError: There is none, or it borrows from outside the workspace.
    """
    place = _Place()
    try:
        yield await run_in_thread(
            lambda: place.build(lambda directory: _build(workspace, path, directory, run=run, index=index))
        )
    finally:
        await run_in_thread(place.remove)


def _build(workspace: Workspace, path: str, directory: Path, *, run: Run, index: bool) -> View:
    store, top, inside = _find(workspace, path)
    settings = _read(workspace, f"{store}/config", 1_000_000)
    if re.search(r"(?im)^\s*refstorage\s*=\s*reftable", settings):
        raise ToolError("The repository keeps its references in a table, which is not read here.")
    objects = _place(workspace, f"{store}/objects")
    if workspace.root != "/":
        _check_objects(workspace, f"{store}/objects")
    has_sha256 = re.search(r"(?im)^\s*objectformat\s*=\s*sha256", settings) is not None
    config = _CONFIG.format(version=1 if has_sha256 else 0, bare="false" if index else "true")
    (directory / "config").write_text(config + ("[extensions]\n\tobjectFormat = sha256\n" if has_sha256 else ""))
    for place in ("objects/info", "objects/pack", "refs/heads"):
        (directory / place).mkdir(parents=True)
    (directory / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    shallow = _read(workspace, f"{store}/shallow", 1_000_000)
    if shallow:
        (directory / "shallow").write_text(shallow)
    refs = _read_refs(workspace, store)
    (directory / "packed-refs").write_text(
        "# pack-refs with: sorted\n" + "".join(f"{refs[ref]} {ref}\n" for ref in sorted(refs))
    )
    head = _read(workspace, f"{store}/HEAD", 1000).strip().removeprefix("ref: ").strip()
    if not _HASH.fullmatch(head) and not _REF.fullmatch(head):
        raise ToolError("The repository's HEAD names neither a branch nor a commit.")
    (directory / "HEAD").write_text(f"{head}\n" if _HASH.fullmatch(head) else f"ref: {head}\n")
    if index:
        _copy_index(workspace, store, directory)
    return View(directory, top, inside, refs=refs, head=head, run=run)


def _find(workspace: Workspace, path: str) -> tuple[str, str, str]:
    """Find the repository's own directory, the top of its work tree, and the path below the top."""
    parts = workspace.parts(path)
    for count in range(len(parts), max(-1, len(parts) - MAX_PARENTS), -1):
        top = workspace.name(parts[:count])
        inside = "/".join(parts[count:])
        for store in (f"{top}/.git", top):
            try:
                kind = workspace.stat(store).kind
                if kind == "directory" and workspace.stat(f"{store}/HEAD").kind == "file":
                    workspace.stat(f"{store}/objects")
                    return store, os.path.join(workspace.root, *parts[:count]), inside
            except ToolError:
                continue
            if kind == "file" and store != top:
                raise ToolError(
                    f"{store!r} points to a repository elsewhere (a submodule or a second work tree); "
                    "give the main one's path."
                )
    raise ToolError(f"{path!r} lies in no git repository; give a directory that holds `.git`, or one below it.")


def _place(workspace: Workspace, path: str) -> str:
    """Return the absolute path of a directory, looked at without following links."""
    parts = workspace.parts(path)
    with workspace.open_directory(path, parts=parts):
        return os.path.join(workspace.root, *parts)


def _check_objects(workspace: Workspace, store: str) -> None:
    """Refuse objects that lie elsewhere: `git` follows every link, and every place that `alternates` names."""
    stack = [store]
    while stack:
        place = stack.pop()
        with workspace.open_directory(place) as directory, os.scandir(directory) as items:
            for item in items:
                path = f"{place}/{item.name}"
                if item.is_symlink():
                    raise ToolError(f"{path[:300]!r} is a symbolic link, and links are not followed here.")
                # Whatever does not read as empty may name a place, a file that is too large to be read as well.
                if path == f"{store}/info/alternates" and item.stat(follow_symlinks=False).st_size:
                    raise ToolError(
                        "The repository borrows objects from another place, which may lie outside the workspace."
                    )
                if place == store and item.is_dir(follow_symlinks=False):
                    stack.append(path)


def _read(workspace: Workspace, path: str, most: int) -> str:
    try:
        with workspace.open_file(path, max_bytes=most) as stream:
            return stream.read(most).decode("utf-8", "replace")
    except ToolError:
        return ""


def _read_refs(workspace: Workspace, store: str) -> dict[str, str]:
    refs: dict[str, str] = {}
    for line in _read(workspace, f"{store}/packed-refs", 16_000_000).splitlines():
        commit, _, ref = line.partition(" ")
        if _HASH.fullmatch(commit) and _REF.fullmatch(ref) and len(refs) < MAX_REFS:
            refs[ref] = commit
    stack = ["refs/heads", "refs/tags", "refs/remotes"]
    while stack and len(refs) < MAX_REFS:
        place = stack.pop()
        try:
            with workspace.open_directory(f"{store}/{place}") as directory:
                names = sorted(os.listdir(directory))[:MAX_REFS]
        except ToolError:
            continue
        for name in names:
            ref = f"{place}/{name}"
            if workspace.stat(f"{store}/{ref}").kind == "directory" and ref.count("/") < 12:
                stack.append(ref)
            elif _REF.fullmatch(ref):
                commit = _read(workspace, f"{store}/{ref}", 200).strip()
                if _HASH.fullmatch(commit):
                    refs[ref] = commit
    return refs


def _copy_index(workspace: Workspace, store: str, directory: Path) -> None:
    try:
        with workspace.open_file(f"{store}/index", max_bytes=MAX_INDEX_BYTES) as stream:
            (directory / "index").write_bytes(stream.read(MAX_INDEX_BYTES))
    except ToolError as error:
        if "There is no" not in error.message:
            raise


def split_records(output: str, mark: str = "\x1e") -> Sequence[str]:
    """Split what was printed with a mark before each record."""
    return [record for record in output.split(mark) if record.strip("\n\0")]
