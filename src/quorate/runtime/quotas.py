"""What may a tenant, a project and a key use, here and now, and what have they used?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil

from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import BudgetExceeded, Conflict, QuorateError, RateLimited, StorageFull, Unavailable
from quorate.models.budgets.budgets import Budgets
from quorate.models.budgets.rules import Cap
from quorate.models.cost import NANO
from quorate.models.limits.rules import Claim
from quorate.models.limits.shares import Shares, find_span
from quorate.ports import Store
from quorate.runtime.quota_bytes import MeteredBlobs
from quorate.runtime.quota_facts import TenantFacts, build_cap, build_claim
from quorate.runtime.quota_slots import RunSlots
from quorate.runtime.refusals import Refusal, Refusals
from quorate.security.quotas import Quota, QuotaBook, QuotaTable
from quorate.security.tenants import TenantBook
from quorate.specs import Caller
from quorate.state.patience import insist

TRUSTED_S = 5.0
"""How long a tenant and its quotas are believed to be what they were: a change is known everywhere after that."""
AGAIN_S = 1.0
"""After how long a store that is away is asked again."""
MAX_KNOWN = 10_000
CLOSE_S = 2.0
TRIES = 20


class QuotaUse(Struct, frozen=True, kw_only=True):
    """A quota, and how much of it is used."""

    subject: str
    """Whose it is: `""` for the tenant's own, `project/NAME` or `key/ID`."""
    quota: Quota
    used: float
    held: float = 0.0
    """Set aside for what is under way."""
    reset_s: float | None = None
    """In how many seconds there is more of it again; nothing where time gives none back."""

    @property
    def left(self) -> float:
        """How much of it is left."""
        return max(0.0, self.quota.most - self.used - self.held)


