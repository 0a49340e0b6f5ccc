"""Which runs take a place of those that a tenant, a project or a key may have at once?

Places are not counted up and down, as whoever dies counts nothing down: a row of the database says which runs took
one, and the runs' own logs say which of them still run. They are looked at when there seems to be no place left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec import Struct, field

from quorate.agent.run import PAYER
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import QuorateError, RateLimited
from quorate.events import ENDINGS, RunCreated, RunWaiting, Status
from quorate.models.cells import Act, Cell, Cells
from quorate.ports import KeyValue, Log
from quorate.runtime.quota_facts import TenantFacts, split_payer
from quorate.security.quotas import Quota, list_subjects, name_subject

GRACE_S = 60.0
"""How long a run may take from its place to its record, beside what the record may be waited for."""
SETTLE_S = 10.0
"""How long after a change of quotas there may be processes that do not know of it: runs are counted anew until then."""
AGAIN_S = 1.0
"""When to try again where there is no place: nobody knows when a run ends."""
PAGE = 200
LIVE: tuple[Status, ...] = ("queued", "running")
MAX_TENANTS = 10_000
SPARE = 256
"""From how many places on it is looked which of them are free though nobody waits for one; then from twice as many
as were taken."""
MAX_SLOTS = 8_000
"""How many places of one tenant there may be: they fit into one value."""
MAX_PAYERS = 20_000


class Slot(Struct, array_like=True):
    """That a run took a place."""

    payer: str
    at: float
    """The store's time."""
    turn: int
    """Another one each time, so that nobody frees a place that was taken again meanwhile."""
    seq: int = 0
    """The place of the last event in the run's log then: what ends there is over before this, and says nothing."""


class SlotRow(Struct):
    """All places that are taken of one tenant's."""

    slots: dict[str, Slot] = field(default_factory=dict[str, Slot])
    counted: float = 0.0
    """The store's time at which runs were counted last."""
    turn: int = 0


class Full(Struct, frozen=True):
    """That there is no place, or that it is not known yet."""

    subject: str
    most: int
    seen: Mapping[str, tuple[int, int]]
    """The turn and the place of the last event of each run that has a place."""
    at: float


class Given(Struct, frozen=True):
    """That a run has a place."""

    turn: int
    """The place's, where it is a new one; else 0."""
    crowded: Full | None
    """What is to be looked at, as there are many places."""


