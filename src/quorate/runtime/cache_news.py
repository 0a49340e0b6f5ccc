"""How does every process of a fleet forget at once what one of them says is to be forgotten?

```python
async with open_cache_news(settings, gateway.caches):
    await gateway.caches.invalidate(Invalidation(model="openai:*"))
```
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from quorate.bus.event_subjects import read_data
from quorate.bus.events import Events
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput, QuorateError
from quorate.models.cache.caches import Caches
from quorate.models.cache.rule import Invalidation
from quorate.ports.happening import Happening
from quorate.runtime.relay.opening import open_events
from quorate.settings import Settings

KIND = "cache.invalidated"
SKEW_S = 300.0
"""How far the clocks of a process and of the broker may be apart: what is older was said before anything was kept."""
RETRY_S = 1.0
_logger = logging.getLogger("quorate.cache")


class CacheNews:
    """Tells other processes what is to be forgotten, and obeys what they tell.

    What is told is kept by the bus and read on from where it was left. So a process that lost the bus for a while
    forgets what it did not hear of as soon as it is back; until then it answers from what it has.
    """

    def __init__(
        self,
        caches: Caches,
        events: Events,
        *,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Build it.

        Args:
            caches: Whose answers are forgotten.
            events: Over a bus that was opened with `build_event_rules`.
            clock: Since when it listens.
            sleep: Waits before it listens again.
        """
        self.obeyed = 0
        """How many times something was forgotten because another process said so."""
        self._caches = caches
        self._events = events
        self._clock = clock
        self._sleep = sleep
        self._since = clock.now() - SKEW_S

    async def announce(self, which: Invalidation) -> None:
        """Let others know; it returns once the bus keeps it.

        Raises:
            DeadlineExceeded: It was not confirmed in time.
            Unavailable: The bus is away.
        """
        await self._events.publish(KIND, which, kept=True)

    async def listen(self) -> None:
        """Obey what is told, for ever."""
        is_away = False
        while True:
            try:
                # Not from a number on: a broker that lost its disk counts anew, and twice does no harm.
                async with self._events.subscribe(KIND, since=self._since) as news:
                    is_away = False
                    async for event in news:
                        await self._obey(event)
                        # A clock elsewhere that is ahead must not make us miss what is said until then.
                        said = min(event.time, self._clock.now())
                        self._since = max(self._since, said - SKEW_S)
            except QuorateError as error:
                if not is_away:
                    _logger.warning("Nobody can tell us what is to be forgotten, for now: %s", error.message)
                is_away = True
            await self._sleep(RETRY_S)

    async def _obey(self, event: Happening) -> None:
        """Forget what is meant, our own words included: somebody else may have kept an answer since."""
        try:
            which = read_data(event, Invalidation)
        except InvalidInput:
            which = Invalidation()  # a newer version means something that we cannot tell apart
        await self._caches.obey(which)
        self.obeyed += 1


@asynccontextmanager
async def obeying(caches: Caches, events: Events, *, clock: Clock = SYSTEM_CLOCK) -> AsyncGenerator[CacheNews]:
    """Let caches tell others what is to be forgotten and obey them, for a block."""
    news = CacheNews(caches, events, clock=clock)
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(news.listen())
        caches.announce_by(news.announce)
        try:
            yield news
        except BaseException as error:
            failure = error  # kept until the group has ended, which would wrap it
        caches.announce_by(None)
        task.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def open_cache_news(settings: Settings, caches: Caches) -> AsyncGenerator[CacheNews]:
    """Do so over the bus that the settings name; while it is away, it is looked for.

    Raises:
        InvalidInput: The settings name no bus, or its settings do not hold together.
        Forbidden: It is on another machine, and there is no login.
        MissingExtra: What speaks to it is not installed.
    """
    async with open_events(settings) as events, obeying(caches, events) as news:
        yield news
