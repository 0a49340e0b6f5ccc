"""Where in a tree of files do secrets stand, told without showing one?"""

from __future__ import annotations

import os
import re

from quorate.tools.builtin.checks import Board, CheckBounds, Checked, read_sources
from quorate.tools.builtin.code.secrets import MAX_LINE_CHARS, entropy_bits, find_secrets
from quorate.tools.workspace import Workspace

BOUNDS = CheckBounds(files=5000, total_bytes=60_000_000, seconds=40.0)
RANDOM_BITS = 4.3
MAX_PER_FILE = 20
_RANDOM = re.compile(r"(?<![A-Za-z0-9+/=_.-])[A-Za-z0-9+/_-]{32,120}={0,2}(?![A-Za-z0-9+/=_.-])")
_NAMED = re.compile(r"(?i)(?:key|secret|token|passw|credential|auth|signature)")
# No line without one of these holds what is looked for: most lines are done with after one look.
_HINT = re.compile(
    r"(?i)passw|pwd|passphrase|secret|token|key|credential|auth|signature|://|-BEGIN|AKIA|ASIA|gh[pousr]_|glpat|sk[-_]|rk_"
    r"|xox|AIza|npm_|pypi-|eyJ"
)
_PASSED_OVER = (
    *(".lock", ".sum", ".svg", ".map", ".min.js", ".min.css", ".csv", ".ipynb", ".po", ".pot"),
    *("package-lock.json", "pnpm-lock.yaml", "yarn.lock", "uv.lock"),
)
_PLAIN = (".env", ".ini", ".cfg", ".conf", ".properties", ".yaml", ".yml", ".toml", ".tfvars", ".txt")


def scan_secrets(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Look for known kinds of keys, for passwords by name, and for text that is too random beside a telling name.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("lines")

    def is_wanted(name: str) -> bool:
        return not name.endswith(_PASSED_OVER)

    for source in read_sources(workspace, path, board, wanted=is_wanted, bounds=BOUNDS):
        is_plain = os.path.splitext(source.file)[1].lower() in _PLAIN or ".env" in source.file
        is_test = "/test" in f"/{source.file}" or "example" in source.file.lower()
        board.count("lines", len(source.lines))
        found = 0
        for number, line in enumerate(source.lines, 1):
            if found >= MAX_PER_FILE:
                board.find(source, number, "many-secrets", "medium", f"more than {MAX_PER_FILE}; the rest was not told")
                break
            if not _HINT.search(line[:MAX_LINE_CHARS]):
                continue
            secrets = find_secrets(line, is_plain=is_plain)
            for one in secrets:
                found += 1
                message = f"{one.kind} stands in the file; revoke it, and keep the next one in a secret store"
                board.find(source, number, "secret", "low" if is_test else one.severity, message)
            if not secrets and _is_random(line[:MAX_LINE_CHARS]):
                found += 1
                message = "a long random text beside a telling name may be a key"
                shown = _RANDOM.sub("***", line[:MAX_LINE_CHARS]).strip()
                board.note(source.file, number, "random-text", "low" if is_test else "medium", message, evidence=shown)
    # "Binary" is no news where every file is looked at.
    board.skipped = [said for said in board.skipped if "is binary" not in said]
    board.items = board.files
    return board.build(path, most=most)


def _is_random(line: str) -> bool:
    if not _NAMED.search(line):
        return False
    return any(
        entropy_bits(text) >= RANDOM_BITS and any(char.isdigit() for char in text) and not _is_hash(text)
        for text in _RANDOM.findall(line)
    )


def _is_hash(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", text) is not None
