"""Is a run that a worker was just taking when it was told to stop anybody's at once?"""

import asyncio
from collections.abc import Sequence

from msgspec import structs

from quorate import Agent, ScriptedModel, Settings
from quorate.assembly import open_runtime
from quorate.events import ATTEMPTS, AnyEvent
from quorate.ports import Log, Store
from quorate.runtime.worker import Worker


class Held:
    """A log whose answer to the first attempt comes late: it is committed, and nobody knows yet."""

    def __init__(self, inner: Log) -> None:
        self.inner = inner
        self.committed = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        await self.inner.append(run, events, expected=expected)
        if any(isinstance(event, ATTEMPTS) for event in events) and not self.committed.is_set():
            self.committed.set()
            await self.may_answer.wait()

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        return await self.inner.read(run, after=after, limit=limit)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


async def test_a_worker_that_stops_while_it_takes_a_run_hands_it_over(store: Store) -> None:
    """Its attempt is committed and it does not know yet: the run is not left behind with an owner that lives."""
    held = Held(store.log)
    clerk = Agent("clerk", model=ScriptedModel(lambda request: "done"))
    async with (
        open_runtime(Settings(), store=structs.replace(store, log=held), agents=[clerk]) as one,
        open_runtime(Settings(), store=store, agents=[clerk]) as two,
        asyncio.TaskGroup() as group,
    ):
        run = (await two.submit("x", agent="clerk", start=False)).id
        first, second = Worker(one, poll_s=0.01), Worker(two, poll_s=0.01)
        stopped = group.create_task(first.run())
        await held.committed.wait()
        first.stop()
        await asyncio.sleep(0.05)
        held.may_answer.set()
        await stopped
        # The process that stopped is still there, and beats: nobody would ever declare it dead.
        group.create_task(second.run())
        async with asyncio.timeout(30):
            while (await two.show(run)).status != "completed":
                await asyncio.sleep(0.01)
        second.stop()
