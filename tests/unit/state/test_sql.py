"""Are the statements and the migrations of the SQL stores whole?"""

import sqlite3
from contextlib import closing

import pytest

from quorate.state.sql import load_migrations, load_queries

pytestmark = pytest.mark.blocking


def test_migrations_are_numbered_without_a_gap() -> None:
    migrations = load_migrations()
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert migrations[0].name == "log"
    assert migrations[0].is_breaking


def test_every_statement_of_a_migration_stands_alone() -> None:
    """A semicolon ends it, comments do not count, and each can be run by itself."""
    for migration in load_migrations():
        assert migration.statements
        for statement in migration.statements:
            assert sqlite3.complete_statement(statement)
            assert statement.count(";") == 1
            assert "--" not in statement


def test_every_query_fits_the_tables() -> None:
    """The migrations together make what the queries speak of."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in load_migrations():
            for statement in migration.statements:
                connection.execute(statement)
        queries = load_queries()
        for query in queries.values():
            values = dict.fromkeys(("before", "limit", "status", "agent"), 1) if ":" in query else (1,) * 11
            width = len(values) if ":" in query else max(query.count("?"), 0)
            connection.execute(f"EXPLAIN {query}", values if ":" in query else (1,) * width)  # type: ignore[operator]
    assert {"insert_event", "save_run", "read_events", "list_runs", "list_runs_by_agent_and_status"} <= set(queries)
