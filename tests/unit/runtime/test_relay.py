"""Does everybody hear of what was recorded, whoever fails, and whatever dies between the record and the telling?"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from msgspec import structs

from quorate.errors import InvalidInput, QuorateError, RateLimited, StorageFull, Unavailable
from quorate.ports import Entry, KeyValue, Notice, Outbox, Store
from quorate.runtime.relay import Relay, RelayRule
from quorate.runtime.relay.backlog import ROOT, Backlog
from quorate.state.backends.memory import open_memory_store
from quorate.testing import ManualClock
from quorate.testing.contracts import build_opening

RULE = RelayRule(batch=4, lease_s=10)
Told = list[tuple[str, str]]


class Ear:
    """A sink that remembers what it took, and can be away."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[tuple[str, int]] = []
        self.why: Exception | None = None
        self.hangs = False

    async def take(self, notices: Sequence[Notice]) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.why is not None:
            raise self.why
        self.heard += [(notice.run, notice.seq) for notice in notices]


class Stubborn:
    """An outbox that does not mark anything as told, once."""

    def __init__(self, inner: Outbox) -> None:
        self.pending = inner.pending
        self._inner = inner
        self.is_away = True

    async def done(self, ids: Sequence[int]) -> None:
        if self.is_away:
            raise Unavailable("the store is away.")
        await self._inner.done(ids)


class Full:
    """Values for which there is no room where sinks that are behind are kept."""

    def __init__(self, inner: KeyValue) -> None:
        self.get = inner.get
        self.delete = inner.delete
        self.scan = inner.scan
        self._inner = inner
        self.is_full = True

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        if self.is_full and key.startswith(ROOT):
            raise StorageFull("there is no room.")
        return await self._inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncGenerator[Store]:
    async with open_memory_store(clock=clock, outbox=True) as opened:
        yield opened


@pytest.fixture
def told() -> Told:
    return []


def build_relay(store: Store, *sinks: Ear, clock: ManualClock, told: Told, rule: RelayRule = RULE) -> Relay:
    def tell(sink: str, why: QuorateError | None) -> None:
        told.append((sink, why.message if why is not None else "back"))

    return Relay(store, sinks, rule=rule, tell=tell, clock=clock)


async def record(store: Store, *numbers: int) -> list[tuple[str, int]]:
    for number in numbers:
        await store.log.append(f"run-{number}", build_opening(f"run-{number}"), expected=0)
    return [(f"run-{number}", 1) for number in numbers]


async def look_all(relay: Relay) -> None:
    while await relay.look():
        pass


async def test_everybody_hears_of_everything_and_the_outbox_is_empty(
    store: Store, clock: ManualClock, told: Told
) -> None:
    """Ten notices in batches of four, for two sinks, in order."""
    first, second = Ear("first"), Ear("second")
    relay = build_relay(store, first, second, clock=clock, told=told)
    recorded = await record(store, *range(10))
    await look_all(relay)
    assert first.heard == second.heard == recorded
    assert await store.outbox.pending() == []
    assert (relay.told, told) == (10, [])


@pytest.mark.parametrize("how", ["raises", "hangs", "breaks"])
async def test_a_sink_that_fails_keeps_nobody_waiting_and_loses_nothing(
    store: Store, clock: ManualClock, told: Told, how: str
) -> None:
    """The other one hears of everything once, meanwhile; it itself hears of everything, in order, when it is back."""
    bad, good = Ear("bad"), Ear("good")
    relay = build_relay(
        store, bad, good, clock=clock, told=told, rule=structs.replace(RULE, take_s=0.01, behind_s=0.01)
    )
    recorded = await record(store, 1, 2)
    await look_all(relay)
    bad.hangs = how == "hangs"
    bad.why = Unavailable("it is away.") if how == "raises" else KeyError("a fault") if how == "breaks" else None
    recorded += await record(store, *range(3, 13))
    await look_all(relay)
    assert good.heard == recorded
    assert bad.heard == recorded[:2]
    assert await store.outbox.pending() == []
    (lane, _) = relay.lanes
    assert lane.is_behind
    assert not await lane.catch_up()
    bad.hangs, bad.why = False, None
    recorded += await record(store, 13)
    await look_all(relay)  # what comes now waits behind what waits already
    assert await lane.catch_up()
    recorded += await record(store, 14)
    await look_all(relay)
    assert bad.heard == good.heard == recorded
    assert [sink for sink, _ in told] == ["bad", "bad"]
    assert told[-1] == ("bad", "back")
    assert await store.values.scan(ROOT) == []