class RunSlots:
    """Gives places to runs; exact, whoever else does so in other processes.

    Args:
        values: Where it is written which runs have one.
        log: What became of runs.
        clock: What durations are measured by.
        patience_s: How long a record may be waited for.
    """

    def __init__(self, values: KeyValue, log: Log, *, clock: Clock = SYSTEM_CLOCK, patience_s: float = 0.0) -> None:
        self._cells = Cells(values, empty=lambda _: SlotRow(), clock=clock)
        self._log = log
        self._clock = clock
        self._grace_s = GRACE_S + patience_s
        self._lock = asyncio.Lock()
        self._looked: dict[str, float] = {}
        self._spare: dict[str, int] = {}
        """From how many places on it is looked which of them are free."""
        self._payers: dict[str, str] = {}
        """Who pays for runs that were looked at; that never changes."""

    async def take(
        self,
        facts: TenantFacts,
        run: str,
        *,
        payer: str,
        seq: int = 0,
        quotas: Sequence[tuple[str, Quota]] | None = None,
    ) -> int:
        """Give a run a place in all that it counts in, unless it has one; it is free again when the run ends or rests.

        Args:
            facts: Whose run it is, and what bounds that tenant.
            run: Which; it need not be recorded yet.
            payer: Whose project and key it is for.
            seq: The last event of it that is recorded.
            quotas: How many there may be, and for whom; as many as the tenant's facts say when not given.

        Returns:
            What `free` gives that place up by; 0 where it had one before.

        Raises:
            RateLimited: There is none.
            Unavailable: The store cannot be reached.
        """
        tenant, bounds = facts.id, facts.find_runs(payer) if quotas is None else quotas
        outcome = await self._try(facts, run, payer, bounds, facts.changed, seq)
        if isinstance(outcome, Full):
            began = self._clock.monotonic()
            async with self._lock:
                if self._looked.get(tenant, float("-inf")) < began:  # else somebody looked while this waited
                    looked = self._clock.monotonic()
                    await self._count_anew(facts, outcome)
                    if len(self._looked) >= MAX_TENANTS:
                        self._looked.clear()
                    self._looked[tenant] = looked
                outcome = await self._try(facts, run, payer, bounds, 0.0, seq)
        if isinstance(outcome, Full):
            raise RateLimited(
                f"The quota of {outcome.most:,} runs at once for {name_subject(outcome.subject, tenant)} is used up: "
                "try again when one of them has ended, or rests.",
                retry_after_s=AGAIN_S,
                source="quota",
                limit="runs-now",
            )
        if outcome.crowded is not None:
            # Where nobody is ever refused, nobody looks: what ended long ago would be carried along for good.
            with suppress(QuorateError):  # the place is taken: the next one looks
                async with self._lock:
                    await self._count_anew(facts, outcome.crowded)
        return outcome.turn

    async def note(self, facts: TenantFacts, run: str, *, payer: str, seq: int = 0) -> None:
        """Give a run a place that goes on by itself, even where there is none left: new ones wait for it."""
        await self.take(facts, run, payer=payer, seq=seq, quotas=())

    async def free(self, tenant: str, run: str, turn: int) -> None:
        """Give up the place of a run that was not begun after all, unless somebody else took it too meanwhile."""
        await self._get(tenant).change(_freeing(run, turn))

    async def count(self, facts: TenantFacts) -> dict[str, int]:
        """Count the runs that have a place: of the tenant, its projects and its keys; those that ended are left out."""
        cell = self._get(facts.id)

        def see(row: SlotRow, now: float) -> tuple[bool, Full]:
            return False, _build_full("", 0, row, now)

        await self._count_anew(facts, await cell.change(see))

        def tell(row: SlotRow, now: float) -> tuple[bool, dict[str, int]]:
            found = dict[str, int]()
            for slot in row.slots.values():
                for subject in list_subjects(*split_payer(slot.payer)):
                    found[subject] = found.get(subject, 0) + 1
            return False, found

        return await cell.change(tell)

    async def _try(
        self,
        facts: TenantFacts,
        run: str,
        payer: str,
        quotas: Sequence[tuple[str, Quota]],
        changed: float,
        seq: int,
    ) -> Full | Given:
        act = _taking(run, payer, quotas, changed, seq, spare=self._spare.get(facts.id, SPARE))

        def undo(outcome: Full | Given) -> Act[SlotRow, None]:
            return _freeing(run, outcome.turn if isinstance(outcome, Given) else 0)

        return await self._get(facts.id).change(act, undo=undo)

    async def _count_anew(self, facts: TenantFacts, full: Full) -> None:
        """Find out who has a place and who has none; runs that nothing bounds need none."""
        live, gone = await self._look(facts.id, full)
        live = {run: payer for run, payer in live.items() if facts.find_runs(payer)}
        left = await self._get(facts.id).change(_counting(full, live, gone, grace_s=self._grace_s))
        if len(self._spare) >= MAX_TENANTS:
            self._spare.clear()
        self._spare[facts.id] = max(SPARE, 2 * left)

    async def _look(self, tenant: str, full: Full) -> tuple[dict[str, str], dict[str, bool]]:
        """Find which runs are live and have no place, with who pays; and of those that have one, which are over.

        What is over is said with whether there ever was a record of it.
        """
        live, gone = dict[str, str](), dict[str, bool]()
        there = set[str]()
        for status in LIVE:  # in the order in which a run goes through them: none is missed in between
            before: str | None = None
            while True:
                page = await self._log.list_runs(status=status, tenant=tenant, before=before, limit=PAGE)
                there.update(one.run for one in page)
                if len(page) < PAGE:
                    break
                before = page[-1].run
        for run in there - full.seen.keys():
            payer = await self._find_payer(run)
            if payer is not None:
                live[run] = payer
        for run in full.seen.keys() - there:
            is_over = await self._judge(run, full.seen[run][1])
            if is_over is not None:
                gone[run] = is_over
        return live, gone

    async def _find_payer(self, run: str) -> str | None:
        if run not in self._payers:
            first = await self._log.read(run, limit=1)
            if not first or not isinstance(first[0], RunCreated):
                return None
            if len(self._payers) >= MAX_PAYERS:
                self._payers.clear()
            self._payers[run] = first[0].labels.get(PAYER, "")
        return self._payers[run]

    async def _judge(self, run: str, seq: int) -> bool | None:
        """Find whether a run ended or rests since it got a place; `False` while nothing of that is recorded.

        `None` stands for a run that is under way.
        """
        last = await self._log.last(run)
        found = await self._log.read(run, after=last - 1, limit=1) if last > seq else []
        if not found:
            return False
        event = found[0]
        if isinstance(event, ENDINGS) or (isinstance(event, RunWaiting) and not _goes_on(event)):
            return True
        return None

    def _get(self, tenant: str) -> Cell[SlotRow]:
        return self._cells.get(f"quotas/runs/{tenant}")


