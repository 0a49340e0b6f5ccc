"""What is wrong with a Dockerfile?"""

from __future__ import annotations

import os
import re

from msgspec import Struct

from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.code.secrets import find_secrets
from quorate.tools.workspace import Workspace

_INSTRUCTION = re.compile(r"\s*([A-Za-z]{2,20})\s+(.*)", re.DOTALL)
_FROM = re.compile(r"(?:--platform=\S+\s+)?(\S+)(?:\s+[Aa][Ss]\s+(\S+))?")
_SECRET_NAME = re.compile(r"(?i)(?:password|passwd|secret|token|api_?key|private_?key)")
_PIPED = re.compile(r"\b(?:curl|wget)\b[^|;&]{0,300}\|\s{0,5}(?:sudo\s+)?(?:ba|z|da)?sh\b")
_KNOWN = frozenset(
    (
        *("FROM", "RUN", "CMD", "LABEL", "MAINTAINER", "EXPOSE", "ENV", "ADD", "COPY", "ENTRYPOINT", "VOLUME"),
        *("USER", "WORKDIR", "ARG", "ONBUILD", "STOPSIGNAL", "HEALTHCHECK", "SHELL"),
    )
)


class Instruction(Struct, frozen=True, kw_only=True):
    """One instruction with its continued lines joined."""

    line: int
    name: str
    value: str


def is_dockerfile(path: str) -> bool:
    """Tell whether a name is one of a Dockerfile."""
    name = os.path.basename(path).lower()
    return name in ("dockerfile", "containerfile") or name.startswith("dockerfile.") or name.endswith(".dockerfile")


