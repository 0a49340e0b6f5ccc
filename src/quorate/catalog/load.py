"""Which agents are there?"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from quorate.catalog.check import Tools, check_file, check_together
from quorate.catalog.definition import AgentDefinition
from quorate.catalog.find import Finder, Match
from quorate.catalog.frontmatter import split_front_matter
from quorate.catalog.route import Route, Router
from quorate.catalog.shape import AgentFile, Fault
from quorate.errors import InvalidFiles, InvalidInput, UnknownName

BUILTIN = Path(__file__).parent / "agents"
"""The directory of the agents that come with the package."""
MOST_BYTES = 256 * 1024
"""The size above which a file is not read."""
MOST_FILES = 5000
MOST_DEPTH = 5


class Catalog:
    """The agents of some directories: a value, so that adding or removing an agent gives another catalog."""

    def __init__(self, definitions: Sequence[AgentDefinition]) -> None:
        self._definitions = {d.name: d for d in sorted(definitions, key=lambda d: d.name)}
        if len(self._definitions) < len(definitions):
            names = [definition.name for definition in definitions]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InvalidInput(f"These agents come twice: {', '.join(twice)}. Give each a name of its own.")

    def __len__(self) -> int:
        return len(self._definitions)

    def __contains__(self, name: object) -> bool:
        return name in self._definitions

    def __iter__(self) -> Iterator[AgentDefinition]:
        return iter(self._definitions.values())

    def names(self) -> tuple[str, ...]:
        """List the agents' names, sorted."""
        return tuple(self._definitions)

    def get(self, name: str) -> AgentDefinition:
        """Return an agent's definition.

        Raises:
            UnknownName: There is none of that name; the nearest is suggested.
        """
        if name not in self._definitions:
            raise UnknownName("agent", name, self._definitions, "`quorate agents list` shows all.")
        return self._definitions[name]

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
    ) -> tuple[AgentDefinition, ...]:
        """Return the agents with some properties, by name; all agents when none is asked for.

        Args:
            tier: Such as `core`.
            domain: Such as `network`.
            tools: What it must be able to call; an agent as `agent:<name>`.
            tags: What it must be marked with.
            match: Whether all of these must hold, or any.
        """
        return tuple(d for d in self if _has(d, tier=tier, domain=domain, tools=tools, tags=tags, match=match))

    def with_agents(self, definitions: Sequence[AgentDefinition]) -> Catalog:
        """Build a catalog with more agents, or with newer definitions of the same names."""
        newer = {definition.name: definition for definition in definitions}
        return Catalog([*(d for d in self if d.name not in newer), *newer.values()])

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
        return Catalog(kept)

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
) -> Catalog:
    """Read all agent files (`*.md`, at any depth) of some directories, and the built-in ones.

    Args:
        directories: Where a user's own agents are.
        tools: The tools there are, or their names alone; without it, tools are not looked up. With the tools
            themselves, the arguments of playbooks' calls are checked too.
        may_replace: Whether a file marked `replaces = true` may stand in for a built-in agent.
        builtin: The directory of built-in agents, whose playbooks were checked before they were shipped; `None` for
            none.

    Raises:
        InvalidFiles: Some do not hold together; every fault of every file is listed.
    """
    faults: list[Fault] = []
    found: list[tuple[AgentFile, AgentDefinition]] = []
    unread: list[str] = []
    roots = dict.fromkeys(os.path.realpath(directory) for directory in directories)
    places = {os.path.realpath(builtin): True} if builtin is not None else {}
    for root, is_builtin in (places | {root: False for root in roots if root not in places}).items():
        for path in _list_files(root, faults):
            file = _read_file(path, builtin=is_builtin, faults=faults)
            if file is None:
                unread.append(_name_stem(path))
                continue
            definition, wrong = check_file(file)
            faults += wrong
            found.append((file, definition))
    faults += check_together(found, tools=tools, may_replace=may_replace, unread=unread)
    if faults:
        raise InvalidFiles("agent files", [str(fault) for fault in sorted(faults)])
    return Catalog(list({definition.name: definition for _, definition in found}.values()))


def _list_files(root: str, faults: list[Fault]) -> list[str]:
    """List a directory's agent files in order; hidden ones and `README.md` are not."""
    if not os.path.isdir(root):
        faults.append(Fault(path=root, line=1, what="there is no such directory; create it, or take it out"))
        return []
    found: list[str] = []
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            faults.append(Fault(path=folder, line=1, what=f"cannot be read: {error.strerror}; mend its permissions"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < MOST_DEPTH:
                    pending.append((entry.path, depth + 1))
                else:
                    faults.append(Fault(path=entry.path, line=1, what=f"deeper than {MOST_DEPTH} folders; move it up"))
            elif entry.name.endswith(".md") and entry.name.lower() != "readme.md":
                if entry.is_symlink() and not _is_inside(entry.path, root):
                    faults.append(Fault(path=entry.path, line=1, what="links out of the directory; copy the file here"))
                else:
                    found.append(entry.path)
            elif entry.is_symlink() and entry.is_dir():
                faults.append(Fault(path=entry.path, line=1, what="is a link to a directory; name that one instead"))
    if len(found) > MOST_FILES:
        faults.append(Fault(path=root, line=1, what=f"has {len(found)} files; at most {MOST_FILES} are read"))
        return []
    return sorted(found)


def _is_inside(path: str, root: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(root, ""))


def _read_file(path: str, *, builtin: bool, faults: list[Fault]) -> AgentFile | None:
    try:
        # Without waiting: a pipe that is called like an agent must not hold the start up.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
            content = opened.read(MOST_BYTES + 1) or b""
        if len(content) > MOST_BYTES:
            raise InvalidInput(f"the file has more than {MOST_BYTES} bytes; shorten it", line=1)
        front = split_front_matter(content.decode("utf-8-sig"))
    except OSError as error:
        what = f"cannot be read: {error.strerror}; mend it, or take it away"
        faults.append(Fault(path=path, line=1, what=what))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        faults.append(Fault(path=path, line=line, what=what))
    except InvalidInput as error:
        line = _context_line(error.context)
        faults.append(Fault(path=path, line=line, what=error.message))
    else:
        return AgentFile(path=path, stem=_name_stem(path), front=front, builtin=builtin)
    return None


def _name_stem(path: str) -> str:
    return os.path.basename(path).removesuffix(".md")


def _context_line(context: Mapping[str, object]) -> int:
    line = context.get("line", 1)
    return line if isinstance(line, int) else 1


def _has(
    definition: AgentDefinition,
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
