"""How does every refusal come into the audit trail, though nobody can flood it with them?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

from msgspec import Struct

from quorate.errors import QuorateError, StorageFull, Unavailable
from quorate.state.audit import AuditTrail

GATHER_S = 5.0
"""How long refusals that are alike are put together into one row."""
MAX_KINDS = 256
"""How many kinds of refusals are told apart at once; further ones are counted together."""
OTHERS = "others"
MAX_TRAILS = 64

Spawn = Callable[[Coroutine[object, object, None]], object]


class Refusal(Struct, frozen=True, kw_only=True):
    """That somebody was refused something."""

    tenant: str
    """In whose trail it is."""
    action: str
    """What was wanted, such as `http.refuse`."""
    principal: str
    """Who wanted it, as far as is known."""
    object: str
    """What, or from where: a key, a route, an address; never a credential."""
    reason: str
    """The code of the refusal."""
    detail: str = ""
    """Which right or quota was missing."""


class Refusals:
    """Counts refusals that are alike, and writes one row for each kind every few seconds, with how many there were.

    Args:
        open_trail: Opens the audit trail of a tenant.
        spawn: Does something beside the request.
    """

    def __init__(self, open_trail: Callable[[str], AuditTrail], *, spawn: Spawn) -> None:
        self._open_trail = open_trail
        self._spawn = spawn
        self._counts: dict[Refusal, int] = {}
        self._trails: dict[str, AuditTrail] = {}
        self._is_waiting = False
        self._turn = asyncio.Lock()

    def note(self, refusal: Refusal) -> None:
        """Note a refusal; it is written within seconds."""
        if refusal not in self._counts and len(self._counts) >= MAX_KINDS:
            refusal = Refusal(
                tenant=refusal.tenant, action=refusal.action, principal=OTHERS, object=OTHERS, reason=refusal.reason
            )
            if refusal not in self._counts and len(self._counts) >= 2 * MAX_KINDS:
                return  # as many tenants at once: it is counted by whoever watches, and told apart by nobody
        self._counts[refusal] = self._counts.get(refusal, 0) + 1
        if not self._is_waiting:
            self._is_waiting = True
            self._spawn(self._write_later())

    async def flush(self) -> None:
        """Write what was noted; what cannot be written now is kept for the next time.

        Raises:
            Unavailable: The store cannot be reached.
        """
        async with self._turn:
            counts, self._counts = self._counts, {}
            try:
                for refusal in list(counts):
                    try:
                        await self._write(refusal, counts[refusal])
                    except (StorageFull, Unavailable):
                        raise
                    except QuorateError:
                        continue  # a trail that is damaged keeps nothing out of those of others
                    del counts[refusal]
            finally:
                for refusal, count in counts.items():
                    if refusal in self._counts or len(self._counts) < 2 * MAX_KINDS:
                        self._counts[refusal] = self._counts.get(refusal, 0) + count

    async def _write(self, refusal: Refusal, count: int) -> None:
        facts: dict[str, object] = {"count": count}
        if refusal.detail:
            facts["detail"] = refusal.detail
        await self._find_trail(refusal.tenant).append(
            refusal.action,
            principal=refusal.principal,
            object=refusal.object,
            outcome="refused",
            reason=refusal.reason,
            facts=facts,
        )

    async def _write_later(self) -> None:
        try:
            await asyncio.sleep(GATHER_S)
        finally:
            self._is_waiting = False
        with suppress(QuorateError):
            await self.flush()
        if self._counts and not self._is_waiting:
            self._is_waiting = True
            self._spawn(self._write_later())

    def _find_trail(self, tenant: str) -> AuditTrail:
        trail = self._trails.get(tenant)
        if trail is None:
            if len(self._trails) >= MAX_TRAILS:
                del self._trails[next(iter(self._trails))]
            trail = self._trails[tenant] = self._open_trail(tenant)
        return trail
