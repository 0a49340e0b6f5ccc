"""How does one talk over a bus that may be away, and is used again when it comes back?

```python
async with open_returning_bus(lambda: open_nats_bus(url), tell=tell) as bus, open_courier(bus) as courier: ...
```
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from quorate.errors import QuorateError, Unavailable, describe_error
from quorate.ports.bus import Bus, Message, Receipt, Room, Subscription, Work

Opened = TypeVar("Opened")


class ConnectedBus(Bus, Protocol):
    """A bus that knows whether it has a connection."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection at the moment."""
        ...


@runtime_checkable
class KeepingBus(Protocol):
    """A bus that can say whether what keeps its streams answers."""

    async def check_ready(self, *, timeout_s: float = 1.0) -> None:
        """Return if it does.

        Raises:
            Unavailable: It does not.
            DeadlineExceeded: It does not in time.
        """
        ...


class ReturnPatience(Struct, frozen=True, kw_only=True):
    """How often a bus that is away is looked for."""

    wait_s: float = 0.5
    """The longest first wait before it is opened again; it doubles, and is spread from half of that to all of it."""
    longest_wait_s: float = 5.0
    look_s: float = 1.0
    """How often an open one is asked whether it has its connection."""
    give_up_s: float = 30.0
    """For how long an open one may look for its connection itself; then it is closed, and opened anew."""


Open = Callable[[], AbstractAsyncContextManager[ConnectedBus]]
Tell = Callable[[QuorateError | None], None]
"""Told once that the bus is away and why, and `None` once it is there again."""