async def test_processes_take_turns(store: Store, clock: ManualClock, told: Told) -> None:
    """One of two tells; the other one goes on when that has been silent for a lease, or at once when it ended."""
    ear = Ear("ear")
    relays = [build_relay(store, ear, clock=clock, told=told) for _ in range(3)]
    recorded = await record(store, 1)
    assert [await relay.look() for relay in relays] == [1, 0, 0]
    recorded += await record(store, 2)
    assert await relays[1].look() == 0
    clock.advance(RULE.lease_s)
    assert [await relay.look() for relay in relays[1:]] == [1, 0]
    assert await relays[0].look() == 0
    async with relays[1].running():
        recorded += await record(store, 3)
    assert ear.heard == recorded  # at the end, what is pending is told
    await record(store, 4)
    assert await relays[2].look() == 1
    assert ear.heard == [*recorded, ("run-4", 1)]


async def test_a_turn_ends_also_where_the_stores_clock_was_set_back(
    store: Store, clock: ManualClock, told: Told
) -> None:
    """Whoever had it died, and its mark would stand for a day: others go by their own seconds then."""
    ear = Ear("ear")
    first, second = [build_relay(store, ear, clock=clock, told=told) for _ in range(2)]
    await record(store, 1, 2)
    assert await first.look() == 2
    clock.jump(-86_400)
    await record(store, 3)
    assert await second.look() == 0
    for _ in range(2):
        clock.advance(RULE.lease_s / 2)
        assert await first.look() == 1  # it is alive, and nobody takes its turn
        await record(store, int(clock.monotonic()) + 10)
        assert await second.look() == 0
    clock.advance(RULE.lease_s * 2)
    assert await second.look() == 1
    assert await first.look() == 0


