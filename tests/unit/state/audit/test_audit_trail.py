"""Is every act written down once, in one chain without a gap, whoever writes at the same time?"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from quorate.errors import Conflict, CorruptState, InvalidInput, StorageFull, Unavailable
from quorate.ports import Entry, KeyValue
from quorate.security.secrets import Secret
from quorate.state.audit import AuditFilter, AuditTrail
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock

KEY = Secret("a-key-that-is-long-enough")


class Flaky:
    """Values whose writes fail as told, before or after they are committed, and count."""

    def __init__(self, inner: KeyValue) -> None:
        self.inner = inner
        self.puts = 0
        self.fail_before: list[Exception] = []
        self.fail_after: list[Exception] = []
        self.gate: asyncio.Event | None = None

    async def get(self, key: str) -> Entry | None:
        return await self.inner.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self.puts += 1
        if self.gate is not None and not key.endswith("/head"):
            await self.gate.wait()
        if self.fail_before:
            raise self.fail_before.pop(0)
        entry = await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)
        if self.fail_after:
            raise self.fail_after.pop(0)
        await asyncio.sleep(0)
        return entry

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        return await self.inner.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        return await self.inner.scan(prefix, after=after, limit=limit)


@pytest.fixture
async def values() -> AsyncIterator[KeyValue]:
    async with open_memory_store(clock=ManualClock()) as store:
        yield store.values


def open_trail(values: KeyValue, *, tenant: str = "acme", key: Secret | None = None) -> AuditTrail:
    return AuditTrail(values, clock=ManualClock(), tenant=tenant, key=key)


async def fill(trail: AuditTrail, count: int) -> None:
    for number in range(count):
        await trail.append("run.cancel", principal="ada", object=f"run/run-{number}", facts={"number": number})


async def test_rows_follow_each_other(values: KeyValue) -> None:
    """Each row bears the hash of the one before, and all of them verify."""
    trail = open_trail(values)
    await fill(trail, 5)
    rows = await trail.read()
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert [row.previous for row in rows] == ["", *[row.hash for row in rows[:-1]]]
    report = await trail.verify()
    assert (report.ok, report.rows, report.unchecked) == (True, 5, 0)
    assert report.head == await trail.find_head()


async def test_an_empty_trail_verifies(values: KeyValue) -> None:
    """Where nothing happened nothing is wrong."""
    trail = open_trail(values)
    report = await trail.verify()
    assert (report.ok, report.rows) == (True, 0)
    assert await trail.read() == await trail.read_last() == []


@pytest.mark.parametrize("processes", [1, 5])
async def test_fifty_appenders_make_one_chain(values: KeyValue, processes: int) -> None:
    """However many write at once, in one process or several, no number is left out and none is given twice."""
    trails = [open_trail(Flaky(values)) for _ in range(processes)]

    async def write(number: int) -> None:
        for step in range(10):
            trail = trails[number % processes]
            row = await trail.append("run.submit", principal=f"p{number}", object=f"run/run-{number}-{step}")
            assert row.object == f"run/run-{number}-{step}"

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(write(number))
    report = await open_trail(values).verify()
    assert (report.ok, report.rows) == (True, 500), report
    rows = await trails[0].read(limit=1000)
    assert len({row.object for row in rows}) == 500
    for number in range(50):  # everybody's own acts are in the order they were made
        mine = [row.object for row in rows if row.principal == f"p{number}"]
        assert mine == [f"run/run-{number}-{step}" for step in range(10)]


async def test_acts_at_the_same_time_cost_less_than_a_write_each(values: KeyValue) -> None:
    """A thousand acts at once are written in a few blocks."""
    flaky = Flaky(values)
    trail = open_trail(flaky)
    async with asyncio.TaskGroup() as group:
        for number in range(1000):
            group.create_task(trail.append("run.submit", principal="ada", object=f"run/{number}"))
    assert flaky.puts < 40
    assert (await trail.verify()).rows == 1000


async def test_a_lost_connection_after_the_commit_is_no_second_row(values: KeyValue) -> None:
    """A write whose answer was lost is looked for before it counts as failed."""
    flaky = Flaky(values)
    trail = open_trail(flaky)
    await fill(trail, 1)
    flaky.fail_after = [Unavailable("the connection was lost")]
    row = await trail.append("run.cancel", principal="ada", object="run/2")
    assert row.seq == 2
    assert (await trail.verify()).rows == 2


@pytest.mark.parametrize("error", [StorageFull("no room"), Unavailable("away")])
async def test_what_is_not_written_is_an_error_and_the_next_is_well(values: KeyValue, error: Exception) -> None:
    """Nobody is told that an act was recorded when it was not; afterwards the chain goes on without a gap."""
    flaky = Flaky(values)
    trail = open_trail(flaky)
    await fill(trail, 2)
    flaky.fail_before = [error]
    with pytest.raises(type(error)):
        await trail.append("run.cancel", principal="ada", object="run/lost")
    await fill(trail, 2)
    report = await trail.verify()
    assert (report.ok, report.rows) == (True, 4)


async def test_a_waiter_that_is_cancelled_takes_nobody_with_it(values: KeyValue) -> None:
    """Whoever writes for all may be cancelled at any moment: the others' rows are written once."""
    for moment in range(6):
        flaky = Flaky(values)
        trail = open_trail(flaky, tenant=f"t{moment}")
        await fill(trail, 1)
        flaky.gate = asyncio.Event()
        tasks = [asyncio.ensure_future(trail.append("a.b", principal="p", object=f"o/{number}")) for number in range(5)]
        for _ in range(moment):
            await asyncio.sleep(0)
            if moment > 3:
                flaky.gate.set()
        tasks[0].cancel()
        flaky.gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        rows = [one for one in done if not isinstance(one, BaseException)]
        assert len(rows) >= 4
        stored = await trail.read()
        assert len({row.object for row in stored}) == len(stored)
        assert {row.object for row in rows} <= {row.object for row in stored}
        assert (await trail.verify()).ok