def check_dockerfiles(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every Dockerfile.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("stages", "instructions")
    for source in read_sources(workspace, path, board, wanted=is_dockerfile):
        _check(source, list_instructions(source), board)
    return board.build(path, most=most)


def list_instructions(source: Source) -> list[Instruction]:
    """Read the instructions, with continued lines and here-documents joined to what they belong to."""
    found: list[Instruction] = []
    waiting, began, ends = "", 0, ""
    for number, line in enumerate(source.lines, 1):
        if ends:
            ends = "" if line.strip() == ends else ends
            continue
        if not waiting and (not line.strip() or line.lstrip().startswith("#")):
            continue
        if waiting and line.lstrip().startswith("#"):
            continue
        began = began or number
        continued = line.rstrip().endswith("\\")
        waiting = f"{waiting} {line.rstrip().removesuffix(chr(92))}"[:20_000]
        if continued:
            continue
        match = _INSTRUCTION.fullmatch(waiting)
        if match is not None:
            found.append(Instruction(line=began, name=match[1].upper(), value=match[2].strip()))
            document = re.search(r"<<-?[\"']?([A-Za-z_]{1,40})[\"']?", match[2])
            ends = document[1] if document and match[1].upper() in ("RUN", "COPY") else ""
        waiting, began = "", 0
    return found


def _check(source: Source, instructions: list[Instruction], board: Board) -> None:
    stages: set[str] = set()
    user, has_health, has_command = "", False, False
    board.count("instructions", len(instructions))
    for one in instructions:
        if one.name == "FROM":
            user, has_health, has_command = "", False, False
            _check_base(source, one, stages, board)
        elif one.name == "USER":
            user = one.value.partition(":")[0].strip()
        elif one.name == "HEALTHCHECK":
            has_health = True
        elif one.name in ("CMD", "ENTRYPOINT"):
            has_command = True
            if not one.value.startswith("["):
                message = "this form starts a shell, which does not pass signals on; write it as a JSON list"
                board.find(source, one.line, "shell-form", "low", message)
        else:
            _check_step(source, one, board)
    if not instructions:
        return
    last = instructions[-1].line
    if not stages and not board.items:
        board.find(source, 1, "no-from", "high", "there is no `FROM`, so nothing can be built")
    if user in ("", "root", "0"):
        board.find(source, last, "runs-as-root", "high", "the last stage runs as root; add a `USER` of its own")
    if has_command and not has_health:
        board.find(source, last, "no-healthcheck", "low", "nothing tells whether it works; add a `HEALTHCHECK`")


def _check_base(source: Source, one: Instruction, stages: set[str], board: Board) -> None:
    board.count("stages")
    match = _FROM.match(one.value)
    image, name = (match[1], match[2] or "") if match else (one.value, "")
    if name:
        stages.add(name.lower())
    board.item(image)
    if image.lower() in stages or image == "scratch" or "$" in image or "@sha256:" in image:
        return
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        message = f"`{image}` can be another image tomorrow; name a version, or better a digest"
        board.find(source, one.line, "unpinned-image", "medium", message)
    else:
        message = f"`{image}` names a version that can be pushed again; `@sha256:…` cannot"
        board.find(source, one.line, "no-digest", "low", message)


def _check_step(source: Source, one: Instruction, board: Board) -> None:
    value = one.value
    if one.name not in _KNOWN:
        board.find(source, one.line, "unknown-instruction", "high", f"`{one.name}` is no instruction of a Dockerfile")
    elif one.name in ("ENV", "ARG"):
        name, _, given = value.partition("=") if "=" in value else value.partition(" ")
        is_named = _SECRET_NAME.search(name) is not None and bool(given.strip()) and "$" not in given
        if is_named or find_secrets(value, is_plain=True):
            message = f"`{name.strip()}` stays readable in the image; use a build secret (`RUN --mount=type=secret`)"
            board.note(source.file, one.line, "secret-in-image", "critical", message, evidence=f"{one.name} {name}=***")
    elif one.name == "ADD":
        message = "`ADD` unpacks and downloads; `COPY` does what it says"
        if re.search(r"https?://", value) and "--checksum=" not in value:
            board.find(source, one.line, "add-url", "medium", "what is downloaded is not checked; add `--checksum`")
        elif not re.search(r"\.(?:tar|tgz|gz|xz|bz2)\b|https?://", value):
            board.find(source, one.line, "add-for-copy", "low", message)
    elif one.name == "WORKDIR" and not value.startswith(("/", "$", '"/', "C:")):
        board.find(source, one.line, "relative-workdir", "low", "a relative place depends on the base image")
    elif one.name == "MAINTAINER":
        board.find(source, one.line, "deprecated", "low", "`MAINTAINER` is deprecated; use a `LABEL`")
    elif one.name == "EXPOSE" and re.search(r"(?:^|\s)22(?:/tcp)?(?:\s|$)", value):
        board.find(source, one.line, "exposes-ssh", "medium", "a shell server inside a container is a second way in")
    elif one.name == "RUN":
        _check_run(source, one, board)


def _check_run(source: Source, one: Instruction, board: Board) -> None:
    value = one.value
    if _PIPED.search(value):
        board.find(source, one.line, "pipe-to-shell", "high", "what a server sends is run unseen; check its hash first")
    if re.search(r"\bsudo\b", value):
        board.find(source, one.line, "sudo", "low", "`sudo` is not needed while building, and has rights later")
    if re.search(r"\bchmod\s+(?:-R\s+)?0?777\b", value):
        board.find(source, one.line, "open-permissions", "medium", "everybody may write what this makes")
    if re.search(r"\bapt-get\s+(?:-\S+\s+)*upgrade\b|\bdist-upgrade\b", value):
        board.find(source, one.line, "upgrade", "low", "an upgrade makes every build another; take a newer base image")
    if re.search(r"\bapt(?:-get)?\s+(?:-\S+\s+)*install\b", value):
        if "apt-get update" not in value and "apt update" not in value:
            message = "without `apt-get update` in the same step, an old list from the cache is used"
            board.find(source, one.line, "apt-no-update", "medium", message)
        if "/var/lib/apt/lists" not in value and "--mount=type=cache" not in value:
            board.find(source, one.line, "apt-lists-kept", "low", "remove `/var/lib/apt/lists` in the same step")
    if re.search(r"\bpip3?\s+install\b", value) and "--no-cache-dir" not in value and "--mount=type=cache" not in value:
        board.find(source, one.line, "pip-cache-kept", "low", "add `--no-cache-dir`: the cache makes the image larger")
    if find_secrets(value):
        board.find(source, one.line, "secret-in-image", "critical", "a secret in a step stays readable in the image")