class Quotas:
    """The tenants and quotas of a database, as one process sees and keeps them.

    Args:
        store: The database.
        clock: What durations are measured by.
        patience_s: How long the record of a run may be waited for.
    """

    def __init__(self, store: Store, *, clock: Clock = SYSTEM_CLOCK, patience_s: float = 0.0) -> None:
        self.tenants = TenantBook(store.values, clock=clock)
        self.book = QuotaBook(store.values)
        self.shares = Shares(store.values, clock=clock, monotonic=clock.monotonic, spawn=self.spawn)
        self.slots = RunSlots(store.values, store.log, clock=clock, patience_s=patience_s)
        self.blobs = MeteredBlobs(
            store.blobs, store.values, find_most=self._find_most_bytes, refused=self._note_bytes, clock=clock
        )
        """The store's blobs, in which no tenant has more than it may."""
        self._clock = clock
        self._patience_s = patience_s
        self._known: dict[str, tuple[TenantFacts, float]] = {}
        self._away_until = 0.0
        """Up to when the store, which was away, is not asked again by runs."""
        self._budgets: Budgets | None = None
        self.refusals: Refusals | None = None
        """What brings refusals into the audit trail."""
        self.counted: Callable[[str], None] | None = None
        """Told of every refusal by the kind of quota that was used up."""
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, group: asyncio.TaskGroup, budgets: Budgets | None) -> None:
        """Work beside requests in a group, and hold calls of models to the quotas of those they are for."""
        self._group = group
        self._budgets = budgets
        if budgets is not None:
            budgets.find_more = self.find_caps
            budgets.refused = self._note_spending

    async def aclose(self) -> None:
        """Give back what was taken and not used, write what was refused, and end what goes on beside requests."""
        self._group = None
        for task in list(self._tasks):
            task.cancel()
        with suppress(QuorateError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self.shares.close()
                if self._budgets is not None:
                    await self._budgets.aclose()
                if self.refusals is not None:
                    await self.refusals.flush()

    def try_find(self, tenant: str) -> TenantFacts | None:
        """Return what is known of a tenant, where that is fresh."""
        known = self._known.get(tenant)
        return known[0] if known is not None and self._clock.monotonic() < known[1] else None

    async def find(self, tenant: str) -> TenantFacts:
        """Return what is known of a tenant, at most five seconds old.

        Raises:
            Unavailable: The store cannot be reached.
            CorruptState: What it keeps does not read: nothing is done for the tenant.
        """
        return self.try_find(tenant) or await self._load(tenant)

    async def check(self, tenant: str) -> TenantFacts:
        """Return what is known of a tenant that may work.

        Raises:
            Forbidden: It is suspended.
            Unauthenticated: It is gone.
        """
        facts = self.try_find(tenant) or await self._load(tenant)
        if facts.tenant is not None:
            facts.tenant.check()
        return facts

    async def enter(self, facts: TenantFacts, payer: str) -> tuple[Claim, ...]:
        """Count a request; return the windows that it counts in.

        Raises:
            RateLimited: One of them has no room.
            Unavailable: The store cannot be reached.
        """
        claims = facts.find_claims(payer)
        if claims and not self.shares.try_enter(claims):
            await self.shares.enter(claims)
        return claims

    async def find_caps(self, caller: Caller) -> Sequence[Cap]:
        """Find the budgets that stand for the quotas of whom a call is for."""
        facts = self.try_find(caller.tenant) or await self._insist(caller.tenant)
        if not facts.has_caps:
            return ()
        return facts.find_caps(caller.payer, now=self._now())

    async def take_slot(self, tenant: str, run: str, *, payer: str, seq: int = 0) -> int:
        """Give a run a place among those that there may be at once, where something bounds them.

        Args:
            tenant: Whose run it is.
            run: Which.
            payer: Whose project and key it is for.
            seq: The last event of it that is recorded.

        Returns:
            What `RunSlots.free` gives that place up by; 0 where it got none.

        Raises:
            Forbidden: The tenant is suspended.
            RateLimited: There is no place.
        """
        facts = self.try_find(tenant) or await self._insist(tenant)
        if facts.tenant is not None:
            facts.tenant.check()
        if not facts.find_runs(payer):
            return 0
        try:
            return await self.slots.take(facts, run, payer=payer, seq=seq)
        except RateLimited as error:
            self.note_refusal(tenant, payer, error)
            raise

    async def note_run(self, tenant: str, run: str, *, payer: str, seq: int) -> None:
        """Give a run its place that goes on by itself, whether or not there is one."""
        facts = self.try_find(tenant) or await self._insist(tenant)
        if facts.find_runs(payer):
            await self.slots.note(facts, run, payer=payer, seq=seq)

    async def set(
        self, tenant: str, subject: str, quotas: Sequence[Quota], *, if_revision: int | None = None
    ) -> QuotaTable:
        """Let these be all quotas of a tenant, a project or a key; here from now on, elsewhere within five seconds.

        Raises:
            InvalidInput: One makes no sense.
            NotFound: The tenant has no such project.
            Conflict: They are not what they were at that revision.
        """
        table = await self.book.set(tenant, subject, quotas, if_revision=if_revision)
        self.forget(tenant)
        return table

    async def change(self, tenant: str, subject: str, *, add: Sequence[Quota], drop: Sequence[str] = ()) -> QuotaTable:
        """Set some quotas and drop others by name; the rest stay as they are.

        Raises:
            InvalidInput: One makes no sense.
            Conflict: Others were quicker too often.
        """
        for attempt in range(TRIES):
            table = await self.book.read(tenant)
            names = {*(quota.name for quota in add), *drop}
            kept = [quota for quota in table.subjects.get(subject, ()) if quota.name not in names]
            try:
                return await self.set(tenant, subject, (*kept, *add), if_revision=table.revision)
            except Conflict:
                if attempt == TRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def forget(self, tenant: str) -> None:
        """Look again at what a tenant is and may."""
        self._known.pop(tenant, None)

    async def list_uses(self, tenant: str) -> list[QuotaUse]:
        """List all quotas of a tenant, with what is used of them.

        Raises:
            Unavailable: The store cannot be reached.
        """
        table = await self.book.read(tenant)
        found = list[QuotaUse]()
        runs: dict[str, int] | None = None
        for subject in sorted(table.subjects):
            for quota in table.subjects[subject]:
                if quota.kind == "runs" and runs is None:
                    runs = await self.slots.count(TenantFacts(tenant, tenant=None, table=table))
                found.append(await self._measure(tenant, subject, quota, runs or {}))
        return found

    async def _measure(self, tenant: str, subject: str, quota: Quota, runs: dict[str, int]) -> QuotaUse:
        if quota.kind == "requests":
            claim = build_claim(tenant, subject, quota)
            used, wait_s = await self.shares.look(claim)
            return QuotaUse(subject=subject, quota=quota, used=used, reset_s=wait_s if used else None)
        if quota.kind == "runs":
            return QuotaUse(subject=subject, quota=quota, used=runs.get(subject, 0))
        if quota.kind == "bytes":
            return QuotaUse(subject=subject, quota=quota, used=await self.blobs.find_used(tenant))
        if self._budgets is None:
            return QuotaUse(subject=subject, quota=quota, used=0.0)
        now = self._now()
        account = await self._budgets.find(build_cap(tenant, subject, quota, now=now))
        held = account.held.values()
        if quota.kind == "usd":
            used, waiting = account.usd / NANO, sum(one.usd for one in held) / NANO
        else:
            used, waiting = account.tokens, sum(one.tokens for one in held)
        return QuotaUse(subject=subject, quota=quota, used=used, held=waiting, reset_s=find_reset(quota, now))

    async def _insist(self, tenant: str) -> TenantFacts:
        """Find a tenant for a run, which survives that the database is away for a while.

        What was known of it holds until then, for runs and for nobody who comes in; what bounds it is in the database
        too, and is refused there.
        """
        known = self._known.get(tenant)
        if known is not None and self._clock.monotonic() < self._away_until:
            return known[0]
        try:
            return await self._load(tenant)
        except (Unavailable, StorageFull):
            if known is None:
                return await insist(partial(self._load, tenant), clock=self._clock, max_wait_s=self._patience_s)
        self._away_until = self._clock.monotonic() + AGAIN_S
        return known[0]

    async def _load(self, tenant: str) -> TenantFacts:
        now = self._clock.monotonic()
        found = await self.tenants.find(tenant)
        table = await self.book.read(tenant)
        known = self._known.get(tenant)
        tenant_of = None if found is None else found.tenant
        if known is not None and known[0].table.revision == table.revision and known[0].tenant == tenant_of:
            facts = known[0]  # what follows from it stays, too
        else:
            facts = TenantFacts(tenant, tenant=tenant_of, table=table)
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[tenant] = facts, now + TRUSTED_S
        return facts

    def note_refusal(self, tenant: str, payer: str, error: QuorateError, *, principal: str = "") -> None:
        """Note in the audit trail that a quota kept somebody from something."""
        if self.counted is not None:
            self.counted(str(error.context.get("limit", "")).partition("-")[0])
        if self.refusals is not None:
            project, _, key = payer.partition("/")
            whose = f"key/{key}" if key else f"project/{project}" if project else f"tenant/{tenant}"
            detail = str(error.context.get("limit", ""))
            refusal = Refusal(
                tenant=tenant, action="quota.refuse", principal=principal or "-", object=whose, reason=error.code,
                detail=detail,
            )  # fmt: skip
            self.refusals.note(refusal)

    def _note_spending(self, caller: Caller, error: BudgetExceeded) -> None:
        self.note_refusal(caller.tenant, caller.payer, error, principal=caller.principal)

    def _note_bytes(self, tenant: str, error: BudgetExceeded) -> None:
        self.note_refusal(tenant, "", error)

    async def _find_most_bytes(self, tenant: str) -> tuple[int | None, float]:
        facts = await self.find(tenant)
        return facts.most_bytes, facts.changed

    def _now(self) -> float:
        return self._clock.now() if self._budgets is None else self._budgets.now()

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Do something beside requests, until it is done or this is closed."""
        if self._group is None:
            work.close()
            return
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def find_reset(quota: Quota, now: float) -> float | None:
    """Find in how many seconds a day or month of UTC ends; nothing where it never does."""
    moment = datetime.fromtimestamp(now, UTC)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if quota.per == "day":
        return (day + timedelta(days=1)).timestamp() - now
    if quota.per == "month":
        return ((day.replace(day=28) + timedelta(days=4)).replace(day=1)).timestamp() - now
    return None


def write_standing(claims: Sequence[Claim], shares: Shares) -> tuple[str, str]:
    """Write the fields `RateLimit-Policy` and `RateLimit` for the windows that a request counted in.

    They are those of draft-ietf-httpapi-ratelimit-headers-11; `r` is what was left when the database was asked last.
    """
    policies, standings = list[str](), list[str]()
    for claim, left, more_s in shares.describe(claims):
        window_s = max(1, round(claim.per_s - find_span(claim.per_s)))
        name = f"{claim.key.split('/')[3]}-{claim.limit}"  # whose kind, and no name of anybody
        policies.append(f'"{name}";q={claim.requests};w={window_s}')
        standings.append(f'"{name}";r={left};t={ceil(more_s)}')
    return ", ".join(policies), ", ".join(standings)
