"""Does a backup of one database come back in every other one, whole and verified?"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from tests.unit.state.backup.filling import add_long_run, build_run, empty, fill, snapshot

from quorate.errors import Conflict, NotFound
from quorate.ports import Store
from quorate.state.archive import export_runs, import_runs
from quorate.state.audit import AuditTrail
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.state.backup import create_backup, restore_backup, verify_backup
from quorate.state.erasure import Eraser, verify_erasure
from quorate.state.retention import RetentionPolicy, prune_runs
from quorate.testing.clock import ManualClock
from quorate.testing.postgres_server import PostgresServer

KINDS = ["memory", "sqlite", "postgres"]


@pytest.fixture
def open_kind(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[str, str], AbstractAsyncContextManager[Store]]:
    """Open a new database of a kind, by a name; a PostgreSQL server runs only where one is wanted."""
    wanted = "postgres" in request.node.callspec.params.values()
    server: PostgresServer | None = request.getfixturevalue("postgres_server") if wanted else None

    @asynccontextmanager
    async def open_store(kind: str, name: str) -> AsyncIterator[Store]:
        if kind == "memory":
            async with open_memory_store() as store:
                yield store
        elif kind == "sqlite":
            async with open_sqlite_store(tmp_path / f"{name}.db") as store:
                yield store
        else:
            assert server is not None
            dsn = await server.create_database()
            async with open_postgres_store(dsn) as store:
                yield store
            await server.drop_database(dsn)

    return open_store


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
async def test_a_backup_of_any_database_is_restored_into_any_other(
    source: str, target: str, open_kind: Callable[..., AbstractAsyncContextManager[Store]], tmp_path: Path
) -> None:
    """Runs, sessions, values, artifacts and audit trails are the same afterwards, and verify."""
    path, clock = tmp_path / "backup", ManualClock()
    async with open_kind(source, "before") as store:
        await fill(store, clock=clock)
        await add_long_run(store, "run-long", 1500)
        before = await snapshot(store)
        await create_backup(store, path)
    assert (await verify_backup(path)).ok
    async with open_kind(target, "after") as store:
        await restore_backup(store, path)
        assert await snapshot(store) == before
        report = await AuditTrail(store.values, clock=clock, tenant="acme").verify()
        assert (report.ok, report.rows) == (True, 15)
        again = await restore_backup(store, path, into_nonempty=True)
        assert (again.events, again.values, again.blobs) == (0, 0, 0)
        with pytest.raises(Conflict, match="is not empty"):
            await restore_backup(store, path)


@pytest.mark.parametrize("kind", KINDS)
async def test_backup_delete_restore_in_the_same_database(
    kind: str, open_kind: Callable[..., AbstractAsyncContextManager[Store]], tmp_path: Path
) -> None:
    """Everything is deleted and comes back."""
    path, clock = tmp_path / "backup", ManualClock()
    async with open_kind(kind, "same") as store:
        await fill(store, clock=clock)
        before = await snapshot(store)
        await create_backup(store, path)
        await empty(store)
        assert await snapshot(store) == {}
        await restore_backup(store, path)
        assert await snapshot(store) == before


@pytest.mark.parametrize("kind", KINDS)
async def test_fifty_writers_of_five_processes_make_one_chain(
    kind: str, open_kind: Callable[..., AbstractAsyncContextManager[Store]]
) -> None:
    """On every database the chain has no gap, whoever writes at once; and tampering with one row is found."""
    clock = ManualClock()
    async with open_kind(kind, "audit") as store:
        trails = [AuditTrail(store.values, clock=clock, tenant="acme") for _ in range(5)]

        async def write(number: int) -> None:
            for step in range(4):
                await trails[number % 5].append("run.submit", principal=f"p{number}", object=f"run/{number}-{step}")

        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(write(number))
        report = await trails[0].verify()
        assert (report.ok, report.rows) == (True, 200)
        assert len({row.object for row in await trails[1].read(limit=1000)}) == 200
        entry = next(e for e in await store.values.scan("audit/acme/", limit=1000) if b"run/25-2" in e.value)
        await store.values.put(entry.key, entry.value.replace(b"run/25-2", b"run/25-9"))
        fault = (await trails[2].verify()).fault
        assert fault is not None
        line = next(n for n, line in enumerate(entry.value.split(b"\n")) if b"run/25-2" in line)
        assert (fault.seq, fault.kind) == (int(entry.key.rpartition("/")[2]) + line, "changed")


@pytest.mark.parametrize("kind", KINDS)
async def test_runs_are_exported_imported_pruned_and_erased(
    kind: str, open_kind: Callable[..., AbstractAsyncContextManager[Store]]
) -> None:
    """What is done in memory is done in every database."""
    clock = ManualClock()
    stream = io.BytesIO()
    async with open_kind(kind, "keep") as store:
        await fill(store, clock=clock)
        await export_runs(store.log, ["run-every", "run-0003"], stream)
        stream.seek(0)
        assert (await import_runs(store.log, stream)).skipped == 2
        trail = AuditTrail(store.values, clock=clock, tenant="acme")
        eraser = Eraser(store, tenant="acme", clock=clock, audit=trail)
        certificate = await eraser.erase_run("run-0003", by="dpo")
        assert (await verify_erasure(store, certificate, audit=trail)).ok
        with pytest.raises(NotFound):
            await eraser.erase_run("run-0003", by="dpo")
        stream.seek(0)
        assert (await import_runs(store.log, stream)).runs == 1
        assert not (await verify_erasure(store, certificate, audit=trail)).ok
        for number in range(3):
            await store.log.append(f"run-x{number}", build_run(f"run-x{number}"), expected=0)
        report = await prune_runs(store, RetentionPolicy(max_runs=1), clock=clock, tenant="acme")
        assert report.runs == 3  # the session's runs are younger by nothing, and stay: it goes on
        assert (await trail.verify()).ok
