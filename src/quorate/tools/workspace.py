"""Which files may a tool touch, and how are they opened so that no name leads outside?

Every name is split into components and opened one by one, each relative to the directory opened before it and without
following links. A link that is swapped in between two steps is therefore met by the kernel and refused, not followed.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import functools
import os
import stat
from collections.abc import Generator, Sequence
from typing import BinaryIO, Literal

from msgspec import Struct

from quorate.errors import ToolError

MAX_PATH_CHARS = 4096
MAX_NAME_BYTES = 255
DENIED_NAMES = (
    *(".env", ".git-credentials", ".netrc", ".pgpass", ".ssh"),
    *("*.key", "*.p12", "*.pfx"),
    *("id_dsa", "id_ecdsa", "id_ed25519", "id_rsa"),
    *("shadow", "shadow-", "gshadow", "gshadow-"),
)
"""Names that hold credentials on almost every machine; refused unless a workspace says otherwise."""

Kind = Literal["file", "directory", "link", "other"]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry(Struct, frozen=True, kw_only=True):
    """What a name in a workspace stands for."""

    path: str
    """A name that the workspace accepts again."""
    kind: Kind
    size_bytes: int = 0
    modified_s: float = 0.0
    """Unix seconds of the last change."""
    mode: str = ""
    """Permissions as `ls` prints them, such as `-rw-r--r--`."""


def split_path(path: str) -> tuple[str, ...]:
    """Split a relative name into components; `.` and repeated slashes vanish.

    Raises:
        ToolError: The name is absolute, climbs with `..`, is over-long, or holds a control character.
    """
    if len(path) > MAX_PATH_CHARS:
        raise ToolError(f"The path is {len(path)} characters long; at most {MAX_PATH_CHARS} are allowed.")
    if any(ord(char) < 32 or ord(char) == 127 for char in path):
        raise ToolError(f"The path {path!r} holds a control character.")
    if path.startswith(("/", "~")):
        raise ToolError(f"The path {path!r} is absolute; give one relative to the workspace.")
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    for part in parts:
        if part == "..":
            raise ToolError(f"The path {path!r} climbs with `..`; give one that stays in the workspace.")
        if len(part.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
            raise ToolError(f"A name in the path is longer than {MAX_NAME_BYTES} bytes.")
    return parts


class Workspace:
    """A directory that tools are confined to.

    `extensions` names the only suffixes allowed (`".log"`, and `""` for none); `denied` holds patterns of names refused
    at any depth. With `links="inside"` a link whose target lies in the workspace is resolved first and then opened
    without following anything; the default refuses links. `absolute` accepts absolute names that lie below the root.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        writable: bool = False,
        max_file_bytes: int = 10_000_000,
        extensions: Sequence[str] | None = None,
        denied: Sequence[str] = DENIED_NAMES,
        links: Literal["refuse", "inside"] = "refuse",
        absolute: bool = False,
        start: str | os.PathLike[str] = "",
    ) -> None:
        self._given_root = root
        self.writable = writable
        self.max_file_bytes = max_file_bytes
        self.extensions = None if extensions is None else frozenset(suffix.lower() for suffix in extensions)
        self.denied = tuple(denied)
        self.links = links
        self.absolute = absolute
        self.start = split_path(os.fspath(start).lstrip("/"))
        """Where relative names begin, below the root; anything but the root itself needs `absolute`."""

    @functools.cached_property
    def root(self) -> str:
        """The directory itself, as an absolute path without links; looked up when it is first needed."""
        return os.path.realpath(self._given_root)

    def parts(self, path: str) -> tuple[str, ...]:
        """Turn a name that a model or a person gave into components below the root.

        Raises:
            ToolError: The name may not be used here; the message says why.
        """
        parts = self._lexical(path)
        if self.links == "inside":
            parts = self._resolve(path, parts)
        for part in parts:
            if any(fnmatch.fnmatchcase(part.lower(), pattern) for pattern in self.denied):
                raise ToolError(f"The path {path!r} is refused: {part!r} is a name that holds credentials.")
        return parts

    def name(self, parts: Sequence[str]) -> str:
        """Name components below the root as `parts()` accepts them again."""
        if tuple(parts[: len(self.start)]) == self.start:
            return "/".join(parts[len(self.start) :]) or "."
        return os.path.join(self.root, *parts)

    def check_extension(self, path: str) -> None:
        """Refuse a file whose suffix is not among the allowed.

        Raises:
            ToolError: The suffix is not allowed; the message lists those that are.
        """
        if not self.allows(path):
            allowed = ", ".join(sorted(self.extensions or ()))
            raise ToolError(f"The file {path!r} has a suffix that is not allowed here. Allowed: {allowed}.")

    def allows(self, path: str) -> bool:
        """Tell whether the suffix of a name is among the allowed."""
        return self.extensions is None or os.path.splitext(path)[1].lower() in self.extensions

    @contextlib.contextmanager
    def open_file(self, path: str, *, max_bytes: int | None = None) -> Generator[BinaryIO, None, None]:
        """Open a regular file for reading, as long as it is not larger than `max_bytes` (the workspace's by default).

        Raises:
            ToolError: The name is refused, missing, not a regular file, or too large.
        """
        limit = self.max_file_bytes if max_bytes is None else max_bytes
        parts = self.parts(path)
        self.check_extension(path)
        if not parts:
            raise ToolError("A file name is needed, and this is the workspace itself.")
        with self.open_directory("/".join(parts[:-1]), parts=parts[:-1]) as directory:
            descriptor = _open_regular(path, parts[-1], directory)
            with open(descriptor, "rb") as stream:
                size = os.fstat(descriptor).st_size
                if size > limit:
                    raise ToolError(f"The file {path!r} has {size} bytes; at most {limit} are allowed.")
                yield stream

    @contextlib.contextmanager
    def open_directory(self, path: str, *, parts: tuple[str, ...] | None = None) -> Generator[int, None, None]:
        """Open a directory and give its descriptor; `parts` are components that `parts()` has already checked.

        Raises:
            ToolError: A component is missing, a link, or not a directory.
        """
        names = self.parts(path) if parts is None else parts
        descriptor = _open_at(self.root, self.root, directory=None, flags=_DIRECTORY)
        try:
            for name in names:
                inner = _open_at(path, name, directory=descriptor, flags=_DIRECTORY)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def stat(self, path: str) -> Entry:
        """Describe what a name stands for, without following a link at its end.

        Raises:
            ToolError: The name is refused or there is nothing.
        """
        parts = self.parts(path)
        with self.open_directory(path, parts=parts[:-1]) as directory:
            if not parts:
                return build_entry(self.name(()), os.fstat(directory))
            try:
                return build_entry(self.name(parts), os.lstat(parts[-1], dir_fd=directory))
            except OSError as error:
                raise _explain(path, error) from error

    def write(self, path: str, data: bytes, *, overwrite: bool = True) -> Entry:
        """Put `data` in place of a file in one step: readers see the old content or the new, never a part.

        The directory must exist. The content is on the disk when this returns.

        Raises:
            ToolError: The workspace is read-only, the name is refused, or the data is too large.
        """
        if not self.writable:
            raise ToolError("This workspace is read-only.")
        if len(data) > self.max_file_bytes:
            raise ToolError(f"The content has {len(data)} bytes; at most {self.max_file_bytes} are allowed.")
        parts = self.parts(path)
        self.check_extension(path)
        if not parts:
            raise ToolError("A file name is needed, and this is the workspace itself.")
        with self.open_directory(path, parts=parts[:-1]) as directory:
            _check_replaceable(path, parts[-1], directory=directory, overwrite=overwrite)
            try:
                _replace(parts[-1], data, directory=directory)
            except OSError as error:
                raise _explain(path, error) from error
            return build_entry(self.name(parts), os.lstat(parts[-1], dir_fd=directory))

    def _lexical(self, path: str) -> tuple[str, ...]:
        if not (self.absolute and path.startswith("/")):
            return (*self.start, *split_path(path))
        parts = split_path(path.lstrip("/"))
        root = tuple(part for part in self.root.split("/") if part)
        if parts[: len(root)] != root:
            raise ToolError(f"The path {path!r} lies outside the workspace.")
        return parts[len(root) :]

    def _resolve(self, path: str, parts: tuple[str, ...]) -> tuple[str, ...]:
        real = os.path.realpath(os.path.join(self.root, *parts))
        if os.path.commonpath([real, self.root]) != self.root:
            raise ToolError(f"The path {path!r} leads through a link to a place outside the workspace.")
        return tuple(part for part in os.path.relpath(real, self.root).split("/") if part != ".")


