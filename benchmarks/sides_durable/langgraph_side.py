"""LangGraph's functional API: an entrypoint whose tasks are checkpointed, in its SQLite checkpointer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task

from benchmarks.sides_durable.branches import BRANCHES, STEPS, Killer, do_step

KILLER = Killer()


@task
async def sleep_step() -> int:
    await asyncio.sleep(0.001)
    return 1


@task
async def branch_step(branch: str, number: int) -> str:
    return await do_step(KILLER, branch, number)


async def do_branch(branch: str) -> str:
    return " ".join([await branch_step(branch, number) for number in range(STEPS)])


class Opened:
    def __init__(self, saver: AsyncSqliteSaver) -> None:
        @entrypoint(checkpointer=saver)
        async def run_steps(go: bool) -> int:
            return sum([await sleep_step() for _ in range(10)])

        @entrypoint(checkpointer=saver)
        async def run_branches(go: bool) -> str:
            return "|".join(await asyncio.gather(*[do_branch(branch) for branch in BRANCHES]))

        self._steps, self._branches = run_steps, run_branches
        self._saver = saver
        self.left: list[str] = []
        self.recorded: set[str] = set()

    async def look(self) -> None:
        """Find what had begun and not ended."""
        self.recorded = {found.config["configurable"]["thread_id"] async for found in self._saver.alist(None)}
        self.left = [name for name in self.recorded if (await self._branches.aget_state(_config(name))).next]

    async def run_steps(self, name: str) -> object:
        return await self._steps.ainvoke(True, _config(name), durability="sync")

    async def run_branches(self, name: str) -> object:
        return await self._branches.ainvoke(True, _config(name), durability="sync")

    async def resume(self, name: str) -> object:
        return await self._branches.ainvoke(None, _config(name), durability="sync")


def _config(name: str) -> dict[str, dict[str, str]]:
    return {"configurable": {"thread_id": name}}


@asynccontextmanager
async def open_engine(side: str, place: str) -> AsyncGenerator[Opened]:
    async with AsyncSqliteSaver.from_conn_string(f"{place}/langgraph.db") as saver:
        await saver.setup()
        opened = Opened(saver)
        await opened.look()
        yield opened
