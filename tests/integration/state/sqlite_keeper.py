"""A process that shares a database with others: it counts, keeps blobs, or owns runs until it is killed."""

import asyncio
import sys
from collections.abc import AsyncIterator

from quorate.errors import Conflict
from quorate.events import RunStarted
from quorate.ports import Store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.contracts import build_opening


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def increment(store: Store, key: str, times: int) -> None:
    """Count as others do; say each number that was ours."""
    for _ in range(times):
        while True:
            entry = await store.values.get(key)
            number = int(entry.value) + 1 if entry is not None else 1
            try:
                await store.values.put(
                    key, str(number).encode(), if_revision=entry.revision if entry is not None else 0
                )
            except Conflict:
                continue
            break
        say(number)


async def give() -> AsyncIterator[bytes]:
    """Give pieces for ever, and say when some of them must be in the file."""
    number = 0
    while True:
        yield b"x" * (1 << 20)
        number += 1
        if number == 4:
            say("under way")


async def own(store: Store, owner: str, run: str) -> None:
    """Take a run, and beat until somebody says that we are dead."""
    lease = await store.leases.beat(owner, ttl_s=60)
    started = RunStarted(run=run, seq=2, time=11.0, attempt=owner, owner=owner)
    await store.log.append(run, [build_opening(run)[0], started], expected=0)
    say("owned")
    while True:
        lease = await store.leases.beat(owner, ttl_s=60, epoch=lease.epoch)


async def main(mode: str, path: str, *names: str) -> None:
    async with open_sqlite_store(path) as store:
        if mode == "count":
            await increment(store, names[0], int(names[1]))
        elif mode == "blob":
            await store.blobs.put(names[0], give())
        else:
            await own(store, names[0], names[1])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
