"""A process that appends to a database in a loop and says on its standard output what was acknowledged."""

import asyncio
import sys

from quorate.assembly import open_store
from quorate.errors import Conflict
from quorate.ports import Log
from quorate.settings import Settings
from quorate.testing.contracts import build_opening, build_step


def say(run: str, seq: int) -> None:
    sys.stdout.write(f"{run} {seq}\n")
    sys.stdout.flush()


async def write_for_ever(log: Log, run: str) -> None:
    """Go on where the log ends."""
    last = await log.last(run)
    if not last:
        await log.append(run, build_opening(run), expected=0)
        last = 2
        say(run, last)
    while True:
        await log.append(run, [build_step(run, last + 1, content="x" * 300)], expected=last)
        last += 1
        say(run, last)


async def race(log: Log, run: str, *, attempt: str, until: int) -> None:
    """Win positions of a shared run against another process; say only those that were won."""
    while (last := await log.last(run)) < until:
        try:
            await log.append(run, [build_step(run, last + 1, attempt=attempt)], expected=last)
        except Conflict:
            continue
        say(attempt, last + 1)


async def main(mode: str, database: str, *names: str) -> None:
    """Work on a file or a server, whichever the name is of."""
    async with open_store(Settings(database=database)) as store, asyncio.TaskGroup() as group:
        if mode == "loop":
            for run in names:
                group.create_task(write_for_ever(store.log, run))
        else:
            group.create_task(race(store.log, names[0], attempt=names[1], until=int(names[2])))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
