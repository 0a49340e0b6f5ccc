"""Does Ctrl-C leave a backup or a restore in a state that is told and can be gone on from?"""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.unit.state.backup.filling import build_run

from quorate.state.backends.sqlite import open_sqlite_store
from quorate.state.backup import create_backup

RUNS = 6_000


def start(database: Path, *words: str) -> subprocess.Popen[str]:
    """Type a command in a process of its own."""
    environment = {**os.environ, "QUORATE_DATABASE": str(database)}
    command = [sys.executable, "-c", "import sys; from quorate.cli import main; sys.exit(main())", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(fits: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not fits() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def count_runs(database: Path) -> int:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
    return 0


async def fill(path: Path, database: Path) -> None:
    async with open_sqlite_store(database) as store:
        for begin in range(0, RUNS, 500):
            async with asyncio.TaskGroup() as group:
                for number in range(begin, begin + 500):
                    run = f"run-{number:06}"
                    group.create_task(store.log.append(run, build_run(run, tenant="default"), expected=0))
        await create_backup(store, path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A backup, and the database that it is of."""
    folder = tmp_path_factory.mktemp("filled")
    asyncio.run(fill(folder / "b.quorate", folder / "old.db"))
    return folder / "b.quorate", folder / "old.db"


def test_a_restore_is_stopped_and_goes_on(tmp_path: Path, filled: tuple[Path, Path]) -> None:
    """Ctrl-C says how the database stands; the command that it names completes the restore; the rest is whole."""
    path, new = filled[0], tmp_path / "new.db"
    process = start(new, "backup", "restore", str(path))
    wait_until(lambda: count_runs(new) > 0, process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "as a whole or not at all" in told
    half = count_runs(new)
    assert 0 < half < RUNS
    with closing(sqlite3.connect(new)) as connection:
        sizes = connection.execute("SELECT run, count(*) FROM events GROUP BY run HAVING count(*) != 6").fetchall()
    assert sizes == []
    words = told.rpartition("Go on with: quorate ")[2].split()
    process = start(new, *words)
    out, told = process.communicate(timeout=110)
    assert (process.returncode, count_runs(new)) == (0, RUNS), told
    assert f"{(RUNS - half) * 6} events" in out


def test_a_backup_is_stopped_and_leaves_nothing(tmp_path: Path, filled: tuple[Path, Path]) -> None:
    """Ctrl-C while a backup is written leaves no file, not even a hidden one."""
    folder = tmp_path / "backups"
    folder.mkdir()
    process = start(filled[1], "backup", "create", str(folder / "b.quorate"))
    wait_until(lambda: bool(os.listdir(folder)), process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert os.listdir(folder) == []
