"""How does a process show that it is alive, so that others leave its runs alone and it finds those that nobody has?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from quorate.errors import Fenced, QuorateError, Unavailable
from quorate.events import RunSummary
from quorate.ids import new_id
from quorate.ports import Lease, Leases

BEATS = 3
"""How many times a lease is prolonged in its time to live: two beats may fail."""
END_S = 1.0
"""How long giving the lease up may take, in seconds; after that it runs out by itself."""

Sleep = Callable[[float], Awaitable[None]]


class Owner:
    """A process as an owner of runs: it beats its lease, and begins another one when it was declared dead.

    The lease only says whether somebody may try to take over. What keeps an old owner from writing is the log: the
    attempt of whoever took over stands where the old one wants to write.
    """

    def __init__(self, leases: Leases, *, ttl_s: float, sleep: Sleep = asyncio.sleep) -> None:
        self.ttl_s = ttl_s
        self._leases = leases
        self._sleep = sleep
        self._lease: Lease | None = None
        self._beginning = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """Under which name it owns runs at the moment; empty before it began."""
        return self._lease.owner if self._lease is not None else ""

    async def begin(self, group: asyncio.TaskGroup) -> None:
        """Begin a lease and keep it, unless that was done already.

        Raises:
            Unavailable: The store cannot be reached.
        """
        async with self._beginning:
            if self._lease is None:
                self._lease = await self._leases.beat(new_id("owner"), ttl_s=self.ttl_s)
                self._task = group.create_task(self._keep())

    async def beat(self) -> None:
        """Prolong the lease; begin another one when others declared this owner dead, such as after a long pause.

        Raises:
            Unavailable: The store cannot be reached.
        """
        if self._lease is None:
            return
        try:
            self._lease = await self._leases.beat(self._lease.owner, ttl_s=self.ttl_s, epoch=self._lease.epoch)
        except Fenced:
            self._lease = await self._leases.beat(new_id("owner"), ttl_s=self.ttl_s)

    async def _keep(self) -> None:
        while True:
            await self._sleep(self.ttl_s / BEATS)
            try:
                async with asyncio.timeout(self.ttl_s):
                    await self.beat()
            except (QuorateError, TimeoutError):
                continue  # others wait for a whole lease before they declare anybody dead

    async def find_work(self, *, limit: int, agents: Sequence[str] | None = None) -> list[RunSummary]:
        """Find runs that nobody works on, oldest first, of some agents or of all; none before the lease began.

        Raises:
            Unavailable: The store cannot be reached.
        """
        if self._lease is None:
            return []
        if agents is None:
            return await self._leases.find_work(self._lease, ttl_s=self.ttl_s, limit=limit)
        return await self._leases.find_work(self._lease, ttl_s=self.ttl_s, limit=limit, agents=agents)

    async def is_away(self, owner: str, *, now: float) -> bool:
        """Whether nobody beats the lease that covers a run any more, as far as can be told at wall time `now`.

        Raises:
            Unavailable: The store cannot be reached.
        """
        leases = await self._leases.list_leases()
        return all(lease.owner != owner or lease.expires < now for lease in leases)

    def rest(self) -> None:
        """Beat no more; the lease runs out by itself unless it is given up."""
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """Give the lease up: what is left behind is anybody's at once.

        Raises:
            Unavailable: The store cannot be reached; the lease runs out by itself.
        """
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            async with asyncio.timeout(min(END_S, self.ttl_s)):
                await self._leases.drop(lease.owner)
        except TimeoutError as error:
            raise Unavailable(f"The store did not take the lease of {lease.owner!r} back in time.") from error
