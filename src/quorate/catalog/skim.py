"""What do lists, search and routing need of an agent file, had in a tenth of the time of reading it all?

Those keys stand before the first table of the front matter, and are written plainly in nearly every file: then they
differ from JSON in commas alone, which is read in a hundredth of TOML's time. A file that is written otherwise is read
in full.
"""

from __future__ import annotations

import re

import msgspec

from quorate.catalog.body import read_hand_over
from quorate.catalog.definition import AgentEntry
from quorate.catalog.shape import NOT_KEYS
from quorate.catalog.tiers import add_limits
from quorate.catalog.toolsets import expand_tools
from quorate.specs import Limits

_OPENING = "+++\n"
_CLOSING = "\n+++\n"
_TABLE = re.compile(r"^\[", re.MULTILINE)
_KEY = re.compile(r"^([a-z_]+) = ", re.MULTILINE)
_PLAYBOOK = re.compile(r"^\[ *playbook *\]", re.MULTILINE)
_LIMITS = re.compile(r"^\[limits\]\n((?:[^\[\n].*\n|\n)*)", re.MULTILINE)
_ANY_LIMITS = re.compile(r"^\[+ *[\"']?limits", re.MULTILINE)
_LIMIT = re.compile(r"([a-z_]+) = (\d+(?:\.\d+)?)")
_LAST_COMMA = re.compile(r",\s*\]\s*$")
_decode = msgspec.json.Decoder(AgentEntry).decode


def skim(text: str, *, stem: str, path: str) -> AgentEntry | None:
    """Read what an index holds of an agent file that is known to be sound; `None` where it must be read in full.

    Args:
        text: The file.
        stem: The name that its agent must have.
        path: Where it is.
    """
    end = text.find(_CLOSING)
    if not text.startswith(_OPENING) or end < 0:
        return None
    front = text[len(_OPENING) : end + 1]
    table = _TABLE.search(front)
    head = front[: table.start()] if table else front
    # An escape may mean another thing in JSON, and a comment may stand anywhere.
    if "\\" in head or "#" in head:
        return None
    written = _write_json(head)
    if written is None:
        return None
    try:
        entry = _decode(written)
    except msgspec.DecodeError:
        return None
    if entry.name != stem:
        return None
    limits = _read_limits(front, entry.tier)
    if limits is None:
        return None
    up, to = read_hand_over(text[end + len(_CLOSING) :])
    return msgspec.structs.replace(
        entry,
        tools=expand_tools(entry.tools),
        has_playbook=_PLAYBOOK.search(front) is not None,
        limits=limits,
        escalates_to=up,
        hands_off=to,
        source=path,
    )


def _read_limits(front: str, tier: str) -> Limits | None:
    """Read a table of limits; `None` where it is not plain."""
    table = _LIMITS.search(front)
    if table is None:
        return None if _ANY_LIMITS.search(front) else msgspec.convert(add_limits(tier, {}), Limits)
    own: dict[str, object] = {}
    for line in table[1].strip().splitlines():
        found = _LIMIT.fullmatch(line)
        if found is None:
            return None
        own[found[1]] = float(found[2]) if "." in found[2] else int(found[2])
    try:
        return msgspec.convert(add_limits(tier, own), Limits)
    except msgspec.ValidationError:
        return None


def _write_json(head: str) -> str | None:
    """Write plain keys as JSON; `None` where one of them is not plain."""
    places = list(_KEY.finditer(head))
    if not places or head[: places[0].start()].strip():
        return None
    ends = [*(match.start() for match in places[1:]), len(head)]
    parts: list[str] = []
    for match, end in zip(places, ends, strict=True):
        key, value = match[1], head[match.end() : end].strip()
        if key in NOT_KEYS:
            return None
        if value.startswith("["):
            value = _LAST_COMMA.sub("]", value)
        parts.append(f'"{key}":{value}')
    return f"{{{','.join(parts)}}}"
