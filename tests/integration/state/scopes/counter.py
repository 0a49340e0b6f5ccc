"""A process that counts: `counter.py ADDRESS TIMES` adds one to a value so often, and prints how often that succeeded."""

import asyncio
import sys

from quorate.errors import Conflict
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.state.places import ScopeRef
from quorate.state.scopes import StateStore


async def count(address: str, times: int) -> int:
    opened = open_postgres_store(address) if address.startswith("postgresql:") else open_sqlite_store(address)
    done = 0
    async with opened as store:
        state = StateStore(store.values)

        async def add_one() -> None:
            nonlocal done
            try:
                await state.update(
                    ScopeRef(scope="tenant", tenant="default"),
                    "count",
                    lambda value: value + 1 if isinstance(value, int) else 1,
                )
            except Conflict:
                return
            done += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(times):
                group.create_task(add_one())
    return done


if __name__ == "__main__":
    print(asyncio.run(count(sys.argv[1], int(sys.argv[2]))))
