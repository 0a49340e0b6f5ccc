"""Which calls may pass now, which wait for their turn, and which are told to come back later?

Whoever waits stands in the queue of the window that has no room, behind those who came before. Only the first of a
queue looks whether there is room; the others cost nothing while they wait, and leave nothing behind when they go.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from threading import Lock

from quorate.errors import RateLimited
from quorate.models.limits.memory import MemoryLimits
from quorate.models.limits.rules import Claim, LimitRule, build_claims
from quorate.models.limits.store import LimitStore, Refusal, Ticket
from quorate.specs import Caller

Pause = Callable[["asyncio.Future[None]", float], Awaitable[object]]
"""Waits until something is done or so many seconds have gone by."""

MAX_WAITING = 10_000
MAX_KNOWN = 8192
LOOK_S = 1.0
"""How often the first in a queue looks again when others may have given something back unseen."""


async def pause(future: asyncio.Future[None], seconds: float) -> None:
    """Wait until `future` is done or so many seconds have gone by."""
    await asyncio.wait((future,), timeout=seconds)


class Waiter:
    """A call in a queue."""

    __slots__ = ("deadline", "loop", "tokens", "turn")

    def __init__(self, tokens: int, deadline: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.turn: asyncio.Future[None] = self.loop.create_future()
        self.tokens = tokens
        self.deadline = deadline

    def wake(self) -> None:
        """Let it look again; from any thread."""
        if self.loop is asyncio.events._get_running_loop():
            self._set()
        else:
            self.loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self.turn.done():
            self.turn.set_result(None)

    def renew(self) -> None:
        """Begin a new wait, unless it was woken meanwhile."""
        if self.turn.done():
            self.turn = self.loop.create_future()


class Limiter:
    """The limits of a gateway; all of its models share one."""

    def __init__(
        self,
        rules: Sequence[LimitRule],
        *,
        store: LimitStore | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Pause = pause,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """Limit calls.

        Args:
            rules: What is limited.
            store: Where it is counted; in this process when not given.
            monotonic: The time of waits.
            pause: How waits are done.
            max_waiting: How many calls may wait at once; a further one is refused.
        """
        self.rules = tuple(rules)
        self._store = store or MemoryLimits(monotonic=monotonic)
        self._monotonic = monotonic
        self._pause = pause
        self._max_waiting = max_waiting
        self._queues: dict[str, deque[Waiter]] = {}
        self._known: dict[tuple[str, ...], tuple[Claim, ...]] = {}
        self._scopes = frozenset(rule.scope for rule in self.rules)
        # Calls may come from several threads, each with an event loop of its own.
        self._lock = Lock()

    @property
    def waiting(self) -> int:
        """How many calls wait at the moment."""
        with self._lock:
            return sum(map(len, self._queues.values()))

    def find_claims(self, caller: Caller, *, model: str, credential: str = "") -> tuple[Claim, ...]:
        """Find the windows that a call counts in; none where no rule is for it."""
        scopes = self._scopes
        known = (
            model,
            credential,
            caller.tenant,
            caller.agent if "agent" in scopes else "",
            caller.principal if "key" in scopes else "",
            caller.session if "session" in scopes else "",
        )
        claims = self._known.get(known)
        if claims is None:
            if len(self._known) >= MAX_KNOWN:
                self._known = {}
            claims = build_claims(self.rules, model=model, credential=credential, caller=caller)
            self._known[known] = claims
        return claims

    async def enter(self, claims: Sequence[Claim], tokens: int = 0) -> Ticket:
        """Wait until a call may pass all of its windows, and count it in them.

        Args:
            claims: Its windows.
            tokens: What it will use, as far as one can tell.

        Raises:
            RateLimited: It would wait too long; `retry_after_s` says how long it would have been.
            Unavailable: The counts cannot be reached.
        """
        queues = self._queues
        first: Claim | None = None
        if queues:
            first = next((claim for claim in claims if claim.key in queues), None)
        if first is None:
            outcome = await self._store.admit(claims, tokens)
            if not isinstance(outcome, Refusal):
                return outcome
            if outcome.wait_s > outcome.claim.max_wait_s:
                raise refuse(outcome.claim, outcome.wait_s)
            first = outcome.claim
        return await self._wait(claims, tokens, first)

    async def settle(self, ticket: Ticket, tokens: int, *, requests: int = 1) -> None:
        """Tell what a call really used; `requests` 0 when it was not made.

        Raises:
            Unavailable: The counts cannot be reached; what was foreseen stays counted until it has passed.
        """
        await self._store.settle(ticket, tokens, requests=requests)
        if self._queues and (tokens < ticket.tokens or not requests):
            for claim in ticket.claims:
                self._wake(claim.key)

    async def _wait(self, claims: Sequence[Claim], tokens: int, claim: Claim) -> Ticket:
        """Stand in queues until there is room."""
        self._check_room(claim, tokens)
        began = self._monotonic()
        waiter = Waiter(tokens, began + claim.max_wait_s)
        key = claim.key
        self._join(key, waiter)
        try:
            while True:
                waiter.renew()
                if self._queues[key][0] is not waiter:
                    await self._stand(waiter, claim)
                    continue
                outcome = await self._store.admit(claims, tokens)
                if not isinstance(outcome, Refusal):
                    return outcome
                if outcome.claim.key != key:
                    # The room here is taken by nobody; another window has none.
                    self._leave(key, waiter)
                    claim, key = outcome.claim, outcome.claim.key
                    waiter.deadline = min(waiter.deadline, began + claim.max_wait_s)
                    self._join(key, waiter)
                left = waiter.deadline - self._monotonic()
                if outcome.wait_s > left:
                    raise refuse(claim, outcome.wait_s)
                is_exact = claim.tokens is None and not self._store.is_shared
                await self._pause(waiter.turn, outcome.wait_s if is_exact else min(outcome.wait_s, LOOK_S))
        finally:
            self._leave(key, waiter)

    async def _stand(self, waiter: Waiter, claim: Claim) -> None:
        """Wait behind others.

        Raises:
            RateLimited: Its time is over.
        """
        left = waiter.deadline - self._monotonic()
        if left <= 0:
            raise refuse(claim, claim.per_s)
        await self._pause(waiter.turn, left)

    def _check_room(self, claim: Claim, tokens: int) -> None:
        """Refuse at once a call that would wait in vain, or for which there is no place to wait.

        Raises:
            RateLimited: Those before it alone take longer than it may wait, or too many wait.
        """
        ahead = self._queues.get(claim.key, ())
        rounds = 0
        if claim.requests is not None:
            rounds = len(ahead) // claim.requests
        if claim.tokens is not None and ahead:
            rounds = max(rounds, sum(waiter.tokens for waiter in list(ahead)) // claim.tokens)
        if (rounds and rounds * claim.per_s > claim.max_wait_s) or not claim.max_wait_s:
            raise refuse(claim, max(rounds, 1) * claim.per_s)
        if self.waiting >= self._max_waiting:
            raise refuse(claim, claim.per_s)

    def _join(self, key: str, waiter: Waiter) -> None:
        with self._lock:
            self._queues.setdefault(key, deque()).append(waiter)

    def _leave(self, key: str, waiter: Waiter) -> None:
        """Leave a queue; whoever is first now looks whether there is room."""
        with self._lock:
            queue = self._queues.get(key)
            if queue is None or waiter not in queue:
                return
            was_first = queue[0] is waiter
            queue.remove(waiter)
            if not queue:
                del self._queues[key]
            elif was_first:
                queue[0].wake()

    def _wake(self, key: str) -> None:
        with self._lock:
            queue = self._queues.get(key)
            if queue:
                queue[0].wake()


def refuse(claim: Claim, wait_s: float) -> RateLimited:
    """Say that a call would have to wait too long, how long, and why."""
    most = [f"{amount:,} {what}" for amount, what in ((claim.requests, "requests"), (claim.tokens, "tokens")) if amount]
    whose = f" for {claim.scope} {claim.value!r}" if claim.value else ""
    return RateLimited(
        f"The limit {claim.limit!r} of {' and '.join(most)} in {claim.per_s:g} s is met{whose}: "
        f"try again in {wait_s:.1f} s, or raise the limit.",
        retry_after_s=wait_s,
        source="gateway",
        limit=claim.limit,
        scope=claim.scope,
    )
