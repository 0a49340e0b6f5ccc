"""How do measured values get into a text?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import msgspec

MAX_VALUE = 500
"""Characters of one value in a text."""
PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


def fill_template(template: str, *sources: Mapping[str, object]) -> str:
    """Put values in the place of `{name}`, in one pass; the first source that has a name gives it, else `unknown`."""

    def find(match: re.Match[str]) -> str:
        for source in sources:
            if match[1] in source:
                return format_value(source[match[1]])
        return "unknown"

    return PLACEHOLDER.sub(find, template)


def format_value(value: object) -> str:
    """Write a value for people: numbers with the digits that matter, lists with commas, nothing as `unknown`."""
    if value is None or value == "":
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        size = abs(value)
        digits = 0 if size >= 100 or value.is_integer() else 1 if size >= 10 else 2 if size >= 1 else 3
        return f"{value:.{digits}f}"
    if isinstance(value, str):
        return value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}…"
    if isinstance(value, list | tuple):
        # What a list of JSON holds is of no static type.
        items = list(cast("list[object]", value))
        return ", ".join(map(format_value, items[:20])) + (f" and {len(items) - 20} more" if len(items) > 20 else "")
    return str(value) if isinstance(value, int) else format_value(msgspec.json.encode(value).decode())
