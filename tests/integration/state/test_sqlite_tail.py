"""Is it told apart whether a write-ahead log was damaged, or somebody else is writing to it?"""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.state.backends._sqlite_tail import is_open_elsewhere, read_tail, scan
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.contracts import build_opening

HEADER, FRAME = 32, 24 + 4096
HOLDER = """
import asyncio, sys
from quorate.state.backends.sqlite import open_sqlite_store

async def hold():
    async with open_sqlite_store(sys.argv[1]):
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(hold())
"""


def write_behind(path: Path) -> None:
    """Write what was committed last once more behind itself, where no index knows of it."""
    with open(f"{path}-wal", "r+b") as log:
        tail = scan(log)
        assert tail is not None
        log.seek(HEADER + (tail.frames - 1) * FRAME)
        frame = log.read(FRAME)
        log.write(frame)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not tell who holds locks")
async def test_what_nobody_was_told_of_is_no_damage_while_others_live(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind what is committed stands a commit that its writer did not live to publish: nothing is lost, nothing said."""
    path = tmp_path / "quorate.db"
    async with open_sqlite_store(path) as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        assert not is_open_elsewhere(path), "we are not somebody else"
        command = [sys.executable, "-c", HOLDER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert await asyncio.to_thread(holder.stdout.readline) == "open\n"
            assert is_open_elsewhere(path)
            write_behind(path)
            assert read_tail(path) is None
            async with open_sqlite_store(path) as second:
                assert await second.log.last("run-1") == 2
            holder.communicate()
        assert read_tail(path) is not None
    assert "sqlite_log_damaged" not in caplog.text
