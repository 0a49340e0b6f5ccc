"""Under which licences do the files of a project stand?"""

from __future__ import annotations

import re

from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.workspace import Workspace

_FILE = re.compile(r"(?i)(?:licen[cs]e|copying|unlicense|notice)(?:[.-][\w.-]{1,40})?")
_TAG = re.compile(r"SPDX-License-Identifier:\s{0,5}([A-Za-z0-9.+() -]{2,120})")
_HEADER = re.compile(r"^\s{0,20}(?:#|//|/?\*|--|;|<!--)\s{0,5}" + _TAG.pattern, re.MULTILINE)
_SOURCES = (".py", ".js", ".ts", ".tsx", ".go", ".rs", ".java", ".kt", ".c", ".h", ".cc", ".cpp", ".rb", ".sh", ".php")
_STRONG = ("AGPL", "GPL", "SSPL", "EUPL", "OSL")
_PERMISSIVE = ("MIT", "BSD", "Apache", "ISC", "Zlib", "Unlicense", "0BSD")
# The most particular first: one licence's words stand in another's text.
_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AGPL-3.0", ("gnu affero general public license", "version 3")),
    ("LGPL-3.0", ("gnu lesser general public license", "version 3")),
    ("LGPL-2.1", ("gnu lesser general public license", "version 2.1")),
    ("GPL-3.0", ("gnu general public license", "version 3")),
    ("GPL-2.0", ("gnu general public license", "version 2")),
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("MPL-2.0", ("mozilla public license", "2.0")),
    ("EPL-2.0", ("eclipse public license", "2.0")),
    ("EUPL-1.2", ("european union public licence", "1.2")),
    ("SSPL-1.0", ("server side public license",)),
    ("BUSL-1.1", ("business source license", "1.1")),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "neither the name")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
    ("ISC", ("permission to use, copy, modify, and/or distribute this software for any purpose",)),
    ("MIT", ("permission is hereby granted, free of charge, to any person obtaining a copy",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("CC-BY-4.0", ("attribution 4.0 international",)),
    ("Zlib", ("this software is provided 'as-is'", "altered source versions")),
)


def name_licence(text: str) -> str:
    """Name the licence that a text is, as SPDX calls it; empty when it is none we know."""
    tag = _TAG.search(text[:5000])
    if tag is not None:
        return tag[1].strip()
    flat = " ".join(text[:40_000].lower().split())
    return next((name for name, words in _WORDS if all(word in flat for word in words)), "")


def scan_licences(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Find the licences of a project: their texts, what its manifests declare, and what the sources say.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("licence_files", "sources", "with_header")
    texts: dict[str, str] = {}
    tags: dict[str, tuple[Source, int]] = {}
    declared: dict[str, tuple[Source, int]] = {}

    def is_wanted(name: str) -> bool:
        last = name.rpartition("/")[2]
        return (
            bool(_FILE.fullmatch(last))
            or name.endswith(_SOURCES)
            or last in ("pyproject.toml", "package.json", "Cargo.toml")
        )

    for source in read_sources(workspace, path, board, wanted=is_wanted):
        last = source.file.rpartition("/")[2]
        if _FILE.fullmatch(last) and not last.endswith(_SOURCES):
            _read_text(source, board, texts)
        elif last in ("pyproject.toml", "package.json", "Cargo.toml"):
            _read_manifest(source, declared)
        else:
            board.count("sources")
            tag = _HEADER.search(source.text[:3000])
            if tag is not None:
                board.count("with_header")
                tags.setdefault(tag[1].strip(), (source, source.text[: tag.start()].count("\n") + 1))
    for name in sorted({*texts, *tags, *declared} - {""}):
        board.item(name)
    _compare(board, texts, tags, declared)
    return board.build(path, most=most)


def _read_text(source: Source, board: Board, texts: dict[str, str]) -> None:
    name = name_licence(source.text)
    is_notice = source.file.rpartition("/")[2].lower().startswith("notice")
    if is_notice and not name:
        return
    board.count("licence_files")
    if not source.text.strip():
        board.find(source, 1, "empty-licence", "high", "the file is empty, so nothing is licensed")
    elif not name:
        board.find(source, 1, "unknown-licence", "medium", "this is no licence we know; a person has to read it")
    if re.search(r"\[(?:yyyy|year|fullname|name of copyright owner)\]|<year>|<copyright holders?>", source.text[:5000]):
        board.find(source, 1, "unfilled-licence", "low", "the year or the owner was not filled in")
    texts.setdefault(name, source.file)


def _read_manifest(source: Source, declared: dict[str, tuple[Source, int]]) -> None:
    pattern = re.compile(
        r"""^\s{0,8}"?license"?\s{0,3}[=:]\s{0,3}(?:\{\s{0,3}text\s{0,3}=\s{0,3})?["']([^"']{2,100})["']"""
    )
    for number, line in enumerate(source.lines, 1):
        match = pattern.match(line[:500])
        if match is not None:
            declared.setdefault(match[1].strip(), (source, number))
            return


def _compare(
    board: Board,
    texts: dict[str, str],
    tags: dict[str, tuple[Source, int]],
    declared: dict[str, tuple[Source, int]],
) -> None:
    known = {name for name in texts if name}
    if board.facts["sources"] and not texts:
        board.note(".", 1, "no-licence", "high", "there are sources and no licence, so nobody may use them")
    for name, (source, line) in declared.items():
        if known and not any(_is_same(name, other) for other in known):
            message = f"`{name}` is declared, and the licence beside it is {', '.join(sorted(known))}"
            board.find(source, line, "differing-licence", "high", message)
    for name, (source, line) in tags.items():
        if known and not any(_is_same(name, other) for other in known):
            message = f"this file says `{name}`, and the project is under {', '.join(sorted(known))}"
            is_strong = name.startswith(_STRONG) and all(other.startswith(_PERMISSIVE) for other in known)
            board.find(source, line, "differing-header", "high" if is_strong else "medium", message)
    share = board.facts["with_header"]
    if share and share < board.facts["sources"]:
        missing = board.facts["sources"] - share
        board.note(
            ".", 1, "missing-headers", "low", f"{missing} of {board.facts['sources']} sources have no SPDX header"
        )


def _is_same(one: str, other: str) -> bool:
    plain = one.removesuffix("-only").removesuffix("-or-later").rstrip("+")
    return plain.lower() == other.lower() or other.lower() in re.split(r"\s+(?:or|and|with)\s+|[()]", one.lower())
