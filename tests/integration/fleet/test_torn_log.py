"""What is left of a SQLite file whose write-ahead log lost or changed its tail after a kill?"""

from pathlib import Path
from random import Random

import pytest
from tests.integration.state.test_sqlite_crash import check_integrity

from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.contracts import build_opening, build_step

COMMITS = 40
DAMAGES = 12


async def leave_behind(path: Path) -> tuple[bytes, bytes, list[int]]:
    """Write to a file and leave it as a killed process does; return file and write-ahead log, and how long the latter
    was when each event was acknowledged."""
    sizes: list[int] = []
    async with open_sqlite_store(path) as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        for seq in range(3, 3 + COMMITS):
            await store.log.append("run-1", [build_step("run-1", seq, content="x" * 3000)], expected=seq - 1)
            sizes.append(Path(f"{path}-wal").stat().st_size)
        return path.read_bytes(), Path(f"{path}-wal").read_bytes(), sizes


@pytest.mark.parametrize("damage", ["cut off", "a flipped byte", "garbage"])
async def test_a_damaged_tail_takes_nothing_from_before_it(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The file opens, without half a commit; everything acknowledged before the damage is there, and the run can go
    on from there. That a commit which was there as a whole is gone is said."""
    random = Random(damage)
    image, wal, sizes = await leave_behind(tmp_path / "quorate.db")
    for number in range(DAMAGES):
        place = random.randrange(sizes[-6], len(wal))
        torn = bytearray(wal)
        if damage == "cut off":
            del torn[place:]
        elif damage == "a flipped byte":
            torn[place] ^= 0xFF
        else:
            torn[place:] = random.randbytes(len(wal) - place)
        copy = tmp_path / f"copy-{number}.db"
        copy.write_bytes(image)
        Path(f"{copy}-wal").write_bytes(torn)
        caplog.clear()
        async with open_sqlite_store(copy) as store:
            events = await store.log.read("run-1")
            last = len(events)
            assert [event.seq for event in events] == list(range(1, last + 1))
            assert last >= 2 + sum(size <= place for size in sizes), "something from before the damage is gone"
            told = "sqlite_log_damaged" in caplog.text
            assert told or damage != "a flipped byte", (place, last)
            assert not told or damage != "cut off", (place, last)
            assert [summary.events for summary in await store.log.list_runs()] == [last]
            await store.log.append("run-1", [build_step("run-1", last + 1)], expected=last)
        check_integrity(copy)
