"""Which agent files are in a directory, and what is in each of them?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from quorate.catalog.frontmatter import split_front_matter
from quorate.catalog.shape import AgentFile, Fault
from quorate.errors import InvalidInput

BUILTIN = Path(__file__).parent / "agents"
"""The directory of the agents that come with the package."""
MOST_BYTES = 256 * 1024
"""The size above which a file is not read."""
MOST_FILES = 10_000
MOST_DEPTH = 5


def list_files(root: str, faults: list[Fault], *, most: int = MOST_FILES) -> list[os.DirEntry[str]]:
    """List a directory's agent files in order, none where there are too many; hidden ones and `README.md` are not."""
    if not os.path.isdir(root):
        faults.append(Fault(path=root, line=1, what="there is no such directory; create it, or take it out"))
        return []
    found: list[os.DirEntry[str]] = []
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            faults.append(Fault(path=folder, line=1, what=f"cannot be read: {error.strerror}; mend its permissions"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < MOST_DEPTH:
                    pending.append((entry.path, depth + 1))
                else:
                    faults.append(Fault(path=entry.path, line=1, what=f"deeper than {MOST_DEPTH} folders; move it up"))
            elif entry.name.endswith(".md") and entry.name.lower() != "readme.md":
                if entry.is_symlink() and not _is_inside(entry.path, root):
                    faults.append(Fault(path=entry.path, line=1, what="links out of the directory; copy the file here"))
                else:
                    found.append(entry)
            elif entry.is_symlink() and entry.is_dir():
                faults.append(Fault(path=entry.path, line=1, what="is a link to a directory; name that one instead"))
    if len(found) > most:
        what = f"has {len(found)} files; at most {most} are read, so divide them"
        faults.append(Fault(path=root, line=1, what=what))
        return []
    return sorted(found, key=lambda entry: entry.path)


def read_file(path: str, *, builtin: bool, faults: list[Fault]) -> AgentFile | None:
    """Read and split an agent file; `None`, and a fault, where that cannot be done."""
    content = read_content(path, faults)
    return None if content is None else split_content(path, content, builtin=builtin, faults=faults)


def read_content(path: str, faults: list[Fault]) -> bytes | None:
    """Read an agent file; `None`, and a fault, where that cannot be done."""
    try:
        # Without waiting: a pipe that is called like an agent must not hold the start up.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            content = opened.read(MOST_BYTES + 1) or b""
    except OSError as error:
        faults.append(Fault(path=path, line=1, what=f"cannot be read: {error.strerror}; mend it, or take it away"))
        return None
    if len(content) > MOST_BYTES:
        faults.append(Fault(path=path, line=1, what=f"the file has more than {MOST_BYTES} bytes; shorten it"))
        return None
    return content


def split_content(path: str, content: bytes, *, builtin: bool, faults: list[Fault]) -> AgentFile | None:
    """Split what was read of an agent file; `None`, and a fault, where that cannot be done."""
    try:
        front = split_front_matter(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        faults.append(Fault(path=path, line=line, what=what))
    except InvalidInput as error:
        faults.append(Fault(path=path, line=_context_line(error.context), what=error.message))
    else:
        return AgentFile(path=path, stem=name_stem(path), front=front, builtin=builtin)
    return None


def name_stem(path: str) -> str:
    """Return the name that an agent in a file must have."""
    return os.path.basename(path).removesuffix(".md")


def _is_inside(path: str, root: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(root, ""))


def _context_line(context: Mapping[str, object]) -> int:
    line = context.get("line", 1)
    return line if isinstance(line, int) else 1
