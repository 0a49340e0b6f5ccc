"""Does reading stay as cheap when there is a thousand times as much?"""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from quorate.clock import SYSTEM_CLOCK
from quorate.events import RunStarted
from quorate.ports import Lease, RunOrder
from quorate.state.backends._sqlite_file import open_connection, roll_back
from quorate.state.backends._sqlite_leases import find_dead, find_ready
from quorate.state.backends._sqlite_list import list_runs
from quorate.state.backends._sqlite_read import get_last, load_statements, read_events
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.contracts import build_opening, build_steps

EVENTS = 1_000_000
EVENTS_A_RUN = 100
INSTRUCTIONS = 10
"""Of SQLite's machine, between two counts."""
SPARE = 60
"""Counts that a page may take more: there were fewer runs than a page has, and none in their minutes."""

ORDERS: tuple[RunOrder, ...] = ("newest", "oldest", "updated")
NONE: dict[str, str | None] = dict.fromkeys(("status", "agent", "session", "tenant"))
MIDDLE = "run-99990002"

# Runs of four tenants, ended long ago, all older than those that the test asks for.
FILL_RUNS = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
INSERT INTO runs (run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd, owner, minute)
SELECT printf('run-%08d', n), 100, 'completed', 'net', n, n * 10, 'tenant-' || (n % 4), NULL, '', '{}', 0, '', n / 6
FROM numbers
"""
FILL_EVENTS = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < ? - 1)
INSERT INTO events (run, seq, key, kind, version, attempt, time, checksum, body)
SELECT printf('run-%08d', n / 100 + 1), n % 100 + 1, '', 'step', '1.0', '', n, 0, X'00' FROM numbers
"""


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database with a few runs of every state, which are the newest."""
    async with open_sqlite_store(tmp_path / "quorate.db") as store:
        for number, owner in enumerate(("", "dead", "", "w1", "dead")):
            run = f"run-9999000{number}"
            created, _ = build_opening(run)
            started = RunStarted(run=run, seq=2, time=11.0, attempt="a1", owner=owner)
            await store.log.append(run, [created, started, *build_steps(run, 3, 20)][: 22 if number else 1], expected=0)
    return tmp_path / "quorate.db"


@contextmanager
def count(connection: sqlite3.Connection) -> Generator[list[int]]:
    """Count what SQLite has to do, which does not depend on the machine."""
    ticks: list[int] = [0]

    def tick() -> int:
        ticks[0] += 1
        return 0

    connection.set_progress_handler(tick, INSTRUCTIONS)
    try:
        yield ticks
    finally:
        connection.set_progress_handler(None, INSTRUCTIONS)


def ask_everything(connection: sqlite3.Connection) -> dict[str, int]:
    """Ask each question that is asked all the time; return how much each took."""
    statements = load_statements()
    judge = Lease(owner="w1", epoch=1, since=0.0, expires=150.0)
    connection.execute("INSERT OR REPLACE INTO leases VALUES ('w1', 1, 0.0, 150.0)")
    questions: dict[str, Callable[[], object]] = {
        "read": lambda: read_events(connection, statements, run="run-99990001", after=0, limit=None),
        "follow": lambda: read_events(connection, statements, run="run-99990001", after=20, limit=100),
        "last": lambda: get_last(connection, statements, run="run-99990001"),
        "dead": lambda: find_dead(connection, statements, judge, now=100.0, ttl_s=60.0),
        "ready": lambda: find_ready(connection, statements, now=100.0, limit=10),
        "owned": lambda: connection.execute(statements["find_owned"], {"owner": "dead", "limit": 10}).fetchall(),
    }
    for filters in ({}, {"status": "running"}, {"agent": "net"}, {"tenant": "default"}, {"session": "s1"}):
        for order in ORDERS:
            questions[f"list {filters} {order}"] = partial(
                list_runs, connection, statements, filters=NONE | filters, order=order, before=None, limit=5
            )
            questions[f"page {filters} {order}"] = partial(
                list_runs, connection, statements, filters=NONE | filters, order=order, before=MIDDLE, limit=5
            )
    found: dict[str, int] = {}
    for name, question in questions.items():
        with count(connection) as ticks:
            assert question(), name
        roll_back(connection)
        found[name] = ticks[0]
    return found


@pytest.mark.blocking
async def test_what_is_asked_all_the_time_costs_the_same_among_a_million_events(path: Path) -> None:
    """A run's events, a page of runs and what there is to do are found by index: SQLite does no more for them."""
    with open_connection(path, clock=SYSTEM_CLOCK, busy_timeout_s=1) as connection:
        check_costs(connection)


def check_costs(connection: sqlite3.Connection) -> None:
    before = ask_everything(connection)
    runs = EVENTS // EVENTS_A_RUN
    connection.execute(FILL_RUNS, (runs,))
    connection.execute(FILL_EVENTS, (EVENTS,))
    assert connection.execute("SELECT count(*) FROM runs").fetchone()[0] == runs + 5
    after = ask_everything(connection)
    assert {name: (before[name], ticks) for name, ticks in after.items() if ticks > before[name] + SPARE} == {}
