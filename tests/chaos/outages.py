"""How is a database taken away from those who work on it: stopped, locked, cut off or full?"""

import asyncio
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.forks import Process, pause
from tests.integration.state.postgres_proxy import Proxy, open_proxy

from quorate.testing.postgres_server import PostgresServer, open_postgres_server

MIB = 1 << 20


@contextmanager
def take_away(database: str, server: PostgresServer | None) -> Generator[None]:
    """Take the database away for a block: the server is stopped, or a stranger holds the file."""
    if server is not None:
        server.stop()
        try:
            yield
        finally:
            server.start()
        return
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def is_held(database: str) -> bool:
    """Whether somebody is in the middle of a write transaction on a file."""
    with closing(sqlite3.connect(database, timeout=0.05, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


def pause_inside_a_transaction(process: Process, database: str) -> bool:
    """Stop a process where it holds the file's lock; say whether that came about before it had nothing to write."""
    for _ in range(1000):
        pause(process)
        if is_held(database):
            return True
        process.send_signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.002)
        if process.poll() is not None:
            return False
    return False


@contextmanager
def mount(place: Path, *, size_mib: int, options: str = "") -> Generator[None]:
    """Mount a small file system of its own, where this user may; skips the test elsewhere."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m{options}", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(ballast: Path) -> None:
    """Take all the room that there is."""
    with ballast.open("ab") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))


Take = Callable[[], None]


@contextmanager
def small_disk(kind: str, folder: Path) -> Generator[tuple[str, Take, Take]]:
    """Open a database whose disk is small; yields it, what takes all the room, and what gives it back."""
    if kind == "sqlite":
        disk = folder / "disk"
        disk.mkdir()
        with mount(disk, size_mib=16):
            ballast = disk / "ballast"
            yield str(disk / "quorate.db"), lambda: fill(ballast), ballast.unlink
        return
    with open_postgres_server() as server:
        disk = server.make_folder("disk")
        with mount(disk, size_mib=32, options=f",uid={disk.stat().st_uid},mode=0700"):
            asyncio.run(server.execute(f"CREATE TABLESPACE small LOCATION '{disk}'"))
            database = asyncio.run(server.create_database(options="TABLESPACE small"))
            ballast = disk / "ballast"
            yield database, lambda: fill(ballast), ballast.unlink
            server.stop()


class Cutter:
    """A proxy before a server, in a thread of its own, that cuts connections once their statements were committed."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._loop = loop

    @property
    def cuts(self) -> int:
        """How many connections were cut so far."""
        return self._proxy.cuts

    def hold(self, *, answers: bool) -> None:
        """Keep what the server answers, and cut whoever waits for it; or pass it on again."""

        def change() -> None:
            self._proxy.hold_answers = answers

        self._loop.call_soon_threadsafe(change)


@contextmanager
def open_cutter(server: PostgresServer, database: str) -> Generator[tuple[Cutter, str]]:
    """Open a proxy before a database; yields it and the database's address through it."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: list[Cutter] = []
    ports: list[int] = []
    stop = asyncio.Event()

    async def serve() -> None:
        async with open_proxy(server.port) as proxy:
            found.append(Cutter(proxy, loop))
            ports.append(proxy.port)
            ready.set()
            await stop.wait()
            # Those who were connected are gone, so what served them ends by itself.
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if left:
                await asyncio.wait(left, timeout=5)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield found[0], server.build_dsn(urlsplit(database).path[1:], port=ports[0])
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
