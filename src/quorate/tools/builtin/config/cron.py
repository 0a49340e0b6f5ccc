"""What is wrong with a table of cron jobs?"""

from __future__ import annotations

import re

from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.code.secrets import find_secrets
from quorate.tools.workspace import Workspace

_FIELDS: tuple[tuple[str, int, int], ...] = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day of week": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
_WORDS = ("@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_SETTING = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]{0,80})\s*=\s*(.*)")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\$?")
MAX_FIELD_CHARS = 200


def is_crontab(path: str) -> bool:
    """Tell whether a name is one of a table of cron jobs."""
    *places, name = path.split("/")
    return name in ("crontab", "anacrontab") or name.endswith((".cron", ".crontab")) or places[-1:] == ["cron.d"]


def check_cron(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every table of cron jobs.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("jobs")
    for source in read_sources(workspace, path, board, wanted=is_crontab):
        _check(source, board)
    return board.build(path, most=most)


def _check(source: Source, board: Board) -> None:
    has_user = source.file.endswith("etc/crontab") or "cron.d/" in source.file
    settings: dict[str, str] = {}
    seen: dict[str, int] = {}
    for number, line in enumerate(source.lines, 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        setting = _SETTING.fullmatch(bare)
        if setting is not None:
            settings[setting[1]] = setting[2]
            if find_secrets(bare, is_plain=True):
                board.find(source, number, "secret-in-file", "high", f"the value of `{setting[1]}` is a secret")
            continue
        fields = bare.split(None, 1 if bare.startswith("@") else 5)
        schedule = fields[0] if bare.startswith("@") else " ".join(fields[:5])
        if len(fields) < (2 if bare.startswith("@") else 6):
            board.find(
                source, number, "no-command", "high", "there are too few fields: five for the time, and a command"
            )
            continue
        command = fields[-1]
        if has_user:
            user, _, command = command.partition(" ")
            if not _USER.fullmatch(user) or not command.strip():
                board.find(source, number, "no-user", "high", "in this file a user stands before the command")
                continue
        board.count("jobs")
        board.item(command.strip())
        for fault in find_faults(schedule):
            board.find(source, number, "faulty-schedule", "high", fault)
        if bare in seen:
            board.find(source, number, "double-job", "medium", f"line {seen[bare]} says the same")
        seen.setdefault(bare, number)
        _check_command(source, number, schedule, command.strip(), settings, board)
    if source.text and not source.text.endswith("\n"):
        board.find(source, len(source.lines), "no-last-newline", "high", "cron ignores a last line without its end")


def _check_command(
    source: Source, number: int, schedule: str, command: str, settings: dict[str, str], board: Board
) -> None:
    if re.search(r"(?<!\\)%", command):
        board.find(source, number, "percent", "medium", "`%` ends the command here; write `\\%`")
    if find_secrets(command):
        board.find(source, number, "secret-in-file", "critical", "a secret stands in the command")
    first = re.split(r"[\s;&|]", command, maxsplit=1)[0]
    is_found = first.startswith(("/", "$", "~", "[", "(")) or first in ("cd", "test", "exec", "flock", "command", "if")
    if not is_found and "PATH" not in settings:
        board.find(source, number, "relative-command", "low", f"`{first}` is found by cron's own short `PATH` alone")
    if re.search(r">\s?/dev/null\s+2>&1|&>\s?/dev/null", command):
        board.find(source, number, "output-dropped", "medium", "failures leave no trace; keep what it writes to stderr")
    minute = schedule.split(" ")[0]
    if schedule == "* * * * *":
        board.find(source, number, "every-minute", "low", "it starts every minute; is that meant?")
    if minute == "*" and schedule != "* * * * *":
        board.find(source, number, "every-minute", "medium", f"`{schedule}` starts every minute of its hours")
    is_frequent = minute.startswith(("*", "*/")) or minute.count(",") > 3
    if is_frequent and "flock" not in command and "lockfile" not in command:
        board.find(source, number, "no-lock", "low", "a run that takes long meets the next one; use `flock -n`")
    fields = schedule.split(" ")
    if len(fields) == 5 and fields[2] != "*" and fields[4] != "*":
        board.find(source, number, "day-or-weekday", "medium", "it runs on either of the days, not on both at once")


def find_faults(schedule: str) -> list[str]:
    """Say what is wrong with the time of a job; empty when nothing is."""
    if schedule.startswith("@"):
        return [] if schedule.lower() in _WORDS else [f"`{schedule[:40]}` is none of {', '.join(_WORDS)}"]
    fields = schedule.split()
    if len(fields) != 5:
        return [f"a schedule has five fields, not {len(fields)}"]
    faults: list[str] = []
    for text, (name, low, high) in zip(fields, _FIELDS, strict=True):
        fault = _find_fault(text[:MAX_FIELD_CHARS].lower(), name, low, high)
        if fault:
            faults.append(f"{fault} in the field for the {name}")
    return faults


def _find_fault(text: str, name: str, low: int, high: int) -> str:
    for part in text.split(","):
        span, _, step = part.partition("/")
        if "/" in part and not (step.isascii() and step.isdigit() and 0 < int(step) <= high):
            return f"`{part}` has no step from 1 to {high}"
        if span == "*":
            continue
        ends = [_number(end, name) for end in span.split("-")]
        if len(ends) > 2 or any(end is None or not low <= end <= high for end in ends):
            return f"`{part}` is not within {low} to {high}"
        if len(ends) == 2 and (ends[0] or 0) > (ends[1] or 0):
            return f"`{part}` ends before it begins"
    return ""


def _number(text: str, name: str) -> int | None:
    names = _NAMES.get(name, [])
    if text in names:
        return names.index(text) + (name == "month")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else None
