"""Which tools does the name of a toolset stand for?"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from quorate.catalog.definition import TOOLSET_PREFIX

_TOOLSETS = Path(__file__).parent / "toolsets.toml"


@functools.cache
def load_toolsets() -> Mapping[str, tuple[str, ...]]:
    """Load the toolsets there are, with the names of their tools."""
    return msgspec.convert(tomllib.loads(_TOOLSETS.read_text(encoding="utf-8")), dict[str, tuple[str, ...]])


def expand_tools(names: tuple[str, ...]) -> tuple[str, ...]:
    """Put the tools of sets in the place of the sets' names; a set that there is not stays as it is."""
    if not any(name.startswith(TOOLSET_PREFIX) for name in names):
        return names
    sets = load_toolsets()
    expanded: dict[str, None] = {}
    for name in names:
        members = sets.get(name.removeprefix(TOOLSET_PREFIX)) if name.startswith(TOOLSET_PREFIX) else None
        expanded |= dict.fromkeys(members or (name,))
    return tuple(expanded)