def build_local_workspace(start: str | os.PathLike[str]) -> Workspace:
    """Build what the operator at the command line may read: the whole machine, from `start` on (absolute)."""
    return Workspace("/", links="inside", absolute=True, start=start, max_file_bytes=50_000_000)


def build_entry(path: str, facts: os.stat_result) -> Entry:
    """Describe a file from what `stat` said."""
    kind: Kind = "other"
    if stat.S_ISREG(facts.st_mode):
        kind = "file"
    elif stat.S_ISDIR(facts.st_mode):
        kind = "directory"
    elif stat.S_ISLNK(facts.st_mode):
        kind = "link"
    return Entry(
        # A name that is no UTF-8 is shown with replacement characters, since results travel as JSON.
        path=path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        kind=kind,
        size_bytes=facts.st_size,
        modified_s=facts.st_mtime,
        mode=stat.filemode(facts.st_mode),
    )


def _open_regular(path: str, name: str, directory: int) -> int:
    try:
        # Looked at before it is opened, because opening a device or a FIFO can already have an effect.
        mode = os.lstat(name, dir_fd=directory).st_mode
    except OSError as error:
        raise _explain(path, error) from error
    if not stat.S_ISREG(mode):
        raise _irregular(path, mode)
    descriptor = _open_at(path, name, directory=directory, flags=_READ)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _irregular(path, mode)
    return descriptor


