"""DBOS: a workflow whose steps are checkpointed by position."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.sides_durable.branches import BRANCHES, STEPS, Killer, do_step

KILLER = Killer()


@DBOS.step()
async def sleep_step() -> int:
    await asyncio.sleep(0.001)
    return 1


@DBOS.workflow()
async def steps_workflow() -> int:
    return sum([await sleep_step() for _ in range(10)])


@DBOS.step()
async def branch_step(branch: str, number: int) -> str:
    return await do_step(KILLER, branch, number)


async def do_branch(branch: str) -> str:
    return " ".join([await branch_step(branch, number) for number in range(STEPS)])


@DBOS.workflow()
async def branches_workflow() -> str:
    return "|".join(await asyncio.gather(*[do_branch(branch) for branch in BRANCHES]))


class Opened:
    def __init__(self, known: Mapping[str, str]) -> None:
        self.recorded = known
        self.left = [name for name, status in known.items() if status == "PENDING"]

    async def run_steps(self, name: str) -> object:
        with SetWorkflowID(name):
            return await steps_workflow()

    async def run_branches(self, name: str) -> object:
        with SetWorkflowID(name):
            return await branches_workflow()

    async def resume(self, name: str) -> object:
        # Launching it has begun to recover what was pending.
        handle = await DBOS.retrieve_workflow_async(name)
        return await handle.get_result()


def is_there(side: str, place: str) -> bool:
    return side == "postgres" or Path(place, "dbos.db").exists()


def find_known(url: str) -> dict[str, str]:
    client = DBOSClient(system_database_url=url)
    try:
        return {found.workflow_id: found.status for found in client.list_workflows()}
    except SQLAlchemyError:  # a database in which it never was
        return {}
    finally:
        client.destroy()


@asynccontextmanager
async def open_engine(side: str, place: str) -> AsyncGenerator[Opened]:
    url = place if side == "postgres" else f"sqlite:///{place}/dbos.db"
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "run_admin_server": False,
        "log_level": "CRITICAL",
        "application_version": "1",
    }
    logging.disable(logging.CRITICAL)
    DBOS(config=config)
    # Before it is launched: that begins to recover them.
    known = find_known(url) if is_there(side, place) else {}
    DBOS.launch()
    try:
        yield Opened(known)
    finally:
        DBOS.destroy()
