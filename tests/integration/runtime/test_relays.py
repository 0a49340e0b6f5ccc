"""Do several processes tell what a shared database notes, one at a time, while others write and sinks fail?"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from quorate import Settings
from quorate.assembly import open_store
from quorate.errors import Unavailable
from quorate.events import RunCancelled, RunCreated
from quorate.messages import build_user_message
from quorate.ports import Notice, Store
from quorate.runtime.relay import Relay, RelayRule
from quorate.settings.values import BusSettings

RULE = RelayRule(poll_s=0.01, batch=9, lease_s=30, retry_s=0.01, longest_retry_s=0.05)
BUS = BusSettings(url="nats://127.0.0.1:4222", events=True)
PATIENCE_S = 60.0
RUNS = 60


class Flaky:
    """A sink that several relays have in common, as a broker is; it fails now and then."""

    def __init__(self, name: str, *, share: float) -> None:
        self.name = name
        self.heard: list[tuple[str, int]] = []
        self.busy = 0
        self._share = share
        self._dice = random.Random(7)

    async def take(self, notices: Sequence[Notice]) -> None:
        self.busy += 1
        try:
            await asyncio.sleep(0.001)
            if self._dice.random() < self._share:
                raise Unavailable("it is away.")
            self.heard += [(notice.run, notice.seq) for notice in notices]
        finally:
            self.busy -= 1


@asynccontextmanager
async def open_stores(database: str, count: int) -> AsyncGenerator[list[Store]]:
    """Open a database several times, as processes do."""
    async with AsyncExitStack() as stack:
        settings = Settings(database=database, bus=BUS)
        yield [await stack.enter_async_context(open_store(settings)) for _ in range(count)]


async def record(store: Store, number: int) -> None:
    """Record a run of two events, one after the other."""
    run, task = f"run-{number}", (build_user_message("why?"),)
    await store.log.append(run, [RunCreated(run=run, seq=1, time=1.0, agent="net", messages=task)], expected=0)
    await store.log.append(run, [RunCancelled(run=run, seq=2, time=2.0)], expected=1)


async def test_everything_is_told_once_and_in_order_by_one_of_three(database: str) -> None:
    """Two sinks that fail now and then, three relays that come and go, writers meanwhile: each notice reaches each
    sink once, as no process died, those of one run in order; nothing is left behind."""
    sinks = [Flaky("bus", share=0.3), Flaky("hooks", share=0.1)]
    async with open_stores(database, 4) as (writer, *others):

        async def relay(store: Store, turns: int) -> None:
            for _ in range(turns):
                async with Relay(store, sinks, rule=RULE).running():
                    await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as group:
            for store in others:
                group.create_task(relay(store, 3))
            for number in range(RUNS):
                group.create_task(record(writer, number))
        last = Relay(others[0], sinks, rule=RULE)
        async with asyncio.timeout(PATIENCE_S), last.running():
            while await writer.outbox.pending() or await writer.values.scan("relay/behind/"):
                await asyncio.sleep(0.01)
        assert await writer.values.get("relay/turn") is None
    expected = Counter((f"run-{number}", seq) for number in range(RUNS) for seq in (1, 2))
    for sink in sinks:
        assert Counter(sink.heard) == expected, sink.name
        assert all(
            sink.heard.index((f"run-{number}", 1)) < sink.heard.index((f"run-{number}", 2)) for number in range(RUNS)
        )
