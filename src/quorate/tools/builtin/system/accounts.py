"""Which accounts has a machine, and is one of them more than it seems?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from quorate.tools.builtin.checks import Board, Checked
from quorate.tools.builtin.host.facts import read_fact

_NO_SHELLS = ("nologin", "false", "sync", "halt", "shutdown", "")
_POWERFUL = ("sudo", "wheel", "admin", "docker", "lxd", "disk", "shadow", "adm", "kvm")
FIRST_PERSON = 1000


def check_accounts(*, most: int, etc: Path = Path("/etc")) -> Checked:
    """Read the accounts and groups of this machine; passwords are not looked at."""
    board = Board("accounts", "with_shell", "people", "groups")
    passwd = read_fact(etc / "passwd")
    if passwd is None:
        board.skipped.append(f"there is no {etc}/passwd to read")
        return board.build("this machine", most=most)
    board.files = 1
    shells = {line.strip() for line in (read_fact(etc / "shells") or "").splitlines() if line.startswith("/")}
    by_id: dict[int, str] = {}
    names: set[str] = set()
    file = str(etc / "passwd")
    for number, line in enumerate(passwd.splitlines(), 1):
        fields = line.split(":")
        if not line.strip() or line.startswith("#"):
            continue
        if len(fields) != 7 or not fields[2].isdigit() or not fields[3].isdigit():
            board.note(file, number, "bad-line", "high", "this line is no account, and what follows may be lost")
            continue
        name, password, identity = fields[0], fields[1], int(fields[2])
        board.count("accounts")
        board.item(name)
        if name in names:
            board.note(file, number, "double-name", "high", f"the name `{name}` comes twice")
        names.add(name)
        if identity == 0 and name != "root":
            board.note(file, number, "second-root", "critical", f"`{name}` has all rights of root")
        elif identity in by_id:
            message = f"`{name}` and `{by_id[identity]}` are the same account to the system ({identity})"
            board.note(file, number, "double-id", "high", message)
        by_id.setdefault(identity, name)
        if password == "":
            board.note(file, number, "no-password", "critical", f"`{name}` may log in without a password")
        elif len(password) > 1:
            board.note(file, number, "open-hash", "high", f"the password's hash of `{name}` can be read by everybody")
        _check_login(file, number, fields, identity, shells, board)
    _check_groups(etc, names, board)
    return board.build("this machine", most=most)


def _check_login(file: str, number: int, fields: list[str], identity: int, shells: set[str], board: Board) -> None:
    name, home, shell = fields[0], fields[5], fields[6]
    board.count("people", int(FIRST_PERSON <= identity < 60_000))
    if os.path.basename(shell) in _NO_SHELLS:
        return
    board.count("with_shell")
    if 0 < identity < FIRST_PERSON:
        board.note(file, number, "system-shell", "medium", f"the system's account `{name}` has a shell", evidence=shell)
    if shells and shell not in shells:
        board.note(
            file, number, "unknown-shell", "low", f"the shell of `{name}` is not in `/etc/shells`", evidence=shell
        )
    try:
        mode = os.stat(home, follow_symlinks=False).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode) and mode & stat.S_IWOTH:
        board.note(file, number, "open-home", "high", f"everybody may write to the home of `{name}`", evidence=home)


def _check_groups(etc: Path, names: set[str], board: Board) -> None:
    file = str(etc / "group")
    for number, line in enumerate((read_fact(file) or "").splitlines(), 1):
        fields = line.split(":")
        if len(fields) != 4:
            continue
        board.count("groups")
        members = [one for one in fields[3].split(",") if one]
        for one in members:
            if one not in names:
                board.note(file, number, "unknown-member", "low", f"`{one}` is in `{fields[0]}` and is no account")
        if fields[0] in _POWERFUL and members:
            message = f"the group `{fields[0]}` is nearly root, and has: {', '.join(members)}"
            board.note(file, number, "powerful-group", "low", message)
