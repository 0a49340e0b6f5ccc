"""Does PostgreSQL itself keep tenants apart, also from a query that forgot to?"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from quorate import Agent, ScriptedModel
from quorate.assembly import open_runtime, open_store
from quorate.errors import Forbidden, InvalidInput, NotFound
from quorate.ports import Store
from quorate.settings import Settings
from quorate.state.artifacts.access import Caller
from quorate.state.backends._postgres_tenants import POLICY, BoundValues, build_policies
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.scopes import ScopeRef

ROLE = "quorate_tenant"
TENANTS = ("acme", "globex")


async def make_role(dsn: str, *, name: str = ROLE, options: str = "NOLOGIN") -> None:
    """Let an administrator make a role; it is one of the whole server, so it may be there."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"CREATE ROLE {name} {options}")
    except asyncpg.DuplicateObjectError:
        pass
    finally:
        await connection.close()


@asynccontextmanager
async def open_filled(dsn: str) -> AsyncIterator[Store]:
    """A store with runs, values and bytes of two tenants, by way of a runtime as usual."""
    await make_role(dsn)
    settings = Settings(database=dsn, database_tenant_role=ROLE)
    agent = Agent("net", model=ScriptedModel(["It is up."] * 4))
    async with open_store(settings) as store:
        async with open_runtime(settings, agents=[agent], store=store) as runtime:
            for tenant in TENANTS:
                other = runtime.for_tenant(tenant)
                run = await other.submit("Is it up?", agent="net", session=f"s-{tenant}")
                await run.wait()
                await other.state.set(ScopeRef(scope="tenant", tenant=tenant), "colour", tenant)
                data = secrets.token_bytes(2_500_000)
                memory = f"memory/{tenant}/hive/all/common/semantic/mem-1/ann/net"
                await other.store.values.put(memory, b"{}")
                await other.artifacts.save("note", data, caller=Caller(tenant=tenant, principal="ann", run=run.id))
        yield store


