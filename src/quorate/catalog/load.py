"""Which agents are there?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal
from warnings import warn

from quorate.catalog.check import Tools
from quorate.catalog.collect import Rules, collect, list_roots
from quorate.catalog.definition import AGENT_PREFIX, AgentDefinition, AgentEntry
from quorate.catalog.files import BUILTIN
from quorate.catalog.find import Finder, Match
from quorate.catalog.route import Route, Router
from quorate.catalog.shape import Fault
from quorate.errors import InvalidFiles, InvalidInput, UnknownName


class Catalog:
    """The agents of some directories: a value, so that adding or removing an agent gives another catalog."""

    def __init__(
        self, entries: Sequence[AgentEntry], *, read: Callable[[AgentEntry], AgentDefinition] | None = None
    ) -> None:
        """Hold some agents.

        Args:
            entries: The agents: definitions, or what is known of them at once.
            read: Reads the definition of an agent of which only that is known.

        Raises:
            InvalidInput: A name comes twice.
        """
        self._entries = {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}
        self._read = read
        self._definitions: dict[str, AgentDefinition] = {}
        if len(self._entries) < len(entries):
            counts = Counter(entry.name for entry in entries)
            twice = sorted(name for name, count in counts.items() if count > 1)
            raise InvalidInput(f"These agents come twice: {', '.join(twice)}. Give each a name of its own.")

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[AgentEntry]:
        return iter(self._entries.values())

    def names(self) -> tuple[str, ...]:
        """List the agents' names, sorted."""
        return tuple(self._entries)

    def get(self, name: str) -> AgentDefinition:
        """Return an agent's definition; one that is deprecated gives a warning too.

        Raises:
            UnknownName: There is none of that name; the nearest is suggested.
            InvalidFiles: Its file has got faults since the catalog was loaded.
        """
        entry = self.look_at(name)
        if entry.deprecated:
            warn(f"Agent {name!r} is deprecated: {entry.deprecated}", DeprecationWarning, stacklevel=2)
        return self._get(entry)

    def look_at(self, name: str) -> AgentEntry:
        """Return what is known of an agent at once: cheap, and without its instructions.

        Raises:
            UnknownName: There is none of that name; the nearest is suggested.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise UnknownName("agent", name, self._entries, "`quorate agents list` shows all.")
        return entry

    def _get(self, entry: AgentEntry) -> AgentDefinition:
        if isinstance(entry, AgentDefinition):
            return entry
        if entry.name not in self._definitions:
            assert self._read is not None, "entries are read by what found them"
            self._definitions[entry.name] = self._read(entry)
        return self._definitions[entry.name]

    def find(self, text: str, *, limit: int = 10) -> list[Match]:
        """Return the agents that fit a few words, best first, with reasons; none when no word is known."""
        return self._finder.find(text, limit=limit)

    def route(self, task: str) -> Route:
        """Choose the agent a request is for, and say why.

        Raises:
            NoRoute: It is for none of them; the message shows what would match.
        """
        return self._router.route(task)

    def select(
        self,
        *,
        tier: str | None = None,
        domain: str | None = None,
        tools: Collection[str] = (),
        tags: Collection[str] = (),
        match: Literal["all", "any"] = "all",
    ) -> tuple[AgentEntry, ...]:
        """Return the agents with some properties, by name; all agents when none is asked for.

        Args:
            tier: Such as `core`.
            domain: Such as `network`.
            tools: What it must be able to call; an agent as `agent:<name>`.
            tags: What it must be marked with.
            match: Whether all of these must hold, or any.
        """
        return tuple(d for d in self if _has(d, tier=tier, domain=domain, tools=tools, tags=tags, match=match))

    def with_agents(self, definitions: Sequence[AgentEntry]) -> Catalog:
        """Build a catalog with more agents, or with newer definitions of the same names."""
        newer = {definition.name: definition for definition in definitions}
        return Catalog([*(entry for entry in self if entry.name not in newer), *newer.values()], read=self._get)

    def without_agents(self, names: Collection[str]) -> Catalog:
        """Build a catalog without some agents.

        Raises:
            UnknownName: One of them is not there.
            InvalidInput: An agent that stays has one of them as a tool.
        """
        gone = {self.get(name).name for name in names}
        kept = [definition for definition in self if definition.name not in gone]
        for definition in kept:
            if held := sorted(gone.intersection(definition.delegates)):
                raise InvalidInput(
                    f"Agent {definition.name!r} has `agent:{held[0]}` as a tool; remove {definition.name!r} as well."
                )
        return Catalog(kept, read=self._get)

    @cached_property
    def _finder(self) -> Finder:
        return Finder(tuple(self))

    @cached_property
    def _router(self) -> Router:
        return Router(tuple(self))


def load_catalog(
    directories: Sequence[Path] = (),
    *,
    tools: Tools | None = None,
    may_replace: bool = False,
    builtin: Path | None = BUILTIN,
    index: Path | None = None,
) -> Catalog:
    """Read all agent files (`*.md`, at any depth) of some directories, and the built-in ones.

    Args:
        directories: Where a user's own agents are.
        tools: The tools there are, or their names alone; without it, tools are not looked up. With the tools
            themselves, the arguments of playbooks' calls are checked too.
        may_replace: Whether a file marked `replaces = true` may stand in for a built-in agent.
        builtin: The directory of built-in agents, whose playbooks were checked before they were shipped; `None` for
            none.
        index: A directory for what is known of files, so that the next load reads only those that have changed;
            nobody else may be able to write there. `get` then reads an agent's file when it is first wanted, so this
            is for programs that begin often and end soon. Without one, nothing is kept, and all files are read now.

    Raises:
        InvalidFiles: Some do not hold together; every fault of every file is listed.
    """
    rules = Rules(tools=tools, may_replace=may_replace)
    collected = collect(list_roots(directories, builtin), rules, index=index)
    if collected.faults:
        raise InvalidFiles("agent files", [str(fault) for fault in sorted(collected.faults)])
    entries = {entry.name: entry for _, entry in collected.found}
    return Catalog(list(entries.values()), read=collected.read)


def load_sound(
    directories: Sequence[Path] = (),
    *,
    tools: Tools | None = None,
    may_replace: bool = False,
    builtin: Path | None = BUILTIN,
) -> tuple[Catalog, tuple[Fault, ...]]:
    """Load the agents that have no fault, and say what is wrong with the others.

    You would use it where a service must start although somebody broke a file. An agent that has a broken one as a
    tool is broken too. Takes what `load_catalog` takes.
    """
    collected = collect(list_roots(directories, builtin), Rules(tools=tools, may_replace=may_replace, is_whole=True))
    faults, found = list(collected.faults), collected.definitions
    broken = {fault.path for fault in faults}
    while lost := [pair for pair in found if pair[0].path in broken]:
        found = [pair for pair in found if pair[0].path not in broken]
        gone = {definition.name for _, definition in lost} - {definition.name for _, definition in found}
        for file, definition in found:
            if missing := sorted(gone.intersection(definition.delegates)):
                what = f"it asks {missing[0]!r}, whose file has faults; mend that one"
                faults.append(file.fault(what, "tools", containing=AGENT_PREFIX + missing[0]))
                broken.add(file.path)
    sound = {definition.name: definition for _, definition in found}
    return Catalog(list(sound.values())), tuple(sorted(faults))


def _has(
    definition: AgentEntry,
    *,
    tier: str | None,
    domain: str | None,
    tools: Collection[str],
    tags: Collection[str],
    match: Literal["all", "any"],
) -> bool:
    wanted = [tool in definition.tools for tool in tools] + [tag in definition.tags for tag in tags]
    if tier is not None:
        wanted.append(definition.tier == tier)
    if domain is not None:
        wanted.append(definition.domain == domain)
    return all(wanted) if match == "all" or not wanted else any(wanted)