async def test_a_crash_before_it_is_marked_tells_twice_and_never_less(
    store: Store, clock: ManualClock, told: Told
) -> None:
    """The process itself does not tell a sink twice what it took; the next one does, as it cannot know."""
    ear = Ear("ear")
    stubborn = Stubborn(store.outbox)
    relay = build_relay(structs.replace(store, outbox=stubborn), ear, clock=clock, told=told)
    recorded = await record(store, 1, 2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await relay.look()
    assert ear.heard == recorded
    clock.advance(RULE.lease_s)
    after = build_relay(store, ear, clock=clock, told=told)
    recorded += await record(store, 3)
    await look_all(after)
    assert ear.heard == [*recorded[:2], *recorded]


async def test_whoever_takes_over_goes_on_with_what_others_kept(store: Store, clock: ManualClock, told: Told) -> None:
    """A sink that was behind under a process that died is told the rest, in order, and nothing new before that."""
    bad, good = Ear("bad"), Ear("good")
    bad.why = Unavailable("it is away.")
    recorded = await record(store, *range(6))
    await look_all(build_relay(store, bad, good, clock=clock, told=told))
    clock.advance(RULE.lease_s)
    bad.why = None
    after = build_relay(store, bad, good, clock=clock, told=told)
    recorded += await record(store, 6)
    await look_all(after)
    assert bad.heard == []
    assert await after.lanes[0].catch_up()
    assert bad.heard == good.heard == recorded


async def test_a_relay_that_lost_its_turn_gives_nothing_more(store: Store, clock: ManualClock, told: Told) -> None:
    """What it keeps for a sink is then for another one to give."""
    bad = Ear("bad")
    bad.why = Unavailable("it is away.")
    relay = build_relay(store, bad, clock=clock, told=told)
    await record(store, 1)
    await look_all(relay)
    bad.why = None
    clock.advance(RULE.lease_s)
    assert not await relay.lanes[0].catch_up()
    assert bad.heard == []


async def test_what_a_stalled_process_kept_after_its_turn_is_found(
    store: Store, clock: ManualClock, told: Told
) -> None:
    """It wrote while the next one had begun already, which looks again now and then."""
    ear = Ear("ear")
    relay = build_relay(store, ear, clock=clock, told=told)
    assert await relay.look() == 0
    recorded = await record(store, 1)
    notices = await store.outbox.pending()
    await Backlog(store.values, "ear").add(notices)
    await store.outbox.done([notice.id for notice in notices])
    (lane,) = relay.lanes
    await look_all(relay)
    assert not lane.is_behind
    await lane.find_stray()
    assert await lane.catch_up()
    assert (ear.heard, lane.is_behind) == (recorded, False)


async def test_a_lane_that_waits_looks_for_what_others_kept_by_itself(
    store: Store, clock: ManualClock, told: Told
) -> None:
    """Nothing else need happen meanwhile."""
    ear = Ear("ear")
    rule = structs.replace(RULE, longest_retry_s=0.01, retry_s=0.01, poll_s=0.01)
    relay = build_relay(store, ear, clock=clock, told=told, rule=rule)
    recorded = await record(store, 1)
    async with relay.running(), asyncio.timeout(30):
        while ear.heard != recorded:
            await asyncio.sleep(0.01)
        await Backlog(store.values, "ear").add([Notice(id=99, run="run-9", seq=1, kind="run.created", tenant="acme")])
        while ear.heard != [*recorded, ("run-9", 1)]:
            await asyncio.sleep(0.01)


async def test_what_is_kept_for_a_sink_is_bounded(store: Store, clock: ManualClock, told: Told) -> None:
    """Beyond its bound the oldest gives way, is counted, and is told of; the log still has it."""
    bad, good = Ear("bad"), Ear("good")
    bad.why = RateLimited("it is full.", retry_after_s=7)
    relay = build_relay(store, bad, good, clock=clock, told=told, rule=structs.replace(RULE, max_behind=8))
    recorded = await record(store, *range(20))
    await look_all(relay)
    assert good.heard == recorded
    assert relay.lanes[0].lost == 12
    assert [words.partition(":")[0] for _, words in told[1:]] == ["More than 8 notices wait for 'bad'"] * 3
    bad.why = None
    assert await relay.lanes[0].catch_up()
    assert bad.heard == recorded[12:]


async def test_without_room_for_what_was_not_taken_it_stays_in_the_outbox(
    store: Store, clock: ManualClock, told: Told
) -> None:
    """Nothing is lost, and who took it is not told again."""
    bad, good = Ear("bad"), Ear("good")
    bad.why = Unavailable("it is away.")
    values = Full(store.values)
    relay = build_relay(structs.replace(store, values=values), bad, good, clock=clock, told=told)
    recorded = await record(store, 1, 2)
    for _ in range(3):
        with pytest.raises(StorageFull):
            await relay.look()
    recorded += await record(store, 3)
    with pytest.raises(StorageFull):
        await relay.look()
    assert good.heard == recorded
    assert len(await store.outbox.pending()) == 3
    values.is_full, bad.why = False, None
    await look_all(relay)
    assert bad.heard == good.heard == recorded


async def test_what_is_kept_and_cannot_be_read_is_told_and_passed_over(
    store: Store, clock: ManualClock, told: Told
) -> None:
    """What comes behind it is taken."""
    bad = Ear("bad")
    bad.why = Unavailable("it is away.")
    relay = build_relay(store, bad, clock=clock, told=told)
    recorded = await record(store, 1)
    await store.values.put(f"{ROOT}bad/{0:020}-other", b"\xff")
    await look_all(relay)
    bad.why = None
    assert await relay.lanes[0].catch_up()
    assert bad.heard == recorded
    assert "cannot be read" in told[0][1]


async def test_it_runs_beside_other_work_and_goes_on_after_the_store_was_away(
    store: Store, clock: ManualClock, told: Told
) -> None:
    """What is recorded meanwhile is told; that the store was away is told once, and that it is back."""
    ear = Ear("ear")
    outbox = Stubborn(store.outbox)
    relay = build_relay(
        structs.replace(store, outbox=outbox), ear, clock=clock, told=told,
        rule=structs.replace(RULE, poll_s=0.001, retry_s=0.001),
    )  # fmt: skip
    async with relay.running(), asyncio.timeout(30):
        recorded = await record(store, 1)
        while len(told) < 1:
            await asyncio.sleep(0.001)
        outbox.is_away = False
        recorded += await record(store, 2)
        while len(ear.heard) < 2 or len(told) < 2:
            await asyncio.sleep(0.001)
    assert ear.heard == recorded
    assert told == [("outbox", "the store is away."), ("outbox", "back")]


async def test_an_error_in_the_block_comes_out_as_it_is(store: Store, clock: ManualClock, told: Told) -> None:
    """It is not wrapped by what runs beside."""
    with pytest.raises(KeyError, match="mine"):
        async with build_relay(store, Ear("ear"), clock=clock, told=told).running():
            raise KeyError("mine")


async def test_names_of_sinks_are_ids_and_differ(store: Store, clock: ManualClock, told: Told) -> None:
    """What is kept for one is found by its name."""
    with pytest.raises(InvalidInput, match="two sinks have the same name"):
        build_relay(store, Ear("a"), Ear("a"), clock=clock, told=told)
    with pytest.raises(InvalidInput, match="sink 'A B' is not an identifier"):
        build_relay(store, Ear("A B"), clock=clock, told=told)
