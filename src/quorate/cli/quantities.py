"""How are sizes, times and labels written on the command line?"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from quorate.errors import InvalidInput

UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_labels(given: Sequence[str]) -> dict[str, str]:
    """Read labels written as `key=value`.

    Raises:
        InvalidInput: One has no value.
    """
    labels: dict[str, str] = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise InvalidInput(f"`--label {item}` has no value: write it like `--label kind=report`.")
        labels[key] = value
    return labels


def read_size(text: str) -> int:
    """Read a number of bytes, such as `4096`, `64k` or `5M`.

    Raises:
        InvalidInput: It is not one.
    """
    match = re.fullmatch(r"(\d{1,15})([kmgt]?)b?", text.strip().lower(), re.ASCII)
    if match is None:
        raise InvalidInput(f"{text!r} is not a size: write it like 4096, 64k or 5M.")
    return int(match[1]) * UNITS[match[2]]


def read_duration(text: str) -> float:
    """Read a time such as `90s`, `15m`, `12h` or `7d`.

    Raises:
        InvalidInput: It is not one.
    """
    match = re.fullmatch(r"(\d{1,9})([smhd])", text.strip().lower(), re.ASCII)
    if match is None:
        raise InvalidInput(f"{text!r} is not a time: write it like 90s, 15m, 12h or 7d.")
    return float(int(match[1]) * SECONDS[match[2]])


def read_time(text: str, *, now: float, ahead: bool) -> float:
    """Read a moment: a date or time of ISO 8601 (UTC unless it says otherwise), or how far it is from now.

    Raises:
        InvalidInput: It is not one.
    """
    if re.fullmatch(r"\d+[smhd]", text.strip().lower(), re.ASCII):
        return now + read_duration(text) * (1 if ahead else -1)
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{text!r} is not a time: write it like 2026-01-31, 2026-01-31T12:00 or 7d.") from error


def show_size(size: float) -> str:
    """Write a number of bytes as people read it."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} GB"


def show_count(count: int, what: str) -> str:
    """Write how many of something there are."""
    return f"{count} {what}{'' if count == 1 else 's'}"
