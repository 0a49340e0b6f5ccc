"""Is everything that was acknowledged still there after a process died in the middle?"""

import sqlite3
import subprocess
from pathlib import Path

from tests.forks import Process, fork

from quorate.state.backends.sqlite import open_sqlite_log
from quorate.testing.contracts import build_opening, build_step

APPENDER = str(Path(__file__).parent / "appender.py")
RUNS = [f"run-{number}" for number in range(8)]
ROUNDS = 10


def start(*arguments: str) -> Process:
    return fork([APPENDER, *arguments], stdout=subprocess.PIPE)


def note(lines: list[str], acknowledged: dict[str, int]) -> None:
    """Keep the highest acknowledged position of each run; a line that was cut off by the kill does not count."""
    for line in lines:
        if line.endswith("\n"):
            run, seq = line.split()
            acknowledged[run] = max(acknowledged.get(run, 0), int(seq))


def check_integrity(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    stray = "SELECT run FROM runs r WHERE last <> (SELECT max(seq) FROM events e WHERE e.run = r.run)"
    assert connection.execute(stray).fetchall() == []
    connection.close()


async def test_kill_nine_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Ten rounds of kill -9 on a process that appends: every acknowledged event is there, and no gap."""
    path = tmp_path / "quorate.db"
    acknowledged: dict[str, int] = {}
    for number in range(ROUNDS):
        process = start("loop", str(path), *RUNS)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(40 + 37 * number)]
        process.kill()
        rest = process.stdout.readlines()
        process.stdout.close()
        assert process.wait(timeout=30) == -9
        note([*lines, *rest], acknowledged)
        async with open_sqlite_log(path) as log:
            for run in RUNS:
                events = await log.read(run)
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                assert len(events) >= acknowledged.get(run, 0)
                assert await log.last(run) == len(events)
        check_integrity(path)
    assert sum(acknowledged.values()) > 1000


async def test_two_processes_share_a_database(tmp_path: Path) -> None:
    """Two processes that race for one run each win some positions and never the same one."""
    path = tmp_path / "quorate.db"
    async with open_sqlite_log(path) as log:
        await log.append("run-1", build_opening("run-1"), expected=0)
    processes = [start("race", str(path), "run-1", name, "300") for name in ("p1", "p2")]
    won = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    positions = {int(line.split()[1]): line.split()[0] for lines in won for line in lines}
    assert len(positions) == len(won[0]) + len(won[1])
    async with open_sqlite_log(path) as log:
        events = await log.read("run-1")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert {event.seq: event.attempt for event in events[2:]} == positions
    check_integrity(path)


async def test_two_processes_create_a_database_at_once(tmp_path: Path) -> None:
    """Whoever is second finds the tables made."""
    path = tmp_path / "new" / "quorate.db"
    processes = [start("race", str(path), "run-1", name, "0") for name in ("p1", "p2", "p3", "p4")]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0, 0]
    check_integrity(path)


async def test_a_write_cut_in_the_middle_is_as_if_it_never_was(tmp_path: Path) -> None:
    """Half a commit at the end of the write-ahead log is passed over, and the run goes on from what was whole."""
    path, copy = tmp_path / "quorate.db", tmp_path / "copy.db"
    async with open_sqlite_log(path) as log:
        await log.append("run-1", build_opening("run-1"), expected=0)
        whole = Path(f"{path}-wal").stat().st_size
        await log.append("run-1", [build_step("run-1", 3, content="x" * 20_000)], expected=2)
        image, wal = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    assert len(wal) > whole + 5000
    for cut in (whole + 1, whole + 4096, len(wal) - 1):
        copy.write_bytes(image)
        Path(f"{copy}-wal").write_bytes(wal[:cut])
        Path(f"{copy}-shm").unlink(missing_ok=True)
        async with open_sqlite_log(copy) as log:
            assert await log.read("run-1") == build_opening("run-1")
            step = build_step("run-1", 3)
            await log.append("run-1", [step], expected=2)
            assert await log.read("run-1", after=2) == [step]
        check_integrity(copy)


async def test_a_corrupt_last_page_of_the_write_ahead_log_is_passed_over(tmp_path: Path) -> None:
    """A flipped byte in the last commit drops that commit whole, and what came before stands."""
    path, copy = tmp_path / "quorate.db", tmp_path / "copy.db"
    async with open_sqlite_log(path) as log:
        await log.append("run-1", build_opening("run-1"), expected=0)
        await log.append("run-1", [build_step("run-1", 3)], expected=2)
        image, wal = path.read_bytes(), bytearray(Path(f"{path}-wal").read_bytes())
    wal[-100] ^= 0xFF
    copy.write_bytes(image)
    Path(f"{copy}-wal").write_bytes(wal)
    async with open_sqlite_log(copy) as log:
        assert await log.read("run-1") == build_opening("run-1")
    check_integrity(copy)
