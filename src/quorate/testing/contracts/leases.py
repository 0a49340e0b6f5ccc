"""What must every store tell of owners and of the runs nobody works on?"""

from __future__ import annotations

from msgspec import structs

from quorate.errors import Fenced
from quorate.events import ApprovalDecided, RunCompleted, RunResumed, RunStarted, RunWaiting
from quorate.ports import Lease, Leases, Log, Store
from quorate.testing.contracts.building import build_opening, build_steps, expect
from quorate.testing.contracts.values import PassTime

TTL_S = 60.0
_SLACK_S = 5.0


class LeasesContract:
    """What every `Leases` must do; see `quorate.testing.contracts` on how to use it."""

    async def test_a_lease_begins_with_its_first_beat(self, store: Store) -> None:
        """It lasts for as long as was asked, from now."""
        lease = await store.leases.beat("w1", ttl_s=TTL_S)
        assert (lease.owner, lease.epoch) == ("w1", 1)
        assert _is_near(lease.expires - lease.since, TTL_S)
        assert await store.leases.list_leases() == [lease]

    async def test_a_beat_in_time_prolongs_it(self, store: Store, pass_time: PassTime) -> None:
        """It has been alive without a gap, so `since` stays."""
        lease = await store.leases.beat("w1", ttl_s=TTL_S)
        for beats in (1, 2, 3):
            await pass_time(50)
            lease = await store.leases.beat("w1", ttl_s=TTL_S, epoch=lease.epoch)
            assert _is_near(lease.expires - lease.since, TTL_S + 50 * beats)
            assert lease.epoch == 1

    async def test_a_late_beat_begins_anew(self, store: Store, pass_time: PassTime) -> None:
        """After a gap it is alive again, and has been for no time at all."""
        lease = await store.leases.beat("w1", ttl_s=TTL_S)
        await pass_time(TTL_S + 1)
        lease = await store.leases.beat("w1", ttl_s=TTL_S, epoch=lease.epoch)
        assert lease.epoch == 1
        assert _is_near(lease.expires - lease.since, TTL_S)

    async def test_a_clock_put_back_begins_anew(self, store: Store, pass_time: PassTime) -> None:
        """A lease from what is now the future says nothing about the present."""
        lease = await store.leases.beat("w1", ttl_s=TTL_S)
        await pass_time(-3600)
        lease = await store.leases.beat("w1", ttl_s=TTL_S, epoch=lease.epoch)
        assert _is_near(lease.expires - lease.since, TTL_S)

    async def test_an_owner_is_itself(self, store: Store) -> None:
        """Another one's id, epoch or a dropped lease is not prolonged, and an id is begun with once."""
        lease = await store.leases.beat("w1", ttl_s=TTL_S)
        for owner, epoch in (("w1", 0), ("w1", 2), ("w2", 1)):
            with expect(Fenced, owner, "declared dead"):
                await store.leases.beat(owner, ttl_s=TTL_S, epoch=epoch)
        assert await store.leases.list_leases() == [lease]
        await store.leases.drop("w1")
        with expect(Fenced, "w1"):
            await store.leases.beat("w1", ttl_s=TTL_S, epoch=1)

    async def test_leases_are_listed_by_owner(self, store: Store, pass_time: PassTime) -> None:
        """Living or not, until they are dropped; dropping what is not there does no harm."""
        for owner in ("w2", "é'\"%", "w1", "W3"):
            await store.leases.beat(owner, ttl_s=TTL_S)
        await pass_time(2 * TTL_S)
        assert [lease.owner for lease in await store.leases.list_leases()] == ["W3", "w1", "w2", "é'\"%"]
        await store.leases.drop("w1")
        await store.leases.drop("w1")
        await store.leases.drop("nobody")
        assert [lease.owner for lease in await store.leases.list_leases()] == ["W3", "w2", "é'\"%"]

    async def test_queued_runs_are_anybodys(self, store: Store) -> None:
        """At once, oldest first, as many as were asked for; and finding takes nothing."""
        lease = await store.leases.beat("w1", ttl_s=TTL_S)
        assert await _find(store.leases, lease) == []
        for run in ("run-3", "run-1", "run-2"):
            await store.log.append(run, build_opening(run)[:1], expected=0)
        assert await _find(store.leases, lease) == ["run-1", "run-2", "run-3"]
        assert await _find(store.leases, lease, limit=2) == ["run-1", "run-2"]
        assert await _find(store.leases, lease, limit=0) == []
        found = await store.leases.find_work(lease, ttl_s=TTL_S)
        assert found == await store.log.list_runs(order="oldest")

    async def test_work_is_found_by_agent(self, store: Store, pass_time: PassTime) -> None:
        """Queued, waking and left behind: that of the agents that are named, however much of others is older.

        Who may take nothing of what a dead one left does not declare it dead.
        """
        judge = await store.leases.beat("w1", ttl_s=TTL_S)
        now = judge.expires - TTL_S
        await store.leases.beat("w2", ttl_s=TTL_S)
        for number in range(1, 7):
            run, agent = f"run-{number}", "net" if number > 3 else "host"
            created = structs.replace(build_opening(run)[0], agent=agent)
            await store.log.append(run, [created], expected=0)
            if number in {2, 5}:
                await store.log.append(run, [RunStarted(run=run, seq=2, time=2.0, attempt="a1")], expected=1)
                waiting = RunWaiting(run=run, seq=3, time=3.0, reason="timer", wakes=now - 1)
                await store.log.append(run, [waiting], expected=2)
            if number in {3, 6}:
                started = RunStarted(run=run, seq=2, time=2.0, attempt="a1", owner="w2")
                await store.log.append(run, [started], expected=1)
        judge = await _live_on(store.leases, judge, pass_time)

        async def find(*agents: str, limit: int = 10) -> list[str]:
            found = await store.leases.find_work(judge, ttl_s=TTL_S, limit=limit, agents=agents)
            return [summary.run for summary in found]

        assert (await find("é'\"%"), await find()) == ([], [])
        assert {lease.owner: lease.epoch for lease in await store.leases.list_leases()} == {"w1": 1, "w2": 1}
        assert await find("net") == ["run-4", "run-5", "run-6"]
        assert await find("net", limit=1) == ["run-4"]
        assert await find("net", "host") == [f"run-{number}" for number in range(1, 7)]

    async def test_waiting_runs_come_when_they_wake(self, store: Store, pass_time: PassTime) -> None:
        """Not before, and one that waits for an answer alone only when it was answered."""
        lease = await store.leases.beat("w1", ttl_s=TTL_S)
        now = lease.expires - TTL_S
        await _rest(store.log, "run-1", wakes=now + 100)
        await _rest(store.log, "run-2", wakes=None)
        await _rest(store.log, "run-3", wakes=now - 100)
        assert await _find(store.leases, lease) == ["run-3"]
        await pass_time(110)
        assert await _find(store.leases, lease) == ["run-1", "run-3"]
        answer = ApprovalDecided(
            run="run-2", seq=4, time=30.0, key="1/tool/call-1", approved=True, digest="ab", by="ada"
        )
        await store.log.append("run-2", [answer], expected=3)
        assert await _find(store.leases, lease) == ["run-1", "run-2", "run-3"]
        await store.log.append("run-1", [RunResumed(run="run-1", seq=4, time=40.0, attempt="a2")], expected=3)
        assert await _find(store.leases, lease) == ["run-2", "run-3"]

    async def test_runs_of_a_dead_owner_are_found(self, store: Store, pass_time: PassTime) -> None:
        """By whoever has been alive for a whole while; the dead one is fenced, and its runs are found until taken."""
        dead = await store.leases.beat("w1", ttl_s=TTL_S)
        await _start(store.log, "run-2", owner="w1")
        await _start(store.log, "run-1", owner="w1")
        await _start(store.log, "run-3", owner="w2")
        judge = await _live_on(store.leases, await store.leases.beat("w2", ttl_s=TTL_S), pass_time)
        assert await _find(store.leases, judge) == ["run-1", "run-2"]
        assert await _find(store.leases, judge, limit=1) == ["run-1"]
        with expect(Fenced, "w1", "declared dead"):
            await store.leases.beat("w1", ttl_s=TTL_S, epoch=dead.epoch)
        with expect(Fenced, "w1"):
            await store.leases.beat("w1", ttl_s=TTL_S)
        epochs = {lease.owner: lease.epoch for lease in await store.leases.list_leases()}
        assert epochs["w1"] > dead.epoch
        assert epochs["w2"] == judge.epoch
        taken = RunResumed(run="run-1", seq=3, time=40.0, attempt="a2", owner="w2")
        await store.log.append("run-1", [taken], expected=2)
        assert await _find(store.leases, judge) == ["run-2"]

    async def test_runs_of_the_living_are_left_alone(self, store: Store, pass_time: PassTime) -> None:
        """Whoever beats keeps its runs, however old it and they are."""
        other = await store.leases.beat("w1", ttl_s=TTL_S)
        judge = await store.leases.beat("w2", ttl_s=TTL_S)
        await _start(store.log, "run-1", owner="w1")
        for _ in range(5):
            await pass_time(40)
            other = await store.leases.beat("w1", ttl_s=TTL_S, epoch=other.epoch)
            judge = await store.leases.beat("w2", ttl_s=TTL_S, epoch=judge.epoch)
            assert await _find(store.leases, judge) == []
        assert {lease.epoch for lease in await store.leases.list_leases()} == {1}

    async def test_what_is_not_owned_or_has_ended_is_left_alone(self, store: Store, pass_time: PassTime) -> None:
        """A run that somebody makes by hand has no owner who could be dead."""
        await _start(store.log, "run-1", owner="")
        await _start(store.log, "run-2", owner="gone")
        await store.log.append("run-2", [RunCompleted(run="run-2", seq=3, time=30.0, output="ok")], expected=2)
        await store.log.append("run-3", build_steps("run-3", 1, 2), expected=0)
        judge = await _live_on(store.leases, await store.leases.beat("w2", ttl_s=TTL_S), pass_time)
        assert await _find(store.leases, judge) == []

    async def test_nobody_young_declares_others_dead(self, store: Store, pass_time: PassTime) -> None:
        """One that just began may only take what is free."""
        dead = await store.leases.beat("w1", ttl_s=TTL_S)
        await _start(store.log, "run-1", owner="w1")
        await pass_time(10 * TTL_S)
        judge = await store.leases.beat("w2", ttl_s=TTL_S)
        assert await _find(store.leases, judge) == []
        await pass_time(TTL_S - 10)
        judge = await store.leases.beat("w2", ttl_s=TTL_S, epoch=judge.epoch)
        assert await _find(store.leases, judge) == []
        assert (await store.leases.beat("w1", ttl_s=TTL_S, epoch=dead.epoch)).epoch == dead.epoch

    async def test_after_an_outage_nobody_is_dead(self, store: Store, pass_time: PassTime) -> None:
        """When nobody could beat, neither a lease from before nor one from just now says anything of others."""
        other = await store.leases.beat("w1", ttl_s=TTL_S)
        await _start(store.log, "run-1", owner="w1")
        before = await _live_on(store.leases, await store.leases.beat("w2", ttl_s=TTL_S), pass_time, times=1)
        await pass_time(5 * TTL_S)
        assert await _find(store.leases, before) == []
        after = await store.leases.beat("w2", ttl_s=TTL_S, epoch=before.epoch)
        assert await _find(store.leases, after) == []
        assert await _find(store.leases, before) == []
        assert await _find(store.leases, structs.replace(after, since=after.since - 10 * TTL_S)) == []
        assert (await store.leases.beat("w1", ttl_s=TTL_S, epoch=other.epoch)).epoch == other.epoch

    async def test_a_lease_from_before_the_clock_was_put_back_is_dead(self, store: Store, pass_time: PassTime) -> None:
        """Otherwise nobody could have its runs for an hour."""
        await store.leases.beat("w1", ttl_s=TTL_S)
        await _start(store.log, "run-1", owner="w1")
        await pass_time(-3600)
        judge = await store.leases.beat("w2", ttl_s=TTL_S)
        assert await _find(store.leases, judge) == []
        judge = await _live_on(store.leases, judge, pass_time)
        assert await _find(store.leases, judge) == ["run-1"]

    async def test_what_was_dropped_is_anybodys(self, store: Store, pass_time: PassTime) -> None:
        """Nobody needs to wait for the end of a lease that was given back."""
        judge = await store.leases.beat("w2", ttl_s=TTL_S)
        await store.leases.beat("w1", ttl_s=100 * TTL_S)
        await _start(store.log, "run-1", owner="w1")
        judge = await _live_on(store.leases, judge, pass_time)
        await store.leases.drop("w1")
        assert await _find(store.leases, judge) == ["run-1"]

    async def test_many_dead_owners_and_two_judges(self, store: Store, pass_time: PassTime) -> None:
        """All that the dead left is found, and both find the same."""
        for number in range(30):
            await store.leases.beat(f"dead-{number:02}", ttl_s=TTL_S)
            await _start(store.log, f"run-{number:02}", owner=f"dead-{number:02}")
        first = await store.leases.beat("w1", ttl_s=TTL_S)
        second = await store.leases.beat("w2", ttl_s=TTL_S)
        for _ in range(3):
            await pass_time(25)
            first = await store.leases.beat("w1", ttl_s=TTL_S, epoch=first.epoch)
            second = await store.leases.beat("w2", ttl_s=TTL_S, epoch=second.epoch)
        wanted = [f"run-{number:02}" for number in range(30)]
        assert await _find(store.leases, first, limit=100) == wanted
        assert await _find(store.leases, second, limit=100) == wanted
        assert await _find(store.leases, second, limit=7) == wanted[:7]


def _is_near(seconds: float, wanted: float) -> bool:
    return abs(seconds - wanted) < _SLACK_S


async def _find(leases: Leases, lease: Lease, *, limit: int = 10) -> list[str]:
    return [summary.run for summary in await leases.find_work(lease, ttl_s=TTL_S, limit=limit)]


async def _start(log: Log, run: str, *, owner: str) -> None:
    created = build_opening(run)[0]
    await log.append(run, [created, RunStarted(run=run, seq=2, time=11.0, attempt="a1", owner=owner)], expected=0)


async def _rest(log: Log, run: str, *, wakes: float | None) -> None:
    waiting = RunWaiting(run=run, seq=3, time=12.0, reason="timer", wakes=wakes)
    await log.append(run, [*build_opening(run), waiting], expected=0)


async def _live_on(leases: Leases, lease: Lease, pass_time: PassTime, *, times: int = 3) -> Lease:
    """Let somebody live, beating, for longer than a whole lease of those who do not."""
    for _ in range(times):
        await pass_time(25)
        lease = await leases.beat(lease.owner, ttl_s=TTL_S, epoch=lease.epoch)
    return lease