class ReturningBus:
    """A `quorate.ports.bus.Bus` that is opened in the background, when it is first used, and again and again.

    While it is away everything raises `Unavailable` at once; only while it is opened for the first time one waits.
    """

    def __init__(
        self,
        open_bus: Open,
        *,
        tell: Tell,
        patience: ReturnPatience,
        sleep: Callable[[float], Awaitable[None]],
        spread: Callable[[], float],
    ) -> None:
        self._open = open_bus
        self._tell = tell
        self._patience = patience
        self._sleep = sleep
        self._spread = spread
        self._bus: ConnectedBus | None = None
        self._wanted = asyncio.Event()
        self._tried = asyncio.Event()
        """Set once it is known whether it could be opened at first."""
        self._why: QuorateError | None = None
        """Why it is away, as was said last."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection at the moment."""
        return self._bus is not None and self._bus.is_connected

    async def keep(self) -> None:
        """Open the bus once it is wanted, and again whenever it is lost, for ever."""
        await self._wanted.wait()
        wait_s = self._patience.wait_s
        while True:
            try:
                async with self._open() as bus:
                    self._bus = bus
                    self._tried.set()
                    self._say(None)
                    wait_s = self._patience.wait_s
                    await self._watch(bus)
            except Exception as error:  # a bus only shortens waits: whatever is wrong with it must end nobody's work
                self._say(_explain(error))
            finally:
                self._bus = None
                self._tried.set()
            await self._sleep(wait_s * (1 + self._spread()) / 2)
            wait_s = min(2 * wait_s, self._patience.longest_wait_s)

    async def check_ready(self, *, timeout_s: float = 1.0) -> None:
        """Return if it is there and what keeps its streams answers; see `KeepingBus`."""
        bus = await self._find()
        if isinstance(bus, KeepingBus):
            with _contained():
                await bus.check_ready(timeout_s=timeout_s)

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Tell everybody who listens; see `quorate.ports.bus.Bus`."""
        bus = await self._find()
        with _contained():
            await bus.publish(subject, data, headers=headers, reply=reply)

    async def flush(self, *, timeout_s: float = 5.0) -> None:
        """Wait until the broker has everything; see `quorate.ports.bus.Bus`."""
        bus = await self._find()
        with _contained():
            await bus.flush(timeout_s=timeout_s)

    @asynccontextmanager
    async def subscribe(
        self,
        pattern: str,
        *,
        group: str | None = None,
        after: int | None = None,
        since: float | None = None,
        room: Room | None = None,
    ) -> AsyncGenerator[Subscription]:
        """Listen for a block; see `quorate.ports.bus.Bus`. It ends when the bus is given up."""
        bus = await self._find()
        async with _within(bus.subscribe(pattern, group=group, after=after, since=since, room=room)) as subscription:
            yield subscription

    async def request(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, timeout_s: float = 5.0
    ) -> Message:
        """Ask whoever listens; see `quorate.ports.bus.Bus`."""
        bus = await self._find()
        with _contained():
            return await bus.request(subject, data, headers=headers, timeout_s=timeout_s)

    async def enqueue(
        self,
        subject: str,
        data: bytes,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        ttl_s: float | None = None,
        timeout_s: float = 5.0,
    ) -> Receipt:
        """Put a message into the stream that keeps its subject; see `quorate.ports.bus.Bus`."""
        bus = await self._find()
        with _contained():
            return await bus.enqueue(subject, data, id=id, headers=headers, ttl_s=ttl_s, timeout_s=timeout_s)

    @asynccontextmanager
    async def work(self, queue: str, *, max_in_flight: int = 64) -> AsyncGenerator[Work]:
        """Take work for a block; see `quorate.ports.bus.Bus`. It ends when the bus is given up."""
        bus = await self._find()
        async with _within(bus.work(queue, max_in_flight=max_in_flight)) as work:
            yield work

    async def _find(self) -> ConnectedBus:
        self._wanted.set()
        if self._bus is None:
            await self._tried.wait()
        if self._bus is None:
            raise Unavailable("the bus is away; it is looked for in the background.")
        return self._bus

    async def _watch(self, bus: ConnectedBus) -> None:
        """Look at an open bus for as long as there is hope for it."""
        away_s = 0.0
        while away_s < self._patience.give_up_s:
            await self._sleep(self._patience.look_s)
            away_s = 0.0 if bus.is_connected else away_s + self._patience.look_s
            self._say(Unavailable("The connection to the bus was lost.") if away_s else None)

    def _say(self, why: QuorateError | None) -> None:
        if (self._why is None) != (why is None):
            self._tell(why)
        self._why = why


@asynccontextmanager
async def open_returning_bus(
    open_bus: Open,
    *,
    tell: Tell = lambda why: None,
    patience: ReturnPatience | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    spread: Callable[[], float] = random.random,
) -> AsyncGenerator[ReturningBus]:
    """Use a bus for a block, whenever it is there.

    Args:
        open_bus: Opens it once; what that raises is told, and it is tried again.
        tell: Told when the bus goes away, and when it is back.
        patience: How often it is looked for.
        sleep: Waits.
        spread: Gives numbers between 0 and 1, so that not everybody comes back at once.
    """
    async with asyncio.TaskGroup() as group:
        bus = ReturningBus(open_bus, tell=tell, patience=patience or ReturnPatience(), sleep=sleep, spread=spread)
        keeping = group.create_task(bus.keep())
        try:
            yield bus
        finally:
            keeping.cancel()


def _explain(error: Exception) -> QuorateError:
    return error if isinstance(error, QuorateError) else Unavailable(f"the bus failed: {describe_error(error)}")


@contextmanager
def _contained() -> Generator[None]:
    """Make one of our errors of whatever a client library raises."""
    try:
        yield
    except QuorateError:
        raise
    except Exception as error:  # whoever talks over a bus is prepared for our errors, and for no others
        raise _explain(error) from error


@asynccontextmanager
async def _within(opening: AbstractAsyncContextManager[Opened]) -> AsyncGenerator[Opened]:
    stack = AsyncExitStack()
    with _contained():
        opened = await stack.enter_async_context(opening)
    try:
        yield opened
    finally:
        with _contained():
            await stack.aclose()
