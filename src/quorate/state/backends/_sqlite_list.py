"""Which runs match, in which order, and by which index are they found in a SQLite file?"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from quorate.events import RunSummary
from quorate.ports import RunOrder
from quorate.state.backends._checks import build_page_conflict
from quorate.state.backends._sqlite_read import RunRow, build_summary

_AFTER_ALL_RUNS = "\U0010ffff"
_BEFORE_ALL_RUNS = ""

_BY_BIRTH: Sequence[tuple[str, frozenset[str]]] = (
    ("INDEXED BY runs_by_session", frozenset({"session"})),
    ("INDEXED BY runs_by_agent_and_status", frozenset({"agent", "status"})),
    ("INDEXED BY runs_by_agent", frozenset({"agent"})),
    ("INDEXED BY runs_by_tenant_and_status", frozenset({"tenant", "status"})),
    ("INDEXED BY runs_by_status", frozenset({"status"})),
    ("INDEXED BY runs_by_tenant", frozenset({"tenant"})),
    ("NOT INDEXED", frozenset()),  # by the primary key
)
"""Indexes and the filters they serve, the one that leaves fewest runs first."""

_BY_CHANGE: Sequence[tuple[str, frozenset[str]]] = (
    ("INDEXED BY runs_by_session", frozenset({"session"})),
    # Runs that have not ended are few: better to sort them than to look for them among all that have.
    ("INDEXED BY runs_by_tenant_and_status", frozenset({"tenant", "status", "open"})),
    ("INDEXED BY runs_by_status", frozenset({"status", "open"})),
    ("INDEXED BY runs_by_tenant_and_minute", frozenset({"tenant"})),
    ("INDEXED BY runs_by_minute", frozenset()),
)

_OPEN = ("queued", "running", "waiting")


def list_runs(
    connection: sqlite3.Connection,
    statements: Mapping[str, str],
    *,
    filters: Mapping[str, str | None],
    order: RunOrder,
    before: str | None,
    limit: int,
) -> list[RunSummary]:
    """List runs by the index made for the filters and the order that are given."""
    values: dict[str, object] = {**filters, "limit": limit, "before": before}
    connection.execute("BEGIN")  # the page's mark and its rows of one moment
    if before is None:
        values["before"] = _BEFORE_ALL_RUNS if order == "oldest" else _AFTER_ALL_RUNS
    elif order == "updated":
        updated = _get_updated(connection, statements, before)
        values |= {"updated": updated, "minute": updated // 60}
    given = {name for name, value in filters.items() if value is not None}
    is_paged = before is not None or order != "updated"
    query = build_query(statements, given=given, order=order, is_paged=is_paged, is_open=filters.get("status") in _OPEN)
    return build_summaries(connection.execute(query, values).fetchall())


def _get_updated(connection: sqlite3.Connection, statements: Mapping[str, str], run: str) -> float:
    row = connection.execute(statements["get_updated"], (run,)).fetchone()
    if row is None:
        raise build_page_conflict(run)
    return float(row[0])


def build_query(
    statements: Mapping[str, str], *, given: set[str], order: RunOrder, is_paged: bool, is_open: bool
) -> str:
    """Build the statement that lists runs; all its parts are statements' own text, and values are bound to it.

    Args:
        statements: The blocks it is put together from.
        given: The filters.
        order: The order.
        is_paged: Whether it goes on behind another page.
        is_open: Whether only runs that have not ended are wanted.
    """
    plans = _BY_CHANGE if order == "updated" else _BY_BIRTH
    known = given | {"open"} if is_open else given
    blocks = {
        "index": next(index for index, served in plans if served <= known),
        "filters": " AND ".join([statements["any"], *(statements[f"one_{name}"] for name in sorted(given))]),
        "page": statements[f"page_{order}"] if is_paged else statements["any"],
        "order": statements[f"order_{order}"],
    }
    return statements["list_runs"].format_map(blocks)


def build_summaries(rows: Sequence[RunRow]) -> list[RunSummary]:
    """Build the lines about runs from their rows, without those that have not begun."""
    return [summary for row in rows if (summary := build_summary(row)) is not None]
