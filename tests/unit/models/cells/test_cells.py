"""Is no change to a shared value lost, made twice, or waited for in vain?"""

import asyncio

import pytest
from msgspec import Struct

from quorate.errors import CorruptState, InvalidInput, Unavailable
from quorate.models.cells import Cells
from quorate.ports import Entry
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock


class Count(Struct):
    """A number."""

    number: int = 0


class Slow(MemoryValues):
    """A store whose answers take a few turns of the event loop; with `lost`, writes arrive and their answers do not."""

    lost = False
    puts = 0

    async def get(self, key: str) -> Entry | None:
        await asyncio.sleep(0)
        return await super().get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self.puts += 1
        for _ in range(3):
            await asyncio.sleep(0)
        entry = await super().put(key, value, if_revision=if_revision, ttl_s=ttl_s)
        if self.lost:
            raise Unavailable("The answer is lost.")
        return entry


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def values(clock: ManualClock) -> Slow:
    return Slow(clock)


def build(values: Slow, clock: ManualClock) -> Cells[Count]:
    return Cells(values, empty=lambda _: Count(), clock=clock)


def add(count: Count, now: float) -> tuple[bool, int]:
    count.number += 1
    return True, count.number


def take(count: Count, now: float) -> tuple[bool, None]:
    count.number -= 1
    return True, None


def read(count: Count, now: float) -> tuple[bool, int]:
    return False, count.number


async def test_changes_at_once_go_in_together_each_with_its_own_result(values: Slow, clock: ManualClock) -> None:
    cells = build(values, clock)
    assert sorted(await asyncio.gather(*(cells.get("k").change(add) for _ in range(100)))) == list(range(1, 101))
    assert values.puts <= 3


async def test_processes_that_meet_lose_nothing(values: Slow, clock: ManualClock) -> None:
    several = [build(values, clock) for _ in range(8)]
    await asyncio.gather(*(cells.get("k").change(add) for _ in range(20) for cells in several))
    assert await several[0].get("k").change(read) == 160


async def test_what_is_only_read_is_read_anew(values: Slow, clock: ManualClock) -> None:
    """What another process wrote meanwhile is seen, though this one knows an earlier value."""
    one, other = build(values, clock), build(values, clock)
    await one.get("k").change(add)
    await other.get("k").change(add)
    assert await one.get("k").change(read) == 2


async def test_an_act_that_refuses_fails_alone(values: Slow, clock: ManualClock) -> None:
    """Those that go in with it are made."""

    def refuse(count: Count, now: float) -> tuple[bool, int]:
        raise InvalidInput("no")

    cells = build(values, clock)
    acts = [cells.get("k").change(act) for act in (add, refuse, add)]
    first, second, third = await asyncio.gather(*acts, return_exceptions=True)
    assert (first, third) == (1, 2)
    assert isinstance(second, InvalidInput)


@pytest.mark.parametrize("turns", range(14))
async def test_whoever_is_cancelled_can_take_back_what_it_did(values: Slow, clock: ManualClock, turns: int) -> None:
    """At whatever moment; beside others, whose changes stay."""
    cells = build(values, clock)
    cut = asyncio.ensure_future(cells.get("k").change(add, undo=lambda number: take))
    others = [asyncio.ensure_future(cells.get("k").change(add)) for _ in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    was_done = cut.done()
    cut.cancel()
    await asyncio.gather(cut, *others, return_exceptions=True)
    assert await cells.get("k").change(read) == 3 + was_done


@pytest.mark.parametrize("turns", range(1, 14))
async def test_without_an_undo_a_change_is_made_though_nobody_waits(
    values: Slow, clock: ManualClock, turns: int
) -> None:
    """Such as a bill: whoever leaves has used what it used."""
    cells = build(values, clock)
    cut = asyncio.ensure_future(cells.get("k").change(add))
    for _ in range(turns):
        await asyncio.sleep(0)
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    assert await cells.get("k").change(read) == 1


async def test_a_lost_answer_is_told_and_the_value_is_read_anew(values: Slow, clock: ManualClock) -> None:
    cells = build(values, clock)
    assert await cells.get("k").change(read) == 0
    values.lost = True
    with pytest.raises(Unavailable, match="The answer is lost"):
        await cells.get("k").change(add)
    values.lost = False
    assert await cells.get("k").change(add) == 2


async def test_a_value_that_is_none_of_ours_is_told(values: Slow, clock: ManualClock) -> None:
    await values.put("k", b"\xc1")
    with pytest.raises(CorruptState, match="'k' cannot be read"):
        await build(values, clock).get("k").change(add)


async def test_values_that_nobody_uses_are_forgotten_here(values: Slow, clock: ManualClock) -> None:
    cells = Cells(values, empty=lambda _: Count(), clock=clock, max_idle=10)
    for number in range(100):
        await cells.get(f"k-{number}").change(add)
        assert len(cells._cells) <= 10
    assert await cells.get("k-0").change(read) == 1


async def test_the_stores_time_is_gone_by(values: Slow, clock: ManualClock) -> None:
    """Not this machine's: what it wrote last tells, and durations are added."""
    own = ManualClock(5.0)
    cells = Cells(values, empty=lambda _: Count(), clock=own)
    await cells.get("k").change(add)
    own.advance(7)
    own.jump(-1000)
    assert cells.times.now() == clock.now() + 7
