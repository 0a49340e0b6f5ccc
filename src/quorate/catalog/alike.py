"""Which names look so much alike that one would be taken for another?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

LEAST_LENGTH = 5
"""Shorter names differ by one letter without being alike."""
_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "3": "e", "-": ""})

_NO_DIGITS = str.maketrans("", "", "0123456789")


def find_alike(names: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield pairs of names that look alike, each with the reason, the later one first.

    Names that are drawn alike (`log-1ist`, `log-list`) are reported in whatever groups they are; those that differ by
    one letter only within a group, since `git-status` of one field is not mistaken for that of another.

    Args:
        names: Names, each with the group it is in.
    """
    drawn: dict[str, str] = {}
    reported: set[tuple[str, str]] = set()
    for name in sorted(names):
        other = drawn.setdefault(_draw(name), name)
        if other != name:
            reported.add((name, other))
            yield name, other, "is drawn like"
    for members in _group(names).values():
        for name, other in sorted(_find_near(sorted(members))):
            if (name, other) not in reported:
                yield name, other, "differs by one letter from"


def is_near(one: str, other: str) -> bool:
    """Whether two words differ by one letter: put in, left out, changed, or two of them swapped."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    left, right = one[start:], other[start:]
    if len(left) == len(right):
        return left[1:] == right[1:] or (left[:2] == right[:2][::-1] and left[2:] == right[2:])
    longer, shorter = (left, right) if len(left) > len(right) else (right, left)
    return longer[1:] == shorter


def _is_series(one: str, other: str) -> bool:
    """Whether they differ in their numbers alone, as `step-1` and `step-2` do on purpose."""
    return one.translate(_NO_DIGITS) == other.translate(_NO_DIGITS)


def _draw(name: str) -> str:
    return name.replace("rn", "m").replace("vv", "w").translate(_ALIKE)


def _group(names: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, group in names.items():
        if len(name) >= LEAST_LENGTH:
            groups.setdefault(group, []).append(name)
    return groups


def _find_near(names: Iterable[str]) -> set[tuple[str, str]]:
    """Find pairs by the words that leaving one letter out gives, so that not every pair is compared."""
    near: set[tuple[str, str]] = set()
    buckets: dict[str, list[str]] = {}
    for name in names:
        for key in {name, *(name[:at] + name[at + 1 :] for at in range(len(name)))}:
            others = buckets.setdefault(key, [])
            near.update((name, other) for other in others if is_near(name, other) and not _is_series(name, other))
            others.append(name)
    return near
