"""When do two answers say the same, and which answer leads among many?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast

import msgspec
from msgspec import Struct

from quorate.codec.json import check_depth
from quorate.council.exhibits import normalize_text
from quorate.errors import InvalidInput

Sameness = Literal["exact", "text", "number", "json"]
"""To the letter; case, white space and a full stop aside; as numbers; as JSON, whatever the order of the fields."""
Read = Callable[[object], str]
"""Makes a key of an answer, equal for those that say the same; raises `ValueError` for what is none."""
MAX_NUMBER = 60
"""How many characters a number may have."""


class Standing(Struct, frozen=True, kw_only=True):
    """Which answer leads."""

    count: int
    """How many give it."""
    rival: int
    """How many give the best other one; as many as `count` where there is a tie."""
    answer: int
    """The place of the sample that speaks for it; -1 where there is none."""
    members: tuple[int, ...]
    """The places of all that give it."""


NOBODY = Standing(count=0, rival=0, answer=-1, members=())
"""Nothing was answered."""


def read_key(output: object, kind: Sameness) -> str | float:
    """Read what makes an answer the same as another one.

    Args:
        output: The answer: text, or what JSON holds.
        kind: What makes two the same.

    Raises:
        InvalidInput: It is no answer of that kind.
    """
    if kind == "number":
        return read_number(output)
    if kind == "json":
        return write_canonical(read_json(output) if isinstance(output, str) else output)
    text = output if isinstance(output, str) else write_canonical(output)
    found = text.strip() if kind == "exact" else normalize_text(text).rstrip(".! ")
    if not found:
        raise InvalidInput("it is empty")
    return found


def read_number(output: object) -> float:
    """Read a number, also from text that is one and nothing else: `1,234.5` is, `about 12` is none.

    Raises:
        InvalidInput: It is no number, or none that is finite.
    """
    if isinstance(output, str):
        output = _parse_number(output)
    if isinstance(output, bool) or not isinstance(output, int | float):
        raise InvalidInput("it is no number")
    try:
        found = float(output)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise InvalidInput("it is no finite number")
    if isinstance(output, int) and int(found) != output:
        raise InvalidInput("it has more digits than numbers are compared by: compare it as text")
    return found


def read_json(text: str) -> object:
    """Read JSON, with or without the fence that models put around it.

    Raises:
        InvalidInput: It is none.
    """
    bare = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        check_depth(bare)
        return cast("object", msgspec.json.decode(bare))
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput("it is no JSON") from error


def write_canonical(value: object) -> str:
    """Write JSON so that equal values are written alike: fields in order, `1.0` as `1`."""
    return msgspec.json.encode(_level(value), order="sorted").decode()


def rank_keys(keys: Sequence[str]) -> Standing:
    """Find the answer that most give, by its key; of a tie, the one that was first to have so many."""
    counted = Counter(keys)
    if not counted:
        return NOBODY
    (best, most), *others = counted.most_common()
    rival = others[0][1] if others else 0
    if rival == most:
        reached = {key: _find_nth(keys, key, most) for key, number in counted.items() if number == most}
        best = min(reached, key=lambda key: reached[key])
    members = tuple(place for place, key in enumerate(keys) if key == best)
    return Standing(count=most, rival=rival, answer=members[0], members=members)


def rank_numbers(values: Sequence[float], tolerance: float) -> Standing:
    """Find the number that most give or nearly give.

    Numbers belong together when all of them lie within one tolerance; a chain of neighbours does not. What speaks for
    them is their middle one, and a rival is whatever leaves that one out, so that a lead means: whoever leads in the
    end is no farther from it than the tolerance.

    Args:
        values: What was given.
        tolerance: How far the least and the greatest of a group may lie from each other.
    """
    if not values:
        return NOBODY
    order = sorted(range(len(values)), key=lambda place: (values[place], place))
    group = _find_window(values, order, tolerance)
    answer = group[(len(group) - 1) // 2]
    below = [place for place in order if values[place] < values[answer]]
    above = [place for place in order if values[place] > values[answer]]
    rival = max(len(_find_window(values, part, tolerance)) for part in (below, above))
    return Standing(count=len(group), rival=rival, answer=answer, members=tuple(sorted(group)))


def _find_window(values: Sequence[float], order: Sequence[int], tolerance: float) -> Sequence[int]:
    """Find the most that lie within one tolerance; of several such, the lowest."""
    best: Sequence[int] = ()
    start = 0
    for end, place in enumerate(order):
        while values[place] - values[order[start]] > tolerance:
            start += 1
        if end + 1 - start > len(best):
            best = order[start : end + 1]
    return best


def _find_nth(keys: Sequence[str], key: str, count: int) -> int:
    return [place for place, one in enumerate(keys) if one == key][count - 1]


def _parse_number(text: str) -> int | float | None:
    text = text.strip().rstrip(".")
    whole, point, rest = text.partition(".")
    bare = (whole.replace(",", "") if _has_thousands(whole) else whole) + point + rest
    if len(bare) > MAX_NUMBER or "_" in bare:
        return None
    try:
        return int(bare) if bare.lstrip("+-").isdecimal() else float(bare)
    except ValueError:
        return None


def _has_thousands(whole: str) -> bool:
    first, *others = whole.lstrip("+-").split(",")
    return bool(others) and 1 <= len(first) <= 3 and all(len(one) == 3 and one.isdigit() for one in others)


def _level(value: object) -> object:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, Mapping):
        return {key: _level(one) for key, one in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list):
        return [_level(one) for one in cast("list[object]", value)]
    return value
