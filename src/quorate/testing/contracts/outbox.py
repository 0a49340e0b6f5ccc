"""What must every outbox do?"""

from __future__ import annotations

from quorate.errors import Conflict
from quorate.events import NOTICES, RunCompleted, get_kind
from quorate.ports import Store
from quorate.testing.contracts.building import build_opening, build_step, build_steps, expect, run_together
from quorate.testing.samples import build_every_event


class OutboxContract:
    """What every `Outbox` must do; see `quorate.testing.contracts` on how to use it."""

    async def test_there_are_notices_of_what_others_want_to_hear_of(self, store: Store) -> None:
        """Exactly of those kinds, with run, position and tenant, whatever else was appended with them."""
        written = build_every_event("run-1")
        await store.log.append("run-1", written[:1], expected=0)
        await store.log.append("run-1", written[1:], expected=1)
        wanted = [(event.run, event.seq, get_kind(event), "acme") for event in written if isinstance(event, NOTICES)]
        found = await store.outbox.pending(limit=1000)
        assert [(notice.run, notice.seq, notice.kind, notice.tenant) for notice in found] == wanted
        assert len({notice.id for notice in found}) == len(found)

    async def test_what_was_refused_is_not_told(self, store: Store) -> None:
        """An append that conflicts leaves no notice, also beside others that do not."""
        await store.log.append("run-0", build_opening("run-0"), expected=0)

        async def write(number: int) -> None:
            run = f"run-{number}"
            if number % 2:
                with expect(Conflict):
                    await store.log.append(run, build_steps(run, 3, 1), expected=2)
            else:
                await store.log.append(run, build_opening(run), expected=0)

        await run_together(write(number) for number in range(1, 41))
        with expect(Conflict):
            await store.log.append("run-0", build_opening("run-0"), expected=0)
        found = [(notice.run, notice.seq) for notice in await store.outbox.pending(limit=1000)]
        assert sorted(found) == sorted((f"run-{number}", 1) for number in range(0, 41, 2))

    async def test_other_events_are_not_told(self, store: Store) -> None:
        """Steps are nobody's news."""
        await store.log.append("run-1", build_steps("run-1", 1, 5), expected=0)
        assert await store.outbox.pending() == []

    async def test_a_notice_without_a_beginning_has_no_tenant(self, store: Store) -> None:
        """Where the run's first event is elsewhere, nobody knows whose it is."""
        end = RunCompleted(run="run-1", seq=2, time=30.0, output="ok")
        await store.log.append("run-1", [build_step("run-1", 1), end], expected=0)
        (notice,) = await store.outbox.pending()
        assert (notice.run, notice.seq, notice.kind, notice.tenant) == ("run-1", 2, "run.completed", "")

    async def test_what_was_told_is_not_pending(self, store: Store) -> None:
        """Oldest first, by page; marking twice or what never was does no harm."""
        for number in range(7):
            await store.log.append(f"run-{number}", build_opening(f"run-{number}"), expected=0)
        first = await store.outbox.pending(limit=3)
        assert [notice.run for notice in first] == ["run-0", "run-1", "run-2"]
        assert await store.outbox.pending(limit=3) == first
        await store.outbox.done([first[0].id, first[2].id])
        await store.outbox.done([first[0].id, 1 << 40])
        await store.outbox.done([])
        left = await store.outbox.pending()
        assert [notice.run for notice in left] == ["run-1", "run-3", "run-4", "run-5", "run-6"]
        await store.outbox.done([notice.id for notice in left])
        assert await store.outbox.pending() == []

    async def test_a_number_is_not_given_twice(self, store: Store) -> None:
        """Who is slow to mark a notice as told never marks a later one."""
        seen: list[int] = []
        for number in range(5):
            await store.log.append(f"run-{number}", build_opening(f"run-{number}"), expected=0)
            (notice,) = await store.outbox.pending()
            await store.outbox.done([notice.id])
            seen.append(notice.id)
        assert sorted(set(seen)) == seen

    async def test_many_runs_at_once_are_told_once_each(self, store: Store) -> None:
        """Nothing is lost or doubled where appends share a commit."""
        runs = [f"run-{number:03}" for number in range(200)]
        await run_together(store.log.append(run, build_opening(run), expected=0) for run in runs)
        assert sorted(notice.run for notice in await store.outbox.pending(limit=1000)) == runs
