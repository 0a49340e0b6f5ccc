"""A process that submits what is due, or works on what was submitted, over one database of either kind.

`python process.py schedule DATABASE [before|after N]`: say `ready`, wait for a line, then submit what is due until the
input ends; with the last words, die by SIGKILL before or after a schedule is written for the N-th time.
`python process.py work DATABASE JOURNAL GATE LEASE_S MAX_CRASHES`: work until killed; the job leaves a line in the
file JOURNAL and waits until the file GATE is there.
"""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import structs

from quorate import Agent, ScriptedModel, Settings, open_runtime, tool
from quorate.assembly import open_store
from quorate.models.scripted import call
from quorate.ports import Entry, KeyValue
from quorate.runtime import Worker
from quorate.runtime.schedules import Happened, Scheduler
from quorate.settings.values import WorkerSettings


def say(*words: object) -> None:
    """One line, at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Deadly:
    """A `KeyValue` that kills the process before or after the n-th time that a schedule is written."""

    def __init__(self, inner: KeyValue, *, when: str, at: int) -> None:
        self.inner = inner
        self.get = inner.get
        self.delete = inner.delete
        self.scan = inner.scan
        self._when = when
        self._left = at

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self._left -= key.startswith("schedule/")
        is_now = key.startswith("schedule/") and self._left == 0
        if is_now and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        entry = await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)
        if is_now:
            os.kill(os.getpid(), signal.SIGKILL)
        return entry


def build_agents(journal: str, gate: str) -> list[Agent[None, str]]:
    """A job that shows when it was begun, and one that kills whoever works on it."""

    @tool(effect="idempotent")
    async def job() -> str:
        """Do it."""
        handle = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, f"{os.getpid()}\n".encode())
        os.close(handle)
        while not Path(gate).exists():
            await asyncio.sleep(0.02)
        return "done"

    @tool(effect="idempotent")
    def explode() -> str:
        """End the process at once, as a crash of an extension module does."""
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"

    def work(name: str, what: str) -> ScriptedModel:
        return ScriptedModel(
            lambda request: f"{name} done" if request.messages[-1].role != "user" else call(what), name=name
        )

    return [
        Agent("clerk", model=work("clerk", "job"), tools=[job]),
        Agent("poison", model=work("poison", "explode"), tools=[explode]),
    ]


async def schedule(database: str, when: str = "", at: str = "0") -> None:
    """Submit what is due until the input ends."""
    settings = Settings(database=database)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        if when:
            store = structs.replace(store, values=Deadly(store.values, when=when, at=int(at)))
        runtime = await stack.enter_async_context(open_runtime(settings, store=store, agents=build_agents("-", "-")))

        def tell(happened: Happened) -> None:
            say(happened.what, happened.schedule, happened.moment, happened.run)

        scheduler = Scheduler(runtime, tell=tell, poll_s=0.1, takeover_s=0.5)
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncio.TaskGroup() as group:
            group.create_task(scheduler.run())
            await asyncio.to_thread(sys.stdin.read)
            scheduler.stop()


async def work(database: str, journal: str, gate: str, lease_s: str, max_crashes: str) -> None:
    """Work until killed."""
    settings = Settings(database=database, worker=WorkerSettings(lease_s=float(lease_s), max_crashes=int(max_crashes)))
    async with open_runtime(settings, agents=build_agents(journal, gate)) as runtime:
        say("ready")
        await Worker(runtime, poll_s=0.02).run()


if __name__ == "__main__":
    asyncio.run({"schedule": schedule, "work": work}[sys.argv[1]](*sys.argv[2:]))