def _open_at(path: str, name: str, *, directory: int | None, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=directory)
    except OSError as error:
        raise _explain(path, error, name=name, directory=directory) from error


def _check_replaceable(path: str, name: str, *, directory: int, overwrite: bool) -> None:
    try:
        mode = os.lstat(name, dir_fd=directory).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise _irregular(path, mode)
    if not overwrite:
        raise ToolError(f"The file {path!r} exists already.")


def _replace(name: str, data: bytes, *, directory: int) -> None:
    temporary = f".{name[:200]}.{os.urandom(6).hex()}.part"
    descriptor = os.open(temporary, _CREATE, 0o644, dir_fd=directory)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise


def _irregular(path: str, mode: int) -> ToolError:
    if stat.S_ISLNK(mode):
        return ToolError(f"The path {path!r} is a symbolic link, and links are not followed here.")
    if stat.S_ISDIR(mode):
        return ToolError(f"The path {path!r} is a directory, not a file.")
    return ToolError(f"The path {path!r} is a device, socket or FIFO, not a regular file.")


def _explain(path: str, error: OSError, *, name: str = "", directory: int | None = None) -> ToolError:
    is_link = error.errno == errno.ELOOP
    if error.errno == errno.ENOTDIR and directory is not None:
        # With O_DIRECTORY the kernel says "not a directory" of a link as well.
        with contextlib.suppress(OSError):
            is_link = stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode)
    if is_link:
        return ToolError(f"The path {path!r} leads through a symbolic link, and links are not followed here.")
    if error.errno == errno.ENOENT:
        return ToolError(f"There is no {path!r} in the workspace.")
    return ToolError(f"The path {path!r} cannot be used: {os.strerror(error.errno or 0)}.")
