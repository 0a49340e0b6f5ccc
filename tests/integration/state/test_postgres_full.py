"""Is a full disk survived: nothing lost, reads going on, and writes again when there is room?"""

import subprocess
from collections.abc import AsyncGenerator
from random import Random

import pytest

from quorate.errors import StorageFull
from quorate.ports import Log
from quorate.state.backends.postgres import open_postgres_store
from quorate.testing.contracts import build_opening, build_step
from quorate.testing.postgres_server import open_postgres_server


async def fill(log: Log, last: int) -> tuple[int, StorageFull]:
    """Append until there is no room; return the last position that was acknowledged, and the refusal."""
    while last < 5000:
        try:
            # Text that does not compress, since PostgreSQL would.
            step = build_step("run-1", last + 1, content=Random(last).randbytes(10_000).hex())
            await log.append("run-1", [step], expected=last)
        except StorageFull as error:
            return last, error
        last += 1
    raise AssertionError("the disk never was full")


async def chunks() -> AsyncGenerator[bytes]:
    for _ in range(40):
        yield bytes(range(256)) * 1024


async def test_a_full_disk_refuses_writes_and_is_well_again_without_reopening() -> None:
    """On a real file system of 24 MiB for the tables: nothing is acknowledged that was not kept; reads go on."""
    with open_postgres_server() as server:
        disk = server.make_folder("disk")
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size=24m,uid={disk.stat().st_uid},mode=0700", "tmpfs", str(disk)],
            check=False,
            capture_output=True,
        )
        if mounted.returncode:
            pytest.skip("this user may not mount a file system")
        try:
            await server.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            dsn = await server.create_database(options="TABLESPACE small")
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(8 << 20))
            async with open_postgres_store(dsn) as store:
                log = store.log
                await log.append("run-1", build_opening("run-1"), expected=0)
                last, error = await fill(log, 2)
                again, _ = await fill(log, last)
                assert again == last
                assert "cannot grow. Nothing was written; free some space" in error.message
                assert await log.last("run-1") == last
                assert [event.seq for event in await log.read("run-1")] == list(range(1, last + 1))
                with pytest.raises(StorageFull):
                    await store.blobs.put("big", chunks())
                assert await store.blobs.list_blobs() == []
                ballast.unlink()
                await log.append("run-1", [build_step("run-1", last + 1, content="x" * 1900)], expected=last)
                assert [event.seq for event in await log.read("run-1")] == list(range(1, last + 2))
        finally:
            server.stop()
            subprocess.run(["umount", str(disk)], check=True)
