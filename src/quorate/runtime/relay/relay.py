"""How does what an outbox notes reach everybody who is told of it, at least once, by one process of all at a time?

```python
async with Relay(store, [BusSink(...)]).running(): ...
```
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput, QuorateError
from quorate.ports import Notice, Store
from quorate.runtime.relay.backlog import Backlog
from quorate.runtime.relay.lane import Lane, RelayRule, Tell
from quorate.runtime.relay.sink import Sink
from quorate.runtime.turn import Turn

TURN = "relay/turn"
"""Under which key it is noted whose turn it is to tell."""
END_S = 1.0
"""How long giving the turn up may take."""
FINISH_S = 5.0
"""How long what is pending at the end may take to be told."""
OUTBOX = "outbox"
"""Under which name it is told that the outbox itself cannot be read."""


class Relay:
    """Takes notices out of the outbox of a store, gives them to all sinks, and marks them as told.

    Any number of processes may run one over the same database: they take turns, by the database's own time. A notice
    leaves the outbox once every sink took it, or it is kept for those that did not: so one that fails keeps nobody
    waiting, and loses nothing. Whatever dies in between, the next one goes on, and a sink may be told twice.
    """

    def __init__(
        self,
        store: Store,
        sinks: Sequence[Sink],
        *,
        rule: RelayRule | None = None,
        tell: Tell = lambda sink, why: None,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Build a relay.

        Args:
            store: Opened with an outbox, as all that write to the same database must be.
            sinks: Who is told; the same ones in all processes.
            rule: How fast and how patient it is.
            tell: Told when a sink falls behind, when it is back, and when the outbox itself cannot be read.
            clock: Tells how old a turn is.
            sleep: Waits.

        Raises:
            InvalidInput: Two sinks have the same name, or one has no id for a name.
        """
        self.rule = rule or RelayRule()
        self.told = 0
        """How many notices left the outbox since this process began."""
        self._store = store
        self._tell = tell
        self._sleep = sleep
        self._turn = Turn(store.values, TURN, ttl_s=self.rule.lease_s, clock=clock)
        self.lanes = tuple(
            Lane(sink, Backlog(store.values, sink.name), turn=self._turn, rule=self.rule, tell=tell, sleep=sleep)
            for sink in sinks
        )
        """The ways to the sinks, with what was lost on each."""
        names = [lane.name for lane in self.lanes]
        if len(set(names)) < len(names):
            raise InvalidInput(
                f"two sinks have the same name among {names!r}; what is kept for one is not the other's."
            )
        self._begun = 0
        self._looking = asyncio.Lock()
        """Held while a batch is given, until it is marked as told."""
        self._is_away = False

    async def run(self) -> None:
        """Tell what there is to tell, until cancelled; while the database is away, it is waited for."""
        try:
            async with asyncio.TaskGroup() as group:
                for lane in self.lanes:
                    group.create_task(lane.serve())
                group.create_task(self._beat())
                while True:
                    await self._sleep(await self._work())
        finally:
            await self._end_turn()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run beside a block; what is pending at its end is told once more, as far as that does not take long."""
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.run())
            try:
                yield
            except BaseException as error:
                failure = error  # kept until the group has ended, which would wrap it
            else:
                await self._come_to_rest(task)
            task.cancel()
        if failure is not None:
            raise failure
        await self._finish()

    async def _come_to_rest(self, task: asyncio.Task[None]) -> None:
        """End between two batches, if it does not take long: what was given is marked, and not told again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S), AsyncExitStack() as stack:
                for lock in (self._looking, *(lane.moving for lane in self.lanes)):
                    await stack.enter_async_context(lock)
                task.cancel()
                await asyncio.wait({task})

    async def _finish(self) -> None:
        with suppress(QuorateError, TimeoutError):  # the next one tells the rest
            async with asyncio.timeout(FINISH_S):
                while await self.look():
                    pass
        await self._end_turn()

    async def _end_turn(self) -> None:
        with suppress(QuorateError, TimeoutError):  # it runs out by itself
            async with asyncio.timeout(END_S):
                await self._turn.end()

    async def look(self) -> int:
        """Tell one batch of what is pending, if it is our turn; return how many notices that were.

        Raises:
            StorageFull: What a sink did not take cannot be kept for it.
            Unavailable: The store cannot be reached.
        """
        async with self._looking:
            return await self._look()

    async def _look(self) -> int:
        if not await self._turn.keep():
            return 0
        if self._turn.number != self._begun:
            number = self._turn.number
            for lane in self.lanes:
                await lane.begin()
            self._begun = number
        notices = await self._store.outbox.pending(limit=self.rule.batch)
        if notices:
            await self._give(notices)
        return len(notices)

    async def _give(self, notices: Sequence[Notice]) -> None:
        async with asyncio.TaskGroup() as group:
            offers = [group.create_task(lane.offer(notices)) for lane in self.lanes]
        for offer in offers:
            why = offer.result()
            if why is not None:
                raise why
        await self._store.outbox.done([notice.id for notice in notices])
        self.told += len(notices)

    async def _work(self) -> float:
        """Tell a batch; return after how many seconds to look again."""
        try:
            count = await self.look()
        except QuorateError as error:
            if not self._is_away:
                self._tell(OUTBOX, error)
            self._is_away = True
            return self.rule.retry_s
        if self._is_away:
            self._tell(OUTBOX, None)
        self._is_away = False
        if not self._turn.is_ours:
            return self._turn.beat_s
        return 0.0 if count == self.rule.batch else self.rule.poll_s

    async def _beat(self) -> None:
        """Keep the turn while a sink takes its time."""
        while True:
            await self._sleep(self._turn.beat_s)
            if self._turn.is_ours:
                with suppress(QuorateError):  # whoever looks next finds out
                    await self._turn.keep()