def _goes_on(event: RunWaiting) -> bool:
    """Whether a run rests only until the next worker takes it."""
    return event.reason == "interrupted" and event.wakes is not None


def _build_full(subject: str, most: int, row: SlotRow, now: float) -> Full:
    return Full(subject, most, {run: (slot.turn, slot.seq) for run, slot in row.slots.items()}, now)


def _taking(
    run: str, payer: str, quotas: Sequence[tuple[str, Quota]], changed: float, seq: int, *, spare: int
) -> Act[SlotRow, Full | Given]:
    """Give a run a place; without quotas it gets one in any case."""

    def act(row: SlotRow, now: float) -> tuple[bool, Full | Given]:
        is_new = run not in row.slots
        if is_new:
            if quotas and changed and row.counted < changed + SETTLE_S:
                return False, _build_full("", 0, row, now)
            for subject, quota in quotas:
                if _count(row, subject) >= quota.most or len(row.slots) >= MAX_SLOTS:
                    return False, _build_full(subject, int(quota.most), row, now)
        row.turn += 1
        row.slots[run] = Slot(payer, now, row.turn, seq)
        crowded = _build_full("", 0, row, now) if len(row.slots) >= spare else None
        return True, Given(row.turn if is_new else 0, crowded)

    return act


def _freeing(run: str, turn: int) -> Act[SlotRow, None]:
    def act(row: SlotRow, now: float) -> tuple[bool, None]:
        slot = row.slots.get(run)
        if slot is None or not turn or slot.turn != turn:
            return False, None
        del row.slots[run]
        return True, None

    return act


def _counting(full: Full, live: Mapping[str, str], gone: Mapping[str, bool], *, grace_s: float) -> Act[SlotRow, int]:
    """Note what was found: who runs has a place, and who runs no more has none; say how many are taken."""

    def act(row: SlotRow, now: float) -> tuple[bool, int]:
        for run, was_recorded in gone.items():
            slot = row.slots.get(run)
            if slot is None or (slot.turn, slot.seq) != full.seen.get(run):
                continue
            if was_recorded or slot.at + grace_s < now:
                del row.slots[run]
        for run, payer in live.items():
            if run not in row.slots and len(row.slots) < MAX_SLOTS:
                row.turn += 1
                row.slots[run] = Slot(payer, now, row.turn)
        row.counted = max(row.counted, full.at)
        return True, len(row.slots)

    return act


def _count(row: SlotRow, subject: str) -> int:
    if not subject:
        return len(row.slots)
    return sum(subject in list_subjects(*split_payer(slot.payer)) for slot in row.slots.values())
