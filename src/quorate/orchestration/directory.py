"""Which agents can be written to, and which of them read at the moment?"""

from __future__ import annotations

from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.codec.stored import read_stored, write_stored
from quorate.errors import UnknownName
from quorate.ids import check_id
from quorate.ports import KeyValue

KNOWN_S = 7 * 86_400.0
"""How long an agent that reads no more can still be written to: its messages wait for it."""
BEAT_S = 30.0
TRUSTED_S = 5.0
"""How long it is believed that an agent is known, without looking again."""
MAX_TRUSTED = 1_000
PAGE = 200


class Listener(Struct, frozen=True, kw_only=True):
    """An agent that has an inbox."""

    agent: str
    seen: float
    """When it was last there, in wall time."""

    def is_awake(self, now: float) -> bool:
        """Whether somebody reads its inbox at wall time `now`, as far as is known."""
        return now - self.seen < 3 * BEAT_S


class Directory:
    """The agents of one tenant that have an inbox, kept in the store that its processes share."""

    def __init__(self, values: KeyValue, *, tenant: str = "default", clock: Clock = SYSTEM_CLOCK) -> None:
        self._values = values
        self._prefix = f"mail/{check_id(tenant, 'tenant')}/agent/"
        self._clock = clock
        self._trusted: dict[str, float] = {}

    async def add(self, agent: str) -> None:
        """Note that an agent has an inbox and is there; again and again while it is.

        Raises:
            Unavailable: The store cannot be reached.
        """
        listener = Listener(agent=check_id(agent, "agent name"), seen=self._clock.now())
        await self._values.put(f"{self._prefix}{agent}", write_stored(listener), ttl_s=KNOWN_S)

    async def remove(self, agent: str) -> bool:
        """Forget an agent for good, and say whether it was known: nobody can write to it any more."""
        self._trusted.pop(agent, None)
        return await self._values.delete(f"{self._prefix}{agent}")

    async def check(self, agent: str) -> None:
        """Return if an agent can be written to.

        Raises:
            UnknownName: It never had an inbox, or has had none for a week; the nearest name is suggested.
        """
        now = self._clock.monotonic()
        if self._trusted.get(agent, now) > now:
            return
        if await self._values.get(f"{self._prefix}{agent}") is None:
            known = [listener.agent for listener in await self.list_listeners()]
            raise UnknownName("agent with an inbox", agent, known, "An agent has one from when it first listens.")
        if len(self._trusted) >= MAX_TRUSTED:
            self._trusted.clear()
        self._trusted[agent] = now + TRUSTED_S

    async def list_listeners(self) -> list[Listener]:
        """List the agents that can be written to, by name."""
        found: list[Listener] = []
        after = ""
        while True:
            page = await self._values.scan(self._prefix, after=after, limit=PAGE)
            found += [read_stored(entry.value, Listener, what=f"what is known of {entry.key!r}") for entry in page]
            if len(page) < PAGE:
                return found
            after = page[-1].key
