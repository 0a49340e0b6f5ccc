"""Is everything that was acknowledged still there after the server, a client or the line between them died?"""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.forks import Process, fork
from tests.integration.state.postgres_proxy import open_proxy

from quorate.errors import Conflict, Unavailable
from quorate.ports import Log
from quorate.state.backends.postgres import open_postgres_store
from quorate.testing.contracts import build_opening, build_step
from quorate.testing.postgres_server import PostgresServer, open_postgres_server

APPENDER = str(Path(__file__).parent / "appender.py")
RUNS = [f"run-{number}" for number in range(8)]


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that may be killed and paused without harming other tests."""
    with open_postgres_server(fsync=True) as server:
        yield server


def start(*arguments: str) -> Process:
    return fork([APPENDER, *arguments], stdout=subprocess.PIPE)


async def check_integrity(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    stray = """SELECT run FROM quorate.runs AS r
    WHERE last <> (SELECT max(seq) FROM quorate.events AS e WHERE e.run = r.run)
       OR last <> (SELECT count(*) FROM quorate.events AS e WHERE e.run = r.run)"""
    assert await connection.fetch(stray) == []
    await connection.close()


async def find_own(log: Log, run: str, seq: int, attempt: str) -> bool:
    """What whoever met an unclear outcome does: look whether one's own event is there, once the store is back."""
    async with asyncio.timeout(30):
        while True:
            try:
                return any(event.attempt == attempt for event in await log.read(run, after=seq - 1, limit=1))
            except Unavailable:
                await asyncio.sleep(0.02)


async def keep_appending(log: Log, run: str, acknowledged: dict[str, int], until: asyncio.Event) -> int:
    """Append until told to stop; return how often the outcome was unclear."""
    attempt, unclear = f"attempt-{run}", 0
    await log.append(run, build_opening(run, attempt=attempt), expected=0)
    acknowledged[run] = 2
    while not until.is_set():
        seq = acknowledged[run] + 1
        try:
            await log.append(run, [build_step(run, seq, attempt=attempt)], expected=seq - 1)
        except Unavailable:
            unclear += 1
            if not await find_own(log, run, seq, attempt):
                continue
        acknowledged[run] = seq
    return unclear


async def test_a_server_killed_under_load_loses_nothing_and_makes_no_false_conflict(own_server: PostgresServer) -> None:
    """Five rounds of SIGKILL on the whole server: writers look and go on, and no run is ever told of a conflict."""
    dsn = await own_server.create_database()
    acknowledged: dict[str, int] = {}
    done = asyncio.Event()
    async with open_postgres_store(dsn) as store:
        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(keep_appending(store.log, run, acknowledged, done)) for run in RUNS]
            for _ in range(5):
                before = sum(acknowledged.values())
                while sum(acknowledged.values()) < before + 400:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(own_server.kill)
                await asyncio.to_thread(own_server.start)
            done.set()
        assert sum(writer.result() for writer in writers) >= 5
        for run in RUNS:
            events = await store.log.read(run)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert len(events) == acknowledged[run]
    await check_integrity(dsn)


async def test_a_client_killed_under_load_loses_nothing_acknowledged(postgres_dsn: str) -> None:
    """Rounds of kill -9 on a process that appends: every acknowledged event is there, and no gap."""
    acknowledged: dict[str, int] = {}
    for number in range(3):
        process = start("loop", postgres_dsn, *RUNS)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(100 + 37 * number)]
        process.kill()
        lines += process.stdout.readlines()
        process.stdout.close()
        assert process.wait(timeout=30) == -9
        for line in lines:
            if line.endswith("\n"):
                run, seq = line.split()
                acknowledged[run] = max(acknowledged.get(run, 0), int(seq))
        async with open_postgres_store(postgres_dsn) as store:
            for run in RUNS:
                events = await store.log.read(run)
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                assert len(events) >= acknowledged.get(run, 0)
        await check_integrity(postgres_dsn)


