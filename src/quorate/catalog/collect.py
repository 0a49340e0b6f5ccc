"""What do all the files of some directories say, and what is wrong with them?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs

from quorate.catalog.check import Tools, check_file, check_together
from quorate.catalog.definition import AgentDefinition, AgentEntry, Tier
from quorate.catalog.files import MOST_FILES, list_files, name_stem, read_content, split_content
from quorate.catalog.frontmatter import FrontMatter
from quorate.catalog.index import Record, Stamp, build_stamp, get_now_ns, name_index, open_index, shorten, write_index
from quorate.catalog.shape import AgentFile, Fault
from quorate.catalog.skim import skim
from quorate.errors import InvalidFiles

_UNREAD = FrontMatter(toml="", table={}, body="", body_line=1)
"""Stands for what a file says that an index spared us reading."""


class Rules(Struct, frozen=True, kw_only=True):
    """What files may do, and how closely they are looked at."""

    tools: Tools | None = None
    """The tools there are, or their names alone; not looked up when not given."""
    may_replace: bool = False
    """Whether a marked file may stand in for a built-in."""
    thorough: bool = False
    """Whether built-in agents are looked at as closely as others."""
    is_whole: bool = False
    """Whether all files are read in full."""
    tiers: tuple[Tier, ...] | None = None
    """The tiers that agents who are not built in may be of; any when not given."""
    most_files: int = MOST_FILES
    """How many files a directory may have."""
    base: tuple[AgentEntry, ...] = ()
    """Agents that are there already: files may name them, and stand in for them as for built-in ones."""


class Collected(Struct, frozen=True, kw_only=True):
    """What was found."""

    found: tuple[tuple[AgentFile, AgentEntry], ...]
    """The files that could be split, with what they say: whole definitions, or what lists and routing need."""
    faults: tuple[Fault, ...]
    texts: Mapping[str, str] = {}
    """Files that were read and not yet understood in full, by their paths: so an agent is as it was found."""

    def read(self, entry: AgentEntry) -> AgentDefinition:
        """Read the whole definition of an agent that was found; takes and raises what `read_definition_of` does."""
        return read_definition_of(entry, self.texts.get(entry.source))

    @property
    def definitions(self) -> list[tuple[AgentFile, AgentDefinition]]:
        """The files that were read in full, with what they say."""
        return [(file, entry) for file, entry in self.found if isinstance(entry, AgentDefinition)]


def read_definition_of(entry: AgentEntry, text: str | None = None) -> AgentDefinition:
    """Read the whole definition of an agent of which only an entry is known.

    Args:
        entry: What is known.
        text: Its file, where that was read already; it is read now when not given.

    Raises:
        InvalidFiles: Its file has got faults since, or is gone.
    """
    faults: list[Fault] = []
    content = read_content(entry.source, faults) if text is None else text.encode()
    # Whatever it is, it was checked when it was found.
    file = None if content is None else split_content(entry.source, content, builtin=True, faults=faults)
    if file is None:
        raise InvalidFiles("agent files", map(str, faults))
    definition, faults = check_file(file)
    if faults:
        raise InvalidFiles("agent files", [str(fault) for fault in sorted(faults)])
    return definition


def collect(roots: Mapping[str, bool], rules: Rules, *, index: Path | None = None) -> Collected:
    """Read all agent files of some directories and look at them together.

    Args:
        roots: The directories, each with whether it is that of built-in agents.
        rules: What files may do.
        index: The directory of indexes, which spare reading files that are as they were; they are written where they
            are missing or old.
    """
    faults: list[Fault] = []
    found = [(_build_unread(entry, is_builtin=True), entry) for entry in rules.base]
    unread: list[str] = []
    texts: dict[str, str] = {}
    for root, is_builtin in roots.items():
        reading = _Reading(root, is_builtin=is_builtin, folder=index, rules=rules)
        reading.read_all()
        faults += reading.faults
        found += reading.found
        unread += reading.unread
        texts |= reading.texts
    faults += check_together(
        found, tools=rules.tools, may_replace=rules.may_replace, unread=unread, thorough=rules.thorough
    )
    faults += _check_tiers(found, rules.tiers)
    if faults and not rules.is_whole and any(file.front is _UNREAD for file, _ in found[len(rules.base) :]):
        return collect(roots, structs.replace(rules, is_whole=True))  # so that each fault is told with its line
    return Collected(found=tuple(found), faults=tuple(faults), texts=texts)


def _check_tiers(found: Sequence[tuple[AgentFile, AgentEntry]], tiers: tuple[Tier, ...] | None) -> Iterator[Fault]:
    for file, entry in found:
        if tiers is not None and not file.builtin and entry.tier not in tiers:
            allowed = ", ".join(f"`{tier}`" for tier in tiers)
            yield file.fault(f"agents from here may be {allowed}, and this one says {entry.tier!r}; lower it", "tier")


def list_roots(directories: Sequence[Path], builtin: Path | None) -> dict[str, bool]:
    """List the directories to read, the built-in one first, each with whether it is that."""
    places = {os.path.realpath(builtin): True} if builtin is not None else {}
    roots = dict.fromkeys(os.path.realpath(directory) for directory in directories)
    return places | {root: False for root in roots if root not in places}


class _Reading:
    """One directory, as it is gone through."""

    def __init__(self, root: str, *, is_builtin: bool, folder: Path | None, rules: Rules) -> None:
        self.root = root
        self.is_builtin = is_builtin
        self.rules = rules
        self.path = None if folder is None or rules.is_whole else name_index(folder, root, builtin=is_builtin)
        self.index = None if self.path is None else open_index(self.path, root)
        self.faults: list[Fault] = []
        self.found: list[tuple[AgentFile, AgentEntry]] = []
        self.unread: list[str] = []
        self.texts: dict[str, str] = {}
        self._records: dict[str, Record] = {}
        self._is_new = False

    def read_all(self) -> None:
        """Read what the index does not know, and write another where that was anything."""
        now_ns = get_now_ns()
        for entry in list_files(self.root, self.faults, most=self.rules.most_files):
            self._read(entry)
        known = 0 if self.index is None else len(self.index.files)
        if self.path is not None and not self.faults and (self._is_new or known > len(self._records)):
            write_index(self.path, self.root, self._records, written_ns=now_ns)

    def _read(self, listed: os.DirEntry[str]) -> None:
        place, stamp = listed.path[len(self.root) + 1 :], self._look_at(listed)
        known = None if self.index is None or stamp is None else self.index.find(place, stamp)
        if known is None or known.source != listed.path:
            known = self._read_file(listed.path)
            self._is_new = True
        elif self._must_be_whole(known):
            known = self._read_file(listed.path)
        else:
            self._add_unread(known)
        if known is not None and stamp is not None:
            self._records[place] = Record(stamp=stamp, entry=shorten(known))

    def _look_at(self, listed: os.DirEntry[str]) -> Stamp | None:
        if self.path is None:
            return None
        try:
            return build_stamp(listed.stat())
        except OSError:
            return None  # reading it will say why

    def _must_be_whole(self, known: AgentEntry) -> bool:
        """Whether it is needed in full: a user's playbook is checked against the tools that there are now."""
        return known.has_playbook and not self.is_builtin and self.rules.tools is not None

    def _read_file(self, path: str) -> AgentEntry | None:
        content = read_content(path, self.faults)
        if content is not None and self.is_builtin and not self.rules.is_whole and not self.rules.thorough:
            text = content.decode(errors="replace")
            known = skim(text, stem=name_stem(path), path=path)
            if known is not None:
                self.texts[path] = text
                self._add_unread(known)
                return known
        file = None if content is None else split_content(path, content, builtin=self.is_builtin, faults=self.faults)
        if file is None:
            self.unread.append(name_stem(path))
            return None
        definition, wrong = check_file(file, thorough=self.rules.thorough)
        self.faults += wrong
        self.found.append((file, definition))
        return definition

    def _add_unread(self, known: AgentEntry) -> None:
        self.found.append((_build_unread(known, is_builtin=self.is_builtin), known))


def _build_unread(known: AgentEntry, *, is_builtin: bool) -> AgentFile:
    return AgentFile(path=known.source, stem=known.name, front=_UNREAD, builtin=is_builtin)
