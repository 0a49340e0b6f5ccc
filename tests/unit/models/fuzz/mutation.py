"""How can good bytes go bad?"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import cast

import msgspec

DEEP = 3_000
MANY = 150
"""More than a reply may ask for."""
ODD: tuple[bytes, ...] = (
    b"null", b"true", b"false", b"0", b"-1", b"7", b"1.5", b"-0.0", b"1e308", b"1e999", b"-1e999",
    b"18446744073709551616", b"-9223372036854775809", b"1" * 400, b"9" * 5_000, b'""', b'"x"', b'"\\u0000"', b'"\\ud800"',
    b'"' + b"A" * 70_000 + b'"', b"[]", b"{}", b"[[]]", b"[null]", b'{"a":1}', b"[7]", b'["x"]', b'[{}]', b"NaN", b"Infinity",
    b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"[" * 100_000, b"'x'", b"\xff", b'"\xed\xa0\x80"',
)  # fmt: skip
"""Values that stand where others are expected, as they are written."""
MARK = "quorate-fuzz-mark"
_encode = msgspec.json.Encoder().encode


def mutate_json(data: bytes, chance: random.Random) -> bytes:
    """Put an odd value somewhere into a JSON document, leave something out of it, or say something twice."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return mutate_bytes(data, chance)
    holders = list(_find_holders(document))
    if not holders:
        return chance.choice(ODD)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        holder, key = chance.choice(holders)
        _change(holder, key, chance)
    return _encode(document).replace(f'"{MARK}"'.encode(), chance.choice(ODD), 4)


def _find_holders(node: object) -> list[tuple[object, object]]:
    """Find every place of a document that holds a value."""
    found: list[tuple[object, object]] = []
    if isinstance(node, dict):
        for key, value in cast("dict[object, object]", node).items():
            found.append((cast("object", node), key))
            found += _find_holders(value)
    elif isinstance(node, list):
        for place, value in enumerate(cast("list[object]", node)):
            found.append((cast("object", node), place))
            found += _find_holders(value)
    return found


def _change(holder: object, key: object, chance: random.Random) -> None:
    how = chance.randrange(6)
    if isinstance(holder, dict):
        found = cast("dict[object, object]", holder)
        if key not in found:
            return
        if how == 0:
            del found[key]
        elif how == 1:
            found[f"{key}_"] = found.pop(key)
        else:
            found[key] = MARK
        return
    rows = cast("list[object]", holder)
    place = cast("int", key)
    if place >= len(rows):
        return
    if how == 0:
        del rows[place]
    elif how == 1:
        rows.append(rows[place])
    elif how == 2:
        rows[:] = rows * (MANY if len(rows) < 3 else 2)
    else:
        rows[place] = MARK


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Cut, spoil, repeat, drop or insert bytes."""
    return chance.choice(_BYTES)(bytearray(data), chance)


def _cut(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data) + 1)])


def _spoil(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        if data:
            data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def _flip(data: bytearray, chance: random.Random) -> bytes:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _repeat(data: bytearray, chance: random.Random) -> bytes:
    start, end = _pick(data, chance)
    return bytes(data[:end] + data[start:end] * chance.choice((1, 2, 50)) + data[end:])


def _drop(data: bytearray, chance: random.Random) -> bytes:
    start, end = _pick(data, chance)
    return bytes(data[:start] + data[end:])


def _insert(data: bytearray, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return bytes(data[:place] + chance.choice((*ODD, b"\n\n", b"\r", b"\x00" * 9, b"data: ")) + data[place:])


def _replace(data: bytearray, chance: random.Random) -> bytes:
    return chance.choice((chance.randbytes(chance.randrange(300)), chance.choice(ODD)))


def _pick(data: bytearray, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.randrange(1, 60))


_BYTES: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    _cut, _spoil, _flip, _repeat, _drop, _insert, _replace,
)  # fmt: skip


def mutate_frames(frames: list[bytes], chance: random.Random) -> list[bytes]:
    """Leave frames out, repeat them, or change their order."""
    changed = list(frames)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if not changed:
            break
        place = chance.randrange(len(changed))
        how = chance.randrange(4)
        if how == 0:
            del changed[place]
        elif how == 1:
            changed.insert(place, changed[place])
        elif how == 2:
            other = chance.randrange(len(changed))
            changed[place], changed[other] = changed[other], changed[place]
        else:
            changed[place:place] = chance.sample(frames, k=min(3, len(frames)))
    return changed