async def test_two_processes_share_a_database(postgres_dsn: str) -> None:
    """Two processes that race for one run each win some positions and never the same one."""
    async with open_postgres_store(postgres_dsn) as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
    processes = [start("race", postgres_dsn, "run-1", name, "200") for name in ("p1", "p2")]
    won = [(await asyncio.to_thread(process.communicate, timeout=60))[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    positions = {int(line.split()[1]): line.split()[0] for lines in won for line in lines}
    assert len(positions) == len(won[0]) + len(won[1])
    async with open_postgres_store(postgres_dsn) as store:
        events = await store.log.read("run-1")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert {event.seq: event.attempt for event in events[2:]} == positions
    await check_integrity(postgres_dsn)


async def test_a_connection_cut_after_the_commit_is_recognised_by_looking(postgres_server: PostgresServer) -> None:
    """The caller is told to look, finds its own event, and goes on; nothing is written twice."""
    dsn = await postgres_server.create_database()
    async with open_proxy(postgres_server.port) as proxy:
        name = dsn.rpartition("/")[2]
        async with open_postgres_store(postgres_server.build_dsn(name, port=proxy.port)) as store:
            await store.log.append("run-1", build_opening("run-1"), expected=0)
            # Prepares the statement, so that the next answer is the one to its commit.
            await store.log.append("run-1", [build_step("run-1", 3)], expected=2)
            proxy.hold_answers = True
            with pytest.raises(Unavailable, match="look before you try again"):
                await store.log.append("run-1", [build_step("run-1", 4, attempt="mine")], expected=3)
            proxy.hold_answers = False
            assert proxy.cuts == 1
            (found,) = await store.log.read("run-1", after=3)
            assert found.attempt == "mine"
            with pytest.raises(Conflict, match="has 4 events, not 3"):
                await store.log.append("run-1", [build_step("run-1", 4, attempt="mine")], expected=3)
            await store.log.append("run-1", [build_step("run-1", 5)], expected=4)


async def test_a_connection_cut_before_the_statement_arrives_leaves_nothing(postgres_server: PostgresServer) -> None:
    """The caller is told to look, finds nothing, and the same append succeeds; reads do not notice at all."""
    dsn = await postgres_server.create_database()
    async with open_proxy(postgres_server.port) as proxy:
        name = dsn.rpartition("/")[2]
        async with open_postgres_store(postgres_server.build_dsn(name, port=proxy.port)) as store:
            await store.log.append("run-1", build_opening("run-1"), expected=0)
            proxy.hold_questions = True
            with pytest.raises(Unavailable, match="look before you try again"):
                await store.log.append("run-1", [build_step("run-1", 3)], expected=2)
            proxy.hold_questions = False
            assert await store.log.last("run-1") == 2
            await store.log.append("run-1", [build_step("run-1", 3)], expected=2)


async def test_an_idle_pool_heals_after_a_restart(own_server: PostgresServer) -> None:
    """What was open before the restart is replaced without an error, for reads and for writes."""
    dsn = await own_server.create_database()
    async with open_postgres_store(dsn) as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(store.log.last("run-1"))
        await asyncio.to_thread(own_server.restart)
        assert await store.log.last("run-1") == 2
        await store.log.append("run-1", [build_step("run-1", 3)], expected=2)
        await store.values.put("a", b"1")
        assert len(await store.log.read("run-1")) == 3


async def test_a_paused_server_is_unavailable_by_the_deadline(own_server: PostgresServer) -> None:
    """Nothing hangs: reads, appends and values say so in time, and all is well when the server goes on."""
    dsn = await own_server.create_database()
    async with open_postgres_store(dsn, statement_timeout_s=1.5, connect_timeout_s=1.5) as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        own_server.pause()
        try:
            begun = time.monotonic()
            for refused in (
                store.log.append("run-1", [build_step("run-1", 3)], expected=2),
                store.log.last("run-1"),
                store.values.put("a", b"1"),
            ):
                with pytest.raises(Unavailable, match="no answer in time"):
                    await refused
            assert time.monotonic() - begun < 60
        finally:
            own_server.resume()
        async with asyncio.timeout(30):
            while await find_own(store.log, "run-1", 3, "a1") is False:
                last = await store.log.last("run-1")
                await store.log.append("run-1", [build_step("run-1", last + 1)], expected=last)
        assert [event.seq for event in await store.log.read("run-1")] == [1, 2, 3]


async def test_a_server_that_is_down_is_unavailable(own_server: PostgresServer) -> None:
    """A refused connection is said so at once; nothing was written."""
    dsn = await own_server.create_database()
    async with open_postgres_store(dsn) as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        await asyncio.to_thread(own_server.stop)
        try:
            with pytest.raises(Unavailable, match="cannot be reached"):
                await store.log.append("run-1", [build_step("run-1", 3)], expected=2)
            with pytest.raises(Unavailable, match="check that the server runs"):
                await store.log.last("run-1")
        finally:
            await asyncio.to_thread(own_server.start)
        await store.log.append("run-1", [build_step("run-1", 3)], expected=2)
