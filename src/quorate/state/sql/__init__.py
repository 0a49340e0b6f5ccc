"""Which statements do the stores speak, and how did their tables come about?

Each dialect has a folder: queries are named blocks in `queries.sql`, migrations are numbered files in `migrations/`,
forward only.
A migration says `-- deploy: pre` (older versions go on working beside it) or `-- deploy: post` (they are refused).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Literal

from msgspec import Struct

Dialect = Literal["sqlite", "postgres"]
"""Which database a statement is for."""

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_DEPLOY = re.compile(r"^-- deploy: (pre|post)$", re.MULTILINE)


class Migration(Struct, frozen=True, kw_only=True):
    """One step of the schema, applied in one transaction."""

    number: int
    name: str
    statements: tuple[str, ...]
    is_breaking: bool
    """Whether versions that do not know it must no longer write here (`deploy: post`)."""


def load_queries(dialect: Dialect = "sqlite") -> Mapping[str, str]:
    """Load the named statements of a dialect's `queries.sql`."""
    _, *blocks = _NAME.split(files(__name__).joinpath(dialect, "queries.sql").read_text(encoding="utf-8"))
    return {name: _strip(text) for name, text in zip(blocks[::2], blocks[1::2], strict=True)}


def _strip(text: str) -> str:
    """Leave out comments, so that blocks can be put into each other."""
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith("--"))


def load_migrations(dialect: Dialect = "sqlite") -> tuple[Migration, ...]:
    """Load the migrations of a dialect in the order of their numbers, which have no gap."""
    found = sorted(files(__name__).joinpath(dialect, "migrations").iterdir(), key=lambda entry: entry.name)
    migrations = tuple(
        _build_migration(entry.name, entry.read_text(encoding="utf-8"))
        for entry in found
        if entry.name.endswith(".sql")
    )
    assert [m.number for m in migrations] == list(range(1, len(migrations) + 1)), "migrations have a gap"
    return migrations


def _build_migration(filename: str, text: str) -> Migration:
    number, _, name = filename.removesuffix(".sql").partition("_")
    deploy = _DEPLOY.search(text)
    assert deploy is not None, f"{filename} must say `-- deploy: pre` or `-- deploy: post`"
    return Migration(
        number=int(number),
        name=name,
        statements=tuple(_split(text)),
        is_breaking=deploy.group(1) == "post",
    )


def _split(script: str) -> Iterator[str]:
    """Split a script into statements, because `executescript` would commit an open transaction first."""
    statement = ""
    for line in script.splitlines():
        if line.startswith("--") or not line.strip():
            continue
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement, f"a migration ends in the middle of a statement: {statement!r}"
