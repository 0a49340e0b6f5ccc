"""How do our tables come into a PostgreSQL database, and which databases are left alone?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from quorate.errors import InvalidInput, Unavailable
from quorate.state.backends._postgres_lines import Connection, Lines
from quorate.state.sql import Migration, load_migrations, load_queries

OLDEST = 150000
"""PostgreSQL 15, as `server_version_num` counts."""

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)

Look = tuple[int, str, bool, bool, bool]
"""The server's version, its encoding, and whether the schema is there, is ours, and is in use."""


def load_statements() -> Mapping[str, str]:
    """Load the named statements, without comments, the block `now` put in where they tell the time."""
    blocks = {name: _COMMENT.sub("", text).strip() for name, text in load_queries("postgres").items()}
    return {name: text.replace("{now}", blocks["now"]) for name, text in blocks.items()}


def check_schema(schema: str) -> str:
    """Return the name of a schema, or raise `InvalidInput` when it cannot be one."""
    if _SCHEMA.fullmatch(schema) is None or schema.startswith("pg_") or schema in ("public", "information_schema"):
        raise InvalidInput(
            f"schema {schema[:80]!r} cannot be ours: use 1 to 63 of `a-z`, `0-9` and `_`, not beginning with a digit "
            "or `pg_`, and not `public`."
        )
    return schema


async def migrate(lines: Lines, schema: str) -> None:
    """Make the schema what this version needs; several processes may try at the same time.

    Raises:
        InvalidInput: The schema is somebody else's, or a newer version of Quorate wrote it, or the server is too old.
        Forbidden: This user may not make the schema.
        Unavailable: The database cannot be reached.
    """
    migrations = load_migrations("postgres")
    async with lines.borrow(is_write=False) as connection:
        if not await _find_missing(connection, lines, schema=schema, migrations=migrations):
            return
    for migration in migrations:
        async with lines.borrow(is_write=True) as connection, connection.transaction():
            await connection.fetch(lines.statements["lock_schema"], schema)
            # Looked up again: whoever had the lock before may have been quicker.
            if migration in await _find_missing(connection, lines, schema=schema, migrations=migrations):
                await _apply(connection, lines, schema=schema, migration=migration)


async def check_migrated(lines: Lines, schema: str) -> None:
    """Return if the schema is what this version needs.

    Raises:
        Unavailable: It is not any more, or the database cannot be reached.
        InvalidInput: A newer version of Quorate has changed it since.
    """
    async with lines.borrow(is_write=False) as connection:
        missing = await _find_missing(connection, lines, schema=schema, migrations=load_migrations("postgres"))
    if missing:
        raise Unavailable(
            f"schema {schema!r} of database {lines.name!r} lacks {len(missing)} of our migrations: it was replaced or "
            "restored while it was open. Start again, and they are made.",
            name=lines.name,
        )


async def _apply(connection: Connection, lines: Lines, *, schema: str, migration: Migration) -> None:
    # `IF NOT EXISTS` would ask for the right to make schemas even where an administrator has made ours.
    (is_there,) = cast("Sequence[tuple[bool]]", await connection.fetch(lines.statements["has_schema"], schema))[0]
    if not is_there:
        await connection.execute(lines.statements["make_schema"].format(schema=schema))
    for statement in migration.statements:
        await connection.execute(statement)
    facts = (migration.number, migration.name, migration.is_breaking)
    await connection.fetch(lines.statements["note_migration"], *facts)


async def _find_missing(
    connection: Connection, lines: Lines, *, schema: str, migrations: tuple[Migration, ...]
) -> tuple[Migration, ...]:
    look = cast("Sequence[Look]", await connection.fetch(lines.statements["look"], schema))  # the statement's columns
    ((version, encoding, is_there, is_ours, is_used),) = look
    if version < OLDEST:
        raise InvalidInput(
            f"database {lines.name!r} is PostgreSQL {version // 10000}; version {OLDEST // 10000} or later is needed."
        )
    if encoding != "UTF8":
        raise InvalidInput(
            f"database {lines.name!r} is encoded in {encoding}; make one with `createdb --encoding UTF8 --template "
            "template0`, or name another."
        )
    if is_used and not is_ours:
        raise InvalidInput(
            f"schema {schema!r} of database {lines.name!r} belongs to another program; name another schema."
        )
    if not is_there or not is_ours:
        return migrations
    found = await connection.fetch(lines.statements["list_migrations"])
    known = dict(cast("Sequence[tuple[int, bool]]", found))  # the statement's columns
    newest = max((number for number, is_breaking in known.items() if is_breaking), default=0)
    if newest > migrations[-1].number:
        raise InvalidInput(
            f"schema {schema!r} of database {lines.name!r} has version {newest}; this version of Quorate knows "
            f"{migrations[-1].number}. Upgrade Quorate to open it.",
            schema=newest,
        )
    return tuple(migration for migration in migrations if migration.number not in known)