async def ask(bound: Store, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Ask what nobody of ours asks, over the connection of a tenant."""
    assert isinstance(bound.values, BoundValues)
    rows = await bound.values._reads._lines.read(tuple[object, ...], statement, *values)
    return [tuple(row) for row in rows]


async def test_a_query_without_a_filter_finds_nothing_of_others(postgres_dsn: str) -> None:
    """Each table, asked for everything in it, by each tenant; and what no tenant reads. part of row C12"""
    async with open_filled(postgres_dsn) as store:
        assert store.bind is not None
        whole = {one.run: one.tenant for one in await store.log.list_runs()}
        assert sorted(whole.values()) == list(TENANTS)
        every = [entry.key for entry in await store.values.scan("", limit=1000)]
        seen = dict[str, set[str]]()
        for tenant, stranger in (TENANTS, TENANTS[::-1]):
            bound = store.bind(store, tenant)
            runs = {str(run) for (run,) in await ask(bound, "SELECT run FROM runs")}
            assert runs == {run for run, whose in whole.items() if whose == tenant}
            assert {run for (run,) in await ask(bound, "SELECT DISTINCT run FROM events")} == runs
            keys = seen[tenant] = {str(key) for (key,) in await ask(bound, "SELECT key FROM entries")}
            assert {"memory", "session", "state"} <= {key.partition("/")[0] for key in keys}
            assert not any(f"/{stranger}" in key for key in keys)
            names = {str(name) for (name,) in await ask(bound, "SELECT name FROM blobs")}
            assert names
            assert all(name.startswith(f"{tenant}/") for name in names)
            (pieces,), (all_pieces,) = (
                (await ask(bound, "SELECT count(*) FROM blob_pieces"))[0],
                (await ask_whole(store, "SELECT count(*) FROM blob_pieces"))[0],
            )
            assert (pieces, all_pieces) == (3, 6)
            for table in ("leases", "notices", "migrations"):
                with pytest.raises(Forbidden):
                    await ask(bound, f"SELECT * FROM {table}")
            with pytest.raises(Forbidden):
                await ask(bound, "UPDATE runs SET tenant = 'acme' RETURNING run")
        owned = [key for key in every if any(f"/{tenant}" in key for tenant in TENANTS)]
        assert set(owned) <= seen["acme"] | seen["globex"]


async def ask_whole(store: Store, statement: str) -> list[tuple[object, ...]]:
    rows = await store.log._lines.read(tuple[object, ...], statement)  # type: ignore[attr-defined]
    return [tuple(row) for row in rows]


async def test_our_own_reads_find_nothing_of_others_either(postgres_dsn: str) -> None:
    """A guessed id of another tenant, for everything that a store reads; and its owner finds all. part of row C12"""
    async with open_filled(postgres_dsn) as store:
        assert store.bind is not None
        bound = {tenant: store.bind(store, tenant) for tenant in TENANTS}
        runs = {one.tenant: one.run for one in await store.log.list_runs()}
        keys = [entry.key for entry in await store.values.scan("", limit=1000)]
        names = [info.name for info in await store.blobs.list_blobs()]
        for tenant, stranger in (TENANTS, TENANTS[::-1]):
            mine, theirs = bound[tenant], runs[stranger]
            assert await mine.log.read(runs[tenant]) == await store.log.read(runs[tenant])
            assert (await mine.log.read(theirs), await mine.log.last(theirs)) == ([], 0)
            assert (await mine.log.read_many([theirs]), await mine.log.list_runs(tenant=stranger)) == ({}, [])
            assert not await mine.log.delete(theirs)
            for key in keys:
                entry = await mine.values.get(key)
                assert entry is None or f"/{stranger}" not in key
            assert await mine.values.scan(f"state/{stranger}/") == []
            for name in names:
                if name.startswith(f"{stranger}/"):
                    with pytest.raises(NotFound):
                        _ = [piece async for piece in mine.blobs.get(name)]
                else:
                    assert [piece async for piece in mine.blobs.get(name)]
        assert await store.log.read(runs["globex"])
        assert bound["acme"].bind is not None
        again = bound["acme"].bind(bound["acme"], "globex")
        assert await again.log.read(runs["globex"])


async def test_tenants_share_connections_and_nothing_else(postgres_dsn: str) -> None:
    """Many at once over few connections, some of which are left in the middle."""
    async with open_filled(postgres_dsn) as store:
        assert store.bind is not None
        bound = {tenant: store.bind(store, tenant) for tenant in TENANTS}

        async def look(tenant: str, number: int) -> set[str]:
            if number % 5 == 0:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await bound[tenant].log.list_runs()
            return {one.tenant for one in await bound[tenant].log.list_runs()}

        async with asyncio.TaskGroup() as group:
            tasks = [(tenant, group.create_task(look(tenant, n))) for n in range(60) for tenant in TENANTS]
        assert all(task.result() == {tenant} for tenant, task in tasks)


async def test_what_does_not_keep_tenants_apart_is_refused(postgres_dsn: str) -> None:
    """No such role, one that policies do not bind, a name that is none, or a database that is a file."""
    await make_role(postgres_dsn)
    await make_role(postgres_dsn, name="quorate_free", options="NOLOGIN BYPASSRLS")
    for role, said in {
        "nobody_here": "CREATE ROLE nobody_here NOLOGIN",
        "quorate_free": "sees all rows whatever policies say",
        'x"; DROP TABLE runs': "cannot be that of tenants",
        "pg_monitor": "cannot be that of tenants",
    }.items():
        with pytest.raises(InvalidInput) as refused:
            async with open_postgres_store(postgres_dsn, tenant_role=role):
                pass
        assert said in refused.value.message
    with pytest.raises(InvalidInput, match="is for PostgreSQL"):
        open_store(Settings(database="x.db", database_tenant_role=ROLE))
    with pytest.raises(InvalidInput, match="3 or more"):
        async with open_postgres_store(postgres_dsn, tenant_role=ROLE, max_connections=2):
            pass


async def test_policies_are_laid_once_and_bind_nobody_else(postgres_dsn: str) -> None:
    """Processes without the setting work on beside those with it."""
    await make_role(postgres_dsn)
    async with open_postgres_store(postgres_dsn) as plain:
        for _ in range(2):
            async with open_postgres_store(postgres_dsn, tenant_role=ROLE) as store:
                await store.values.put("state/acme/tenant/_/colour", b"1")
        assert await plain.values.get("state/acme/tenant/_/colour")
        assert plain.bind is None
    connection = await asyncpg.connect(postgres_dsn)
    laid = await connection.fetch("SELECT tablename FROM pg_policies WHERE policyname = $1", POLICY)
    await connection.close()
    assert {row[0] for row in laid} == set(build_policies())
