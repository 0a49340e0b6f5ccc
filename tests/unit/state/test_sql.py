"""Are the statements and the migrations of the SQL stores whole?"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations
from typing import get_args

import pytest

from quorate.ports import RunOrder
from quorate.state.backends._sqlite_list import build_query
from quorate.state.backends._sqlite_read import load_statements
from quorate.state.sql import Dialect, load_migrations, load_queries

pytestmark = pytest.mark.blocking

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
FILTERS = ("status", "agent", "session", "tenant")
PARTS = re.compile(r"(run_columns|any|one|page|order)(_\w+)?|list_runs")
"""Blocks that are put together, and are no statements by themselves."""


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """All tables, and nothing in them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in load_migrations("sqlite"):
            for statement in migration.statements:
                connection.execute(statement)
        yield connection


@pytest.mark.parametrize("dialect", DIALECTS)
def test_migrations_are_numbered_without_a_gap(dialect: Dialect) -> None:
    migrations = load_migrations(dialect)
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert migrations[0].is_breaking


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_statement_of_a_migration_stands_alone(dialect: Dialect) -> None:
    """A semicolon ends it, comments do not count, and each can be run by itself."""
    for migration in load_migrations(dialect):
        assert migration.statements
        for statement in migration.statements:
            assert sqlite3.complete_statement(statement)
            assert statement.count(";") == 1
            assert "--" not in statement


@pytest.mark.parametrize("dialect", DIALECTS)
def test_queries_hold_no_comments(dialect: Dialect) -> None:
    """So that blocks can be put into each other."""
    for name, query in load_queries(dialect).items():
        assert query, name
        assert "--" not in query, name


def list_queries() -> list[str]:
    """Every statement that lists runs: all filters together, all orders, first page and later ones."""
    statements = load_statements()
    return [
        build_query(statements, given=set(given), order=order, is_paged=is_paged, is_open=is_open)
        for count in range(len(FILTERS) + 1)
        for given in combinations(FILTERS, count)
        for order in get_args(RunOrder)
        for is_open in ((True, False) if "status" in given else (False,))
        for is_paged in ((True, False) if order == "updated" else (True,))
    ]


def bind(query: str) -> object:
    """Build values for every place in a statement."""
    named = re.findall(r":(\w+)", query)
    numbered = [int(number) for number in re.findall(r"\?(\d+)", query)]
    return dict.fromkeys(named, 1) if named else (1,) * max([query.count("?") if not numbered else 0, *numbered])


def test_every_statement_fits_the_tables(database: sqlite3.Connection) -> None:
    """The migrations together make what the statements speak of."""
    whole = [query for name, query in load_statements().items() if PARTS.fullmatch(name) is None]
    assert len(whole) > 30
    for query in [*whole, *list_queries()]:
        assert "{" not in query
        database.execute(f"EXPLAIN {query}", bind(query))  # type: ignore[arg-type]


def test_every_question_is_answered_by_an_index(database: sqlite3.Connection) -> None:
    """No statement that reads, changes or deletes scans a table; only what is small by itself is sorted."""
    whole = {name: query for name, query in load_statements().items() if PARTS.fullmatch(name) is None}
    whole |= {query: query for query in list_queries()}
    for name, query in whole.items():
        plan = [row[-1] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", bind(query))]  # type: ignore[arg-type]
        for step in plan:
            is_search = "SEARCH" in step and ("INDEX" in step or "PRIMARY KEY" in step)
            # A list by change walks its index from the end; leases and notices are listed as a whole or by page.
            is_walk = "USING INDEX runs_by" in step or name in {"list_leases", "list_notices"}
            # A session, the runs of one minute, and what is due at once are few.
            is_sort = "TEMP B-TREE" in step and ("minute" in query or name in {"find_due", "find_due_of"})
            assert (
                is_search or is_walk or is_sort or step.startswith(("LIST SUBQUERY", "USING ROWID", "SCAN json_each"))
            ), (name, plan)
