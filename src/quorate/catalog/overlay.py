"""Which agents are there for somebody who brings more: a tenant, or a package that was installed?

What they bring is trusted less than what the operator wrote: it may not lead others, and it may not stand in for what
is there.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

from quorate.catalog.check import Tools
from quorate.catalog.collect import Rules, collect, list_roots
from quorate.catalog.definition import Tier
from quorate.catalog.load import Catalog
from quorate.errors import InvalidFiles, InvalidInput

GUEST_TIERS: tuple[Tier, ...] = ("specialist", "task", "business")
"""The tiers of agents that others bring: all but those that lead."""
MOST_FILES = 500
"""How many files a directory that somebody brings may have."""
GROUP = "quorate.agents"
"""The entry points by which a package says where its agent files are."""


def overlay_agents(
    base: Catalog,
    directories: Sequence[Path],
    *,
    tools: Tools | None = None,
    may_replace: bool = False,
    tiers: tuple[Tier, ...] | None = GUEST_TIERS,
) -> Catalog:
    """Build a catalog of what is there and of what some directories bring; what is there does not change.

    Their files may name the agents that are there, as tools and to hand over to.

    Args:
        base: What is there.
        directories: Where the other agents are.
        tools: The tools that these may have, or their names alone; not looked up when not given.
        may_replace: Whether a file marked `replaces = true` may stand in for an agent that is there.
        tiers: Of which tiers they may be; of any when `None`.

    Raises:
        InvalidFiles: Some do not hold together; every fault is listed.
    """
    rules = Rules(
        tools=tools, may_replace=may_replace, tiers=tiers, base=tuple(base), is_whole=True, most_files=MOST_FILES
    )
    collected = collect(list_roots(directories, None), rules)
    if collected.faults:
        raise InvalidFiles("agent files", [str(fault) for fault in sorted(collected.faults)])
    more = [entry for file, entry in collected.found if not file.builtin]
    return base.with_agents(more)


def find_packages(names: Sequence[str]) -> list[Path]:
    """Find the directories of agent files of some installed packages, without running any of their code.

    A package names them as entry points of the group `quorate.agents`, each with a dotted path such as
    `acme_agents.files` for the directory `acme_agents/files`.

    Args:
        names: The packages, as they are called where they are installed from.

    Raises:
        InvalidInput: A package is not installed, has no agents, or names anything but a directory of its own.
    """
    found: list[Path] = []
    for name in names:
        try:
            distribution = importlib.metadata.distribution(name)
        except (importlib.metadata.PackageNotFoundError, ValueError) as error:
            raise InvalidInput(f"The package {name!r} is not installed, so it has no agents here.") from error
        points = [point for point in distribution.entry_points if point.group == GROUP]
        if not points:
            raise InvalidInput(f"The package {name!r} has no entry points of the group `{GROUP}`, so it has no agents.")
        top = Path(str(distribution.locate_file(""))).resolve()
        for point in points:
            parts = point.value.split(".")
            place = top.joinpath(*parts).resolve()
            if not all(part.isidentifier() for part in parts) or top not in place.parents or not place.is_dir():
                raise InvalidInput(
                    f"The entry point {point.name!r} of {name!r} names {point.value[:80]!r}, which is no directory of "
                    "that package: agents are data, so it must name one, such as `acme_agents.files`."
                )
            found.append(place)
    return found