async def test_rows_are_filtered_and_paged(values: KeyValue) -> None:
    """Filters go together, from the front and from the back."""
    clock = ManualClock()
    trail = AuditTrail(values, clock=clock, tenant="acme")

    async def write(number: int) -> None:
        refused = number % 10 == 0
        await trail.append(
            "run.cancel" if number % 2 else "state.set",
            principal=f"p{number % 3}",
            object=f"run/{number}",
            outcome="refused" if refused else "done",
        )

    for number in range(300):
        clock.advance(1)
        await write(number)
    refused = AuditFilter(outcome="refused")
    assert [row.object for row in await trail.read_last(limit=2, match=refused)] == ["run/280", "run/290"]
    assert [row.seq for row in await trail.read(after=130, limit=3)] == [131, 132, 133]
    assert [row.seq for row in await trail.read_last(limit=4)] == [297, 298, 299, 300]
    assert len(await trail.read(limit=999, match=AuditFilter(action="run", principal="p1"))) == 50
    assert len(await trail.read(limit=999, match=AuditFilter(object="run/7"))) == 1
    since = AuditFilter(since=clock.now() - 9, before=clock.now())
    assert [row.seq for row in await trail.read_last(match=since)] == list(range(291, 300))
    assert await trail.read(limit=0) == []


async def test_reading_begins_inside_a_block(values: KeyValue) -> None:
    """A page that begins between two rows of one block leaves none out."""
    trail = open_trail(values)
    async with asyncio.TaskGroup() as group:
        for number in range(150):
            group.create_task(trail.append("a.b", principal="p", object=f"o/{number}"))
    for after in range(0, 150, 7):
        assert [row.seq for row in await trail.read(after=after, limit=5)] == list(
            range(after + 1, min(after + 6, 151))
        )


async def test_tenants_have_chains_of_their_own(values: KeyValue) -> None:
    """What one tenant did is not in the trail of another."""
    await fill(open_trail(values, tenant="acme"), 3)
    await fill(open_trail(values, tenant="acme-2"), 2)
    assert (await open_trail(values, tenant="acme").verify()).rows == 3
    assert (await open_trail(values, tenant="acme-2").verify()).rows == 2


async def test_what_cannot_be_a_row_is_refused(values: KeyValue) -> None:
    """Mistakes of a caller are named; nothing is written."""
    trail = open_trail(values)
    with pytest.raises(InvalidInput, match=r"write it like `run\.cancel`"):
        await trail.append("Run cancel!", principal="p", object="o")
    with pytest.raises(InvalidInput, match=r"fact 'many'.*is list"):
        await trail.append("a.b", principal="p", object="o", facts={"many": [1]})
    with pytest.raises(InvalidInput, match="out of range"):
        await trail.append("a.b", principal="p", object="o", facts={"n": float("nan")})
    with pytest.raises(InvalidInput, match="at most 32"):
        await trail.append("a.b", principal="p", object="o", facts={f"f{n}": n for n in range(33)})
    with pytest.raises(InvalidInput, match="openssl rand"):
        open_trail(values, key=Secret("short"))
    assert (await trail.verify()).rows == 0


async def test_long_and_odd_words_are_kept_whole_or_cut_visibly(values: KeyValue) -> None:
    """Any text can stand in a row, on one line, and still verifies."""
    trail = open_trail(values)
    row = await trail.append(
        "a.b", principal="p\n\ud800", object="o" * 900, reason="x\u2028y\0", facts={"t": "é" * 600}
    )
    assert len(row.object) == 512
    assert row.object.endswith("…")
    assert (await trail.verify()).ok
    assert (await trail.read())[0] == row


async def test_secrets_do_not_reach_a_row(values: KeyValue) -> None:
    """Typed secrets, keys of well-known kinds, what stands under a telling name, and the program's own are hidden."""
    own = Secret("correct-horse-battery")
    trail = AuditTrail(values, clock=ManualClock(), tenant="acme", secrets=[own])
    await trail.append(
        "settings.set",
        principal="ada",
        object="settings/model",
        reason="they gave me sk-abcdefghijklmnop1234 to use",
        facts={"password": "hunter2", "key": Secret("typed-secret-value"), "note": f"use {own.reveal()} now"},
    )
    stored = b"".join([entry.value for entry in await values.scan("audit/")])
    for secret in (b"hunter2", b"typed-secret-value", b"sk-abcdef", b"correct-horse"):
        assert secret not in stored
    (row,) = await trail.read()
    assert row.facts == {"key": "********", "note": "use ******** now", "password": "********"}


async def test_nothing_follows_an_end_that_cannot_be_read(values: KeyValue) -> None:
    """A process that comes to a broken end refuses to go on: what follows would hide it."""
    await fill(open_trail(values), 3)
    await values.delete("audit/acme/head")
    await values.put("audit/acme/0000000000000003", b"{}")
    with pytest.raises(CorruptState, match="audit verify"):
        await fill(open_trail(values), 1)


async def test_a_place_that_is_taken_for_ever_is_given_up(values: KeyValue) -> None:
    """Somebody who is always quicker does not keep an act waiting without end."""

    class Taken(Flaky):
        async def put(self, key: str, value: bytes, **options: object) -> Entry:
            if not key.endswith("/head"):
                raise Conflict("somebody else wrote first")
            return await super().put(key, value)

    with pytest.raises(Unavailable, match="Others were quicker"):
        await open_trail(Taken(values)).append("a.b", principal="p", object="o")
