"""Does what a hive remembers hold on PostgreSQL, too?"""

from __future__ import annotations

import asyncio

from quorate.context.memory.keeping import TenantMemory
from quorate.context.memory.kinds import MemoryRules, Retention
from quorate.context.memory.memories import Memories
from quorate.context.memory.places import Member
from quorate.state.backends.postgres import open_postgres_store

ACME = "memory/acme/"


async def test_many_write_at_once_within_the_caps(postgres_dsn: str) -> None:
    """Contributors of one memory are all counted, the caps hold, and erasing leaves nothing."""
    rules = MemoryRules(semantic=Retention(max_entries=4, max_kb=100, half_life_s=1e6))
    async with open_postgres_store(postgres_dsn) as store:
        processes = [Memories(store.values, prefix=ACME, rules=rules) for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                hive, by = processes[number % 3], Member(principal="ann", agent=f"agent-{number % 6}", run="run-1")
                text = "the pump is red" if number < 6 else f"pump number {number}"
                said = hive.remember(text, by, visibility="shared", importance=0.9 if number < 6 else 0.1)
                group.create_task(said)
        found = await processes[0].find("pump", Member(principal="bob", agent="web"), kinds=["semantic"], limit=9)
        assert len(found.found) == 4
        assert len(found.found[0].entry.contributors) == 6
        assert await TenantMemory(store.values, prefix=ACME).erase("ann") > 4
        assert await store.values.scan(ACME) == []
