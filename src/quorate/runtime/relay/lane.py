"""How does one sink get its notices, in order and at its own pace, whatever becomes of the others?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec import Struct

from quorate.errors import CorruptState, QuorateError, Unavailable, describe_error
from quorate.ports import Notice
from quorate.runtime.relay.backlog import Backlog, Page
from quorate.runtime.relay.sink import Sink
from quorate.runtime.turn import Turn

Tell = Callable[[str, QuorateError | None], None]
"""Told by a sink's name that it fell behind or lost something and why, and `None` once it has taken everything."""


class RelayRule(Struct, frozen=True, kw_only=True):
    """How notices are told, and how much patience there is with whoever takes them."""

    poll_s: float = 0.2
    """How often the outbox is looked into."""
    batch: int = 200
    """How many notices are given to a sink at a time."""
    lease_s: float = 10.0
    """After how many seconds without a sign another process tells what there is to tell."""
    take_s: float = 10.0
    """How long a sink may need for a batch while the others wait for it; then it is behind."""
    behind_s: float = 60.0
    """How long one may need that is behind, for which nobody waits."""
    retry_s: float = 0.5
    """After how many seconds a sink that failed is asked again; it doubles each time."""
    longest_retry_s: float = 30.0
    max_behind: int = 200_000
    """How many notices are kept for a sink that does not take them; beyond that its oldest give way."""


class Lane:
    """The way from the outbox to one sink: straight on while it takes everything, and by a backlog once it did not."""

    def __init__(
        self,
        sink: Sink,
        backlog: Backlog,
        *,
        turn: Turn,
        rule: RelayRule,
        tell: Tell,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.name = sink.name
        self.lost = 0
        """How many notices gave way since this process began, because too many waited."""
        self._sink = sink
        self._backlog = backlog
        self._turn = turn
        self._rule = rule
        self._tell = tell
        self._sleep = sleep
        self.moving = asyncio.Lock()
        """Held while something that is kept is given to the sink, until it is kept no more."""
        self._is_behind = False
        self._waiting = 0
        self._retry_s = rule.retry_s
        self._taken: frozenset[int] = frozenset()
        """What was taken or kept of a batch that is not marked as told yet."""
        self._order = asyncio.Lock()
        """Held while a backlog grows, or is found to be empty."""
        self._fell = asyncio.Event()

    @property
    def is_behind(self) -> bool:
        """Whether something is kept that the sink did not take."""
        return self._is_behind

    async def begin(self) -> None:
        """Look what another process left behind.

        Raises:
            Unavailable: The store cannot be reached.
        """
        async with self._order:
            self._taken = frozenset()
            try:
                self._waiting = await self._backlog.count()
                self._is_behind = await self._backlog.find_first() is not None
            except CorruptState:  # it keeps this sink from catching up, and no other from being told
                self._waiting, self._is_behind = 0, True
            self._retry_s = self._rule.retry_s
            if self._is_behind:
                self._fell.set()
            else:
                self._fell.clear()

    async def offer(self, notices: Sequence[Notice]) -> QuorateError | None:
        """Give notices to the sink, or keep them for it; return why neither could be done."""
        new = [notice for notice in notices if notice.id not in self._taken]
        try:
            if new and (self._is_behind or not await self._is_taken(new, within_s=self._rule.take_s)):
                await self._keep(new)
        except QuorateError as error:
            return error
        self._taken = frozenset(notice.id for notice in notices)
        return None

    async def serve(self) -> None:
        """Give the sink what is kept for it whenever there is something, until cancelled."""
        while True:
            await self._wait_behind()
            await self._sleep(self._retry_s)
            try:
                is_served = await self.catch_up()
            except CorruptState as error:
                self._tell(self.name, error)
                is_served = False
            except QuorateError:  # the store is away, and says so wherever it is asked first
                is_served = False
            self._retry_s = self._rule.retry_s if is_served else min(2 * self._retry_s, self._rule.longest_retry_s)

    async def _wait_behind(self) -> None:
        while not self._fell.is_set():
            try:
                async with asyncio.timeout(self._rule.longest_retry_s):
                    await self._fell.wait()
            except TimeoutError:
                with suppress(QuorateError):  # the next look finds it
                    await self.find_stray()

    async def find_stray(self) -> None:
        """Look for what another process kept for the sink after its turn had ended: it stalled, and we had begun.

        Raises:
            Unavailable: The store cannot be reached.
        """
        async with self._order:
            if self._turn.is_ours and not self._is_behind and await self._backlog.find_first() is not None:
                self._is_behind = True
                self._fell.set()

    async def catch_up(self) -> bool:
        """Give the sink what is kept for it, as long as that is our turn; say whether it took all of it.

        Raises:
            Unavailable: The store cannot be reached.
        """
        while self._is_behind:
            async with self.moving:
                if not (self._turn.is_ours and await self._move()):
                    return False
        return True

    async def _move(self) -> bool:
        """Give the sink the first of what is kept for it; say whether it took it, or there was none."""
        page = await self._backlog.find_first()
        if page is None:
            async with self._order:  # nothing is being added now
                if await self._backlog.find_first() is None:
                    self._is_behind, self._waiting = False, 0
                    self._fell.clear()
                    self._tell(self.name, None)
            return True
        if not page.notices:
            why = CorruptState(f"{page.entry.key!r} cannot be read: what is kept there for {self.name!r} is lost.")
            self._tell(self.name, why)
        elif not await self._is_taken(page.notices, within_s=self._rule.behind_s):
            return False
        await self._remove(page)
        return True

    async def _is_taken(self, notices: Sequence[Notice], *, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._sink.take(notices)
        except TimeoutError:
            why = Unavailable(f"{self.name!r} did not take {len(notices)} notices within {within_s:g} s.")
        except Exception as error:  # a sink is anybody's code, and one that fails harms no other
            why = error if isinstance(error, QuorateError) else Unavailable(describe_error(error))
        else:
            return True
        if not self._is_behind:
            self._tell(self.name, why)
        wait_s = why.context.get("retry_after_s")
        if isinstance(wait_s, (int, float)):
            self._retry_s = max(self._retry_s, float(wait_s))
        return False

    async def _keep(self, notices: Sequence[Notice]) -> None:
        async with self._order:
            await self._backlog.add(notices)
            self._waiting += len(notices)
            self._is_behind = True
            self._fell.set()
        while self._waiting > self._rule.max_behind:
            try:
                page = await self._backlog.find_first()
            except CorruptState as error:  # it is kept all the same, and no other sink waits for that
                self._tell(self.name, error)
                return
            if page is None:
                return
            await self._remove(page)
            self.lost += len(page.notices)
            self._tell(
                self.name,
                Unavailable(
                    f"More than {self._rule.max_behind} notices wait for {self.name!r}: the {len(page.notices)} oldest "
                    "gave way. The log still has what they are about.",
                    lost=self.lost,
                ),
            )

    async def _remove(self, page: Page) -> None:
        if await self._backlog.remove(page):
            self._waiting = max(0, self._waiting - len(page.notices))
