"""Does a database of any age become today's, and is one of tomorrow refused?"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from quorate.clock import SYSTEM_CLOCK
from quorate.errors import InvalidInput
from quorate.state.backends._sqlite_append import Append
from quorate.state.backends._sqlite_file import open_connection
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.state.sql import load_migrations
from quorate.testing import ManualClock
from quorate.testing.contracts import build_opening, build_step, build_steps

MIGRATIONS = load_migrations("sqlite")
CREATION = Path(__file__).parent / "sqlite_schema_1.sql"

INSERT_EVENT = """
INSERT INTO events (run, seq, key, kind, version, attempt, time, checksum, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
SAVE_RUN = """
INSERT INTO runs (run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET
    last = excluded.last, status = excluded.status, agent = excluded.agent, created = excluded.created,
    updated = excluded.updated, tenant = excluded.tenant, session = excluded.session, task = excluded.task,
    usage = excluded.usage, cost_usd = excluded.cost_usd
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quorate.db"


def create(path: Path) -> None:
    """Make the database of the first version, with a run of three events and one without its beginning."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(CREATION.read_text(encoding="utf-8"))


def migrate(path: Path, number: int) -> None:
    """Open a database as a version does that knows migrations up to a number."""
    with open_connection(path, clock=ManualClock(), busy_timeout_s=1, migrations=MIGRATIONS[:number]):
        pass


def look(path: Path) -> dict[str, object]:
    """What a database is made of: its tables with their columns, its indexes, its numbers."""
    with closing(sqlite3.connect(path)) as connection:
        objects = connection.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name").fetchall()
        found: dict[str, object] = {"objects": objects}
        for kind, name, _ in objects:
            pragma = "table_xinfo" if kind == "table" else "index_xinfo"
            found[name] = connection.execute(f"PRAGMA {pragma}({name})").fetchall()
        for name in ("user_version", "application_id"):
            found[name] = connection.execute(f"PRAGMA {name}").fetchall()
        found["numbers"] = connection.execute("SELECT number, name FROM migrations ORDER BY number").fetchall()
    return found


async def test_all_migrations_are_the_schema(path: Path, tmp_path: Path) -> None:
    """A database of the first version, migrated step by step or at once, is what a new one is."""
    fresh, at_once = tmp_path / "fresh.db", tmp_path / "at_once.db"
    async with open_sqlite_store(fresh):
        pass
    create(at_once)
    async with open_sqlite_store(at_once):
        pass
    create(path)
    for number in range(1, len(MIGRATIONS) + 1):
        migrate(path, number)
    assert look(path) == look(fresh) == look(at_once)


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS) + 1))
async def test_what_an_older_version_wrote_is_kept(path: Path, number: int) -> None:
    """Its runs are read, listed by every order and go on; what it did not know has defaults."""
    create(path)
    migrate(path, number)
    async with open_sqlite_store(path) as store:
        written = [*build_opening("run-1"), build_step("run-1", 3)]
        assert await store.log.read("run-1") == written
        for order in ("newest", "oldest", "updated"):
            (one,) = await store.log.list_runs(order=order, tenant="default", session="s1")
            assert (one.run, one.status, one.events, one.updated) == ("run-1", "running", 3, 14.0)
            assert (one.owner, one.attempts, one.crashes, one.wakes, one.principal) == ("", 1, 0, None, "local")
        await store.log.append("run-1", build_steps("run-1", 4, 2), expected=3)
        await store.log.append("run-2", build_steps("run-2", 2, 1), expected=1)
        assert await store.log.last("run-1") == 5
        lease = await store.leases.beat("w1", ttl_s=60)
        assert await store.leases.find_work(lease, ttl_s=60) == []
    with closing(sqlite3.connect(path)) as connection:
        sizes = dict(connection.execute("SELECT run, size FROM runs").fetchall())
        assert sizes == dict(connection.execute("SELECT run, sum(length(body)) FROM events GROUP BY run").fetchall())


async def test_an_older_version_shares_a_database_where_nothing_of_it_changed(path: Path) -> None:
    """Beside what `deploy: pre` added it opens the file and writes as it always did."""
    is_shared = [migration.number for migration in MIGRATIONS[1:] if not migration.is_breaking]
    assert is_shared == [2]
    migrate(path, 2)
    rows = Append("run-1", build_opening("run-1"), expected=0).rows
    with open_connection(path, clock=SYSTEM_CLOCK, busy_timeout_s=1, migrations=MIGRATIONS[:1]) as older:
        older.executemany(INSERT_EVENT, rows)
        older.execute(SAVE_RUN, ("run-1", 2, "running", "net", 10.0, 11.0, "default", "s1", "why?", "{}", 0.0))
    async with open_sqlite_store(path) as store:
        assert await store.log.read("run-1") == build_opening("run-1")
        (one,) = await store.log.list_runs(order="updated")
        assert (one.status, one.attempts) == ("running", 1)


async def test_an_older_version_is_refused_where_it_would_do_harm(path: Path) -> None:
    """Behind `deploy: post` it says which schema it met, which one it knows, and what to do."""
    async with open_sqlite_store(path):
        pass
    for number in range(1, len(MIGRATIONS)):
        with pytest.raises(InvalidInput, match=rf"has schema 3; .* knows {number}\. Upgrade Quorate to open it"):
            migrate(path, number)


async def test_a_migration_is_whole_or_absent(path: Path) -> None:
    """One that fails in the middle leaves the database as it was, for the version that made it."""
    create(path)
    before = look(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notices (songs TEXT)")  # in the way of the last statement of the last one
    with pytest.raises(Exception, match="notices already exists"):
        async with open_sqlite_store(path):
            pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE notices")
    assert look(path) == before
    async with open_sqlite_store(path) as store:
        assert await store.log.last("run-1") == 3
