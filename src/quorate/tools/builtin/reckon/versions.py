"""Which of several versions is newest, and which fit a constraint?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from quorate.errors import ToolError

_VERSION = re.compile(
    r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-?([0-9A-Za-z][0-9A-Za-z.-]{0,60}))?(?:\+[0-9A-Za-z.-]{1,60})?"
)
_TERM = re.compile(r"\s*(\^|~=|~|>=|<=|==|!=|=|>|<)?\s*(v?\d[0-9A-Za-z.+-]{0,80}|\*)\s*")
_Key = tuple[int, int, int, tuple[tuple[int, int, str], ...]]


class VersionGap(Struct, frozen=True, kw_only=True):
    """A step from one version to the next that leaves some out."""

    older: str
    newer: str
    kind: str
    """`major`, `minor` or `patch`."""


class VersionReport(Struct, frozen=True, kw_only=True):
    """Versions in order, by the rules of semantic versioning."""

    ordered: tuple[str, ...]
    """The oldest first."""
    latest: str
    latest_stable: str
    """Without those that come before a release; empty when there is none."""
    invalid: tuple[str, ...]
    matching: tuple[str, ...]
    """Those that fit the constraint, the oldest first."""
    gaps: tuple[VersionGap, ...]


def compare_versions(versions: Sequence[str], constraint: str = "") -> VersionReport:
    """Put versions in order and find those that fit a constraint such as `^1.2`, `~1.2.3`, or `>=1.0,<2.0`.

    Raises:
        ToolError: The constraint cannot be read.
    """
    known = {text: key for text in versions if (key := read_version(text)) is not None}
    ordered = sorted(known, key=lambda text: (known[text], text))
    stable = [text for text in ordered if not known[text][3] or known[text][3][0][0] == 9]
    fits = read_constraint(constraint)
    return VersionReport(
        ordered=tuple(ordered),
        latest=ordered[-1] if ordered else "",
        latest_stable=stable[-1] if stable else "",
        invalid=tuple(text[:100] for text in versions if text not in known),
        matching=tuple(text for text in ordered if all(_fits(known[text], sign, bound) for sign, bound in fits)),
        gaps=tuple(_find_gaps(stable, known)),
    )


def read_version(text: str) -> _Key | None:
    """Read a version so that it can be compared; `None` when it is none."""
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        return None
    before = match[4] or ""
    # A release comes after all that led to it.
    parts = tuple(_read_part(part) for part in before.split(".")) if before else ((9, 0, ""),)
    return int(match[1]), int(match[2] or 0), int(match[3] or 0), parts


def _read_part(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isascii() and part.isdigit() and len(part) < 19 else (1, 0, part)


def read_constraint(text: str) -> list[tuple[str, _Key]]:
    """Read a constraint into bounds that must all hold.

    Raises:
        ToolError: It cannot be read.
    """
    bounds: list[tuple[str, _Key]] = []
    for term in re.split(r",|\s+(?=[\^~<>=!])", text.strip()):
        if not term.strip() or term.strip() == "*":
            continue
        match = _TERM.fullmatch(term)
        key = read_version(match[2]) if match is not None and match[2] != "*" else None
        if match is None or key is None:
            raise ToolError(
                f"{term.strip()[:60]!r} is no constraint; write one such as `^1.2`, `~=1.4` or `>=1.0,<2.0`."
            )
        sign, count = match[1] or "==", match[2].split("-")[0].count(".")
        if sign in ("^", "~", "~="):
            bounds += [(">=", key), ("<", _ceiling(key, sign, count))]
        else:
            bounds.append((sign.replace("=", "==") if sign == "=" else sign, key))
    return bounds


def _ceiling(key: _Key, sign: str, dots: int) -> _Key:
    major, minor, patch, _ = key
    least = ((-1, 0, ""),)
    if sign == "^":
        if major or dots == 0:
            return major + 1, 0, 0, least
        return (0, minor + 1, 0, least) if minor or dots == 1 else (0, 0, patch + 1, least)
    if (sign == "~=" and dots < 2) or dots == 0:
        return major + 1, 0, 0, least
    return major, minor + 1, 0, least


def _fits(key: _Key, sign: str, bound: _Key) -> bool:
    return {
        "==": key == bound,
        "!=": key != bound,
        ">=": key >= bound,
        "<=": key <= bound,
        ">": key > bound,
        "<": key < bound,
    }[sign]


def _find_gaps(ordered: Sequence[str], known: dict[str, _Key]) -> list[VersionGap]:
    gaps: list[VersionGap] = []
    for older, newer in pairwise(ordered):
        (a, b, c, _), (x, y, z, _) = known[older], known[newer]
        kind = (
            "major"
            if x > a + 1
            else "minor"
            if x == a and y > b + 1
            else "patch"
            if (x, y) == (a, b) and z > c + 1
            else ""
        )
        if kind:
            gaps.append(VersionGap(older=older, newer=newer, kind=kind))
    return gaps[:100]
