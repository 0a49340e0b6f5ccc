"""Does a run wait for a store that is away, and believe its own rows when an answer was lost?"""

from collections.abc import Sequence

import pytest

from quorate.errors import Conflict, QuorateError, StorageFull, Unavailable
from quorate.events import AnyEvent
from quorate.ports import Log
from quorate.state.backends.memory import MemoryLog
from quorate.state.patience import LONGEST_S, PatientLog
from quorate.testing.clock import ManualClock
from quorate.testing.contracts import build_opening, build_step


class Outage:
    """A log whose first appends fail, before or after they took effect."""

    def __init__(self, inner: Log, *errors: QuorateError, after_commit: bool = False) -> None:
        self.inner = inner
        self.errors = list(errors)
        self.after_commit = after_commit
        self.asked = 0

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        self.asked += 1
        error = self.errors.pop(0) if self.errors else None
        if error is None or self.after_commit:
            await self.inner.append(run, events, expected=expected)
        if error is not None:
            raise error

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def patient(outage: Outage, clock: ManualClock, waits: list[float]) -> PatientLog:
    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(seconds)

    return PatientLog(outage, clock=clock, max_wait_s=60, sleep=sleep)  # type: ignore[arg-type]


async def test_an_outage_is_waited_out() -> None:
    """The append is made again until the store is back, with waits that grow to a bound and are spread."""
    clock, waits, log = ManualClock(), list[float](), MemoryLog()
    outage = Outage(log, *[Unavailable("away") for _ in range(12)])
    await patient(outage, clock, waits).append("run-1", build_opening("run-1"), expected=0)
    assert await log.last("run-1") == 2
    assert outage.asked == 13
    assert waits[0] <= 0.1
    assert LONGEST_S / 2 <= waits[-1] <= LONGEST_S


async def test_who_has_no_patience_asks_once() -> None:
    outage = Outage(MemoryLog(), Unavailable("away"))
    log = PatientLog(outage, clock=ManualClock(), max_wait_s=0)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="away"):
        await log.append("run-1", build_opening("run-1"), expected=0)
    assert outage.asked == 1


async def test_patience_ends() -> None:
    """After the longest wait the outage is raised: the attempt ends, and the run can be resumed."""
    clock, waits = ManualClock(), list[float]()
    outage = Outage(MemoryLog(), *[Unavailable("away") for _ in range(1000)])
    with pytest.raises(Unavailable):
        await patient(outage, clock, waits).append("run-1", build_opening("run-1"), expected=0)
    assert 50 <= sum(waits) <= 60


async def test_a_full_disk_is_told_at_once() -> None:
    """Only somebody who makes room can help, so nobody waits for it here."""
    clock, waits = ManualClock(), list[float]()
    with pytest.raises(StorageFull):
        await patient(Outage(MemoryLog(), StorageFull("full")), clock, waits).append(
            "run-1", build_opening("run-1"), expected=0
        )
    assert waits == []


async def test_a_commit_whose_answer_was_lost_is_no_conflict() -> None:
    """The connection is cut after COMMIT: the rows found there are our own, so the append succeeded."""
    clock, waits, log = ManualClock(), list[float](), MemoryLog()
    outage = Outage(log, Unavailable("cut"), after_commit=True)
    await patient(outage, clock, waits).append("run-1", build_opening("run-1"), expected=0)
    assert await log.read("run-1") == build_opening("run-1")


async def test_anothers_rows_are_a_conflict_also_after_an_outage() -> None:
    """What stands there is somebody else's: the conflict is real."""
    clock, waits, log = ManualClock(), list[float](), MemoryLog()
    await log.append("run-1", build_opening("run-1"), expected=0)
    await log.append("run-1", [build_step("run-1", 3, attempt="theirs")], expected=2)
    outage = Outage(log, Unavailable("away"))
    with pytest.raises(Conflict):
        await patient(outage, clock, waits).append("run-1", [build_step("run-1", 3)], expected=2)


async def test_a_conflict_without_an_outage_is_not_looked_into() -> None:
    """A position that is taken is a conflict at once, even under equal rows: the caller wrote them before."""
    clock, waits, log = ManualClock(), list[float](), MemoryLog()
    await log.append("run-1", build_opening("run-1"), expected=0)
    with pytest.raises(Conflict):
        await patient(Outage(log), clock, waits).append("run-1", build_opening("run-1"), expected=0)
