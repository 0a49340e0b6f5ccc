"""What is wrong with files of environment variables, without showing a value?"""

from __future__ import annotations

import re

from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.code.secrets import entropy_bits, find_secrets
from quorate.tools.workspace import Workspace

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_SECRET_NAME = re.compile(r"(?i)(?:password|passwd|secret|token|api_?key|private_?key|credential)")
_PLACEHOLDER = re.compile(
    r"(?i)|.*(?:change.?me|example|your|placeholder|xxx|<|\$\{|todo|dummy).*|test|secret|password"
)
_SAMPLES = ("example", "sample", "template", "dist")
RANDOM_BITS = 3.5


def is_env_file(path: str) -> bool:
    """Tell whether a name is one of environment variables."""
    name = path.rpartition("/")[2].lower()
    if name.endswith((".py", ".sh", ".ts", ".js")):
        return False
    return name.endswith(".env") or name.startswith((".env", "env."))


def check_env_files(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every file of environment variables; names are shown, values never.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("keys", "secrets")
    read: dict[str, tuple[Source, dict[str, int]]] = {}
    for source in read_sources(workspace, path, board, wanted=is_env_file):
        read[source.file] = (source, _check(source, board))
    _compare(read, board)
    return board.build(path, most=most)


def _is_sample(file: str) -> bool:
    return any(word in file.rpartition("/")[2].lower() for word in _SAMPLES)


def _check(source: Source, board: Board) -> dict[str, int]:
    keys: dict[str, int] = {}
    for number, line in enumerate(source.lines, 1):
        bare = line.strip().removeprefix("export ").strip()
        if not bare or bare.startswith("#"):
            continue
        name, equals, value = bare.partition("=")
        shown = f"{name[:60]}=***" if equals else "***"
        if not equals:
            _note(source, number, board, "no-assignment", "this line sets nothing", shown)
            continue
        if not _NAME.fullmatch(name):
            what = "a shell takes this name for a command" if name != name.strip() else "a shell cannot set this name"
            _note(source, number, board, "bad-name", what, shown)
            continue
        board.count("keys")
        board.item(name)
        if name in keys:
            _note(
                source,
                number,
                board,
                "double-key",
                f"`{name}` is set at line {keys[name]} already; the last counts",
                shown,
            )
        keys.setdefault(name, number)
        _check_value(source, number, name, value.strip(), board)
    return keys


def _check_value(source: Source, number: int, name: str, value: str, board: Board) -> None:
    shown = f"{name}=***"
    quote = value[:1] if value[:1] in "\"'" else ""
    inner = value[1:-1] if quote and len(value) > 1 and value.endswith(quote) else value
    if quote and (len(value) < 2 or not value.endswith(quote)) and " #" not in value:
        _note(source, number, board, "open-quote", f"the quote of `{name}` is not closed", shown)
    if not quote and " " in value and " #" not in value:
        _note(source, number, board, "unquoted", f"the value of `{name}` has spaces and no quotes", shown)
    is_named = _SECRET_NAME.search(name) is not None and not _PLACEHOLDER.fullmatch(inner[:500])
    is_random = len(inner) >= 16 and entropy_bits(inner[:500]) >= RANDOM_BITS and " " not in inner
    if (is_named and (is_random or len(inner) >= 6)) or find_secrets(f"{name}={inner}", is_plain=True):
        board.count("secrets")
        if _is_sample(source.file):
            message = f"`{name}` looks like a real secret, in a file that is meant to be shared"
            board.note(source.file, number, "secret-in-sample", "critical", message, evidence=shown)
        else:
            message = f"`{name}` is a secret; keep this file out of the repository"
            board.note(source.file, number, "secret-in-file", "medium", message, evidence=shown)


def _compare(read: dict[str, tuple[Source, dict[str, int]]], board: Board) -> None:
    samples = {file: keys for file, (_, keys) in read.items() if _is_sample(file)}
    for file, (_, keys) in read.items():
        if file in samples:
            continue
        place = file.rpartition("/")[0]
        for other, expected in samples.items():
            if other.rpartition("/")[0] != place:
                continue
            for name in sorted(expected.keys() - keys.keys()):
                message = f"`{name}` stands in `{other.rpartition('/')[2]}` and not here"
                board.note(file, 1, "missing-key", "medium", message, evidence=f"{name}=")
            for name in sorted(keys.keys() - expected.keys()):
                message = f"`{name}` is not told in `{other.rpartition('/')[2]}`, so others do not know of it"
                board.note(file, keys[name], "undocumented-key", "low", message, evidence=f"{name}=***")


def _note(source: Source, number: int, board: Board, rule: str, message: str, shown: str) -> None:
    board.note(source.file, number, rule, "medium", message, evidence=shown)
