"""Does the server for tests start, stop, die, pause and clean up as it says?"""

import os

import asyncpg
import pytest

from quorate.errors import InvalidInput, Unavailable
from quorate.testing.postgres_server import PostgresServer, open_postgres_server


async def ask(server: PostgresServer, question: str, *, dsn: str = "") -> object:
    connection = await asyncpg.connect(dsn or server.dsn, timeout=5)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


@pytest.mark.parametrize("version", [16, 18])
async def test_each_version_starts_and_is_gone_at_the_end(version: int) -> None:
    with open_postgres_server(version=version, settings={"work_mem": "1MB"}) as server:
        assert str(await ask(server, "SHOW server_version")).startswith(f"{version}.")
        assert await ask(server, "SHOW work_mem") == "1MB"
        assert await ask(server, "SHOW fsync") == "off"
        assert await ask(server, "SELECT 1", dsn=server.build_socket_dsn()) == 1
        pids, folder = server.pids, server.folder
        assert len(pids) > 3
    assert not folder.exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_data_survive_a_kill_and_the_address_stays() -> None:
    with open_postgres_server(fsync=True) as server:
        await server.execute("CREATE TABLE kept AS SELECT 7 AS n")
        dsn = server.dsn
        server.kill()
        assert server.pids == []
        with pytest.raises(OSError):
            await ask(server, "SELECT 1")
        server.start()
        assert server.dsn == dsn
        assert await ask(server, "SELECT n FROM kept") == 7
        server.restart()
        server.start()
        assert await ask(server, "SELECT n FROM kept") == 7
        assert "database system was not properly shut down" in server.log


async def test_a_paused_server_answers_when_it_goes_on() -> None:
    with open_postgres_server() as server:
        connection = await asyncpg.connect(server.dsn)
        server.pause()
        with pytest.raises(TimeoutError):
            await asyncpg.connect(server.dsn, timeout=0.2)
        server.resume()
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        server.pause()  # and a paused one can be stopped


async def test_databases_are_fresh_and_can_be_dropped_while_used(postgres_server: PostgresServer) -> None:
    one, two = [await postgres_server.create_database() for _ in range(2)]
    assert one != two
    held = await asyncpg.connect(one)
    for dsn in (one, two):
        await postgres_server.drop_database(dsn)
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await ask(postgres_server, "SELECT 1", dsn=dsn)
    await held.close()


async def test_what_cannot_start_says_why() -> None:
    with pytest.raises(InvalidInput, match="choose 16 or 18"), open_postgres_server(version=12):
        pass
    with pytest.raises(Unavailable, match="no_such_setting"), open_postgres_server(settings={"no_such_setting": "1"}):
        pass
