"""Does a project's list of changes tell its versions in order?"""

from __future__ import annotations

import re
from datetime import date

from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.workspace import Workspace

_FILE = re.compile(r"(?i)(?:changelog|changes|history|news|releases)(?:\.(?:md|rst|txt))?")
_HEAD = re.compile(
    r"(?:#{1,3}\s*)?(?:v(?:ersion)?\s*)?\[?v?(?P<version>\d{1,6}(?:\.\d{1,6}){1,3}(?:-?[0-9A-Za-z][0-9A-Za-z.-]{0,30})?)\]?"
    r"(?:\([^)\s]{1,200}\))?(?P<rest>.{0,120})"
)
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_UNRELEASED = re.compile(r"(?i)#{1,3}\s*\[?unreleased\]?.{0,80}")
_KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security", "breaking", "performance", "documentation")


def check_changelog(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check lists of changes: the order of versions and dates, what comes twice, is empty or left out.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("versions", "dated", "unreleased")

    def is_wanted(name: str) -> bool:
        return _FILE.fullmatch(name.rpartition("/")[2]) is not None

    for source in read_sources(workspace, path, board, wanted=is_wanted):
        _check(source, board)
    return board.build(path, most=most)


def _check(source: Source, board: Board) -> None:
    seen: dict[str, int] = {}
    before: tuple[tuple[int, ...], str, date | None] | None = None
    has_entries, last = True, 0
    for number, line in enumerate(source.lines, 1):
        if _UNRELEASED.fullmatch(line[:200].strip()):
            board.count("unreleased")
            continue
        match = _HEAD.fullmatch(line[:300].strip()) if _is_head(source, number, line) else None
        if match is None:
            has_entries = (
                has_entries or line.lstrip().startswith(("-", "*", "+")) or (bool(line.strip()) and "#" not in line)
            )
            continue
        if last and not has_entries:
            board.find(source, last, "empty-version", "low", "nothing is told of this version")
        has_entries, last = False, number
        version = match["version"]
        board.count("versions")
        board.item(version)
        if version in seen:
            board.find(source, number, "double-version", "high", f"`{version}` stands at line {seen[version]} already")
        seen.setdefault(version, number)
        when = _read_date(source, number, match["rest"], board)
        before = _compare(source, number, version, when, before, board)
    if not seen:
        severity = "low" if board.facts["unreleased"] else "high"
        board.find(source, 1, "no-versions", severity, "no version is told, such as `## 1.2.0 - 2026-01-31`")
    elif not board.facts["unreleased"]:
        board.find(source, 1, "no-unreleased", "low", "there is no place for what comes next; add `## Unreleased`")


def _is_head(source: Source, number: int, line: str) -> bool:
    if line.startswith("#"):
        return True
    # In reStructuredText a title is underlined.
    following = source.lines[number].strip() if number < len(source.lines) else ""
    return len(following) >= 3 and set(following) <= set("=-~^") and not line.startswith((" ", "-", "*"))


def _read_date(source: Source, number: int, rest: str, board: Board) -> date | None:
    match = _DATE.search(rest)
    if match is None:
        if "unreleased" not in rest.lower():
            board.find(source, number, "no-date", "low", "no date tells when this came out")
        return None
    try:
        when = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        board.find(source, number, "bad-date", "medium", f"`{match[0]}` is no date")
        return None
    board.count("dated")
    return when


def _compare(
    source: Source,
    number: int,
    version: str,
    when: date | None,
    before: tuple[tuple[int, ...], str, date | None] | None,
    board: Board,
) -> tuple[tuple[int, ...], str, date | None]:
    numbers = tuple(int(part) for part in re.split(r"[^0-9.]", version, maxsplit=1)[0].strip(".").split("."))
    if len(numbers) != 3:
        board.find(source, number, "not-semantic", "low", f"`{version}` is no version of three numbers")
    if before is None:
        return numbers, version, when
    newer, name, newer_when = before
    if numbers > newer:
        board.find(source, number, "wrong-order", "medium", f"`{version}` is newer than `{name}` and stands below it")
    if when is not None and newer_when is not None and when > newer_when:
        board.find(source, number, "wrong-dates", "medium", f"`{version}` is of {when}, after `{name}` of {newer_when}")
    if len(numbers) == len(newer) == 3 and numbers < newer:
        is_gap = newer[0] > numbers[0] + 1 or (newer[0] == numbers[0] and newer[1] > numbers[1] + 1)
        if is_gap:
            board.find(source, number, "left-out", "low", f"between `{version}` and `{name}` a version was left out")
    return numbers, version, when
