"""Which files below a path may be used by more people than they should?"""

from __future__ import annotations

import os
import re

from quorate.tools.builtin.checks import Board, Checked
from quorate.tools.builtin.files.walk import Walk
from quorate.tools.workspace import Workspace

_PRIVATE = re.compile(
    r"(?:id_(?:rsa|dsa|ecdsa|ed25519)|.{1,200}\.(?:key|p12|pfx|kdbx)|.{0,100}key.{0,100}\.pem|\.netrc|\.pgpass|\.env|shadow)"
)
_SKIPPED = ("proc", "sys", "dev", "run")
SECONDS = 20.0


def check_permissions(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Look at the permissions of everything below a path; no file is opened.

    Raises:
        ToolError: The name is refused or missing, or it is no directory.
    """
    board = Board("entries", "directories", "world_writable", "setuid", "setgid", "no_owner")
    accounts, groups = _read_ids("/etc/passwd"), _read_ids("/etc/group")
    walk = Walk(workspace, path, seconds=SECONDS, skip=_SKIPPED)
    for entry in walk:
        board.count("entries")
        board.count("directories", int(entry.kind == "directory"))
        if entry.kind == "link":
            continue
        _check_mode(entry.path, entry.mode, board)
    board.files = board.facts["entries"]
    board.items = board.facts["entries"]
    for owner in _find_strangers(workspace, path, accounts, groups):
        board.count("no_owner")
        board.note(owner, 1, "no-owner", "medium", "it belongs to an account or group that is gone")
    if walk.truncated:
        board.truncated = "there are more entries than can be looked at in the time there is"
    if walk.unreadable:
        board.skipped.append(f"{walk.unreadable} directories could not be entered")
    return board.build(path, most=most)


def _check_mode(path: str, mode: str, board: Board) -> None:
    """Judge permissions as `ls` prints them, such as `drwxrwxrwt`."""
    name = os.path.basename(path)
    is_directory = mode.startswith("d")
    if mode[8] == "w":
        board.count("world_writable")
        if is_directory and mode[9] not in "tT":
            board.note(
                path,
                1,
                "open-directory",
                "high",
                "everybody may put files here, and remove those of others",
                evidence=mode,
            )
        elif not is_directory:
            board.note(path, 1, "open-file", "high", "everybody may change this file", evidence=mode)
    if not is_directory and mode[3] in "sS":
        board.count("setuid")
        severity = "critical" if mode[5] == "w" or mode[8] == "w" else "low"
        board.note(path, 1, "setuid", severity, "whoever starts it has the rights of its owner", evidence=mode)
    if not is_directory and mode[6] in "sS":
        board.count("setgid")
        board.note(path, 1, "setgid", "low", "whoever starts it has the rights of its group", evidence=mode)
    if (
        not is_directory
        and _PRIVATE.fullmatch(name)
        and not name.endswith(".pub")
        and (mode[4] == "r" or mode[7] == "r")
    ):
        severity = "high" if mode[7] == "r" else "medium"
        board.note(
            path,
            1,
            "readable-secret",
            severity,
            "others may read what looks like a private key or password",
            evidence=mode,
        )
    if not is_directory and mode[7:9] == "rw" and mode[9] in "xt":
        board.note(path, 1, "open-program", "critical", "everybody may change this program", evidence=mode)


def _find_strangers(workspace: Workspace, path: str, accounts: set[int], groups: set[int]) -> list[str]:
    """Find what lies directly in the directory and belongs to nobody that is known."""
    if not accounts:
        return []
    found: list[str] = []
    parts = workspace.parts(path)
    with workspace.open_directory(path, parts=parts) as directory, os.scandir(directory) as items:
        for item in items:
            facts = item.stat(follow_symlinks=False)
            if facts.st_uid not in accounts or (groups and facts.st_gid not in groups):
                found.append(workspace.name((*parts, item.name)))
            if len(found) >= 100:
                break
    return sorted(found)


def _read_ids(path: str) -> set[int]:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            rows = [line.split(":") for line in stream.read(1_000_000).splitlines()]
    except OSError:
        return set()
    return {int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}
