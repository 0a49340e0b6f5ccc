"""What must every log do?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import combinations

from msgspec import structs

from quorate.errors import Conflict, QuorateError
from quorate.events import (
    AnyEvent,
    RunCompleted,
    RunCreated,
    RunResumed,
    RunStarted,
    RunSummary,
    RunWaiting,
    summarize,
)
from quorate.ids import new_id
from quorate.messages import Usage
from quorate.ports import Log
from quorate.testing.contracts.building import build_opening, build_step, build_steps, expect
from quorate.testing.contracts.listing import (
    ORDERS,
    build_answer,
    build_names,
    fill_run,
    list_by_page,
    list_names,
    sort_summaries,
)
from quorate.testing.samples import build_every_event


class LogContract:
    """What every `Log` must do; see the module on how to use it."""

    async def test_an_unknown_run_is_empty(self, log: Log) -> None:
        """A run that nobody wrote has no events, and its last position is 0."""
        assert await log.read("run-none") == []
        assert await log.last("run-none") == 0
        assert await log.list_runs() == []

    async def test_what_is_appended_is_read_in_order(self, log: Log) -> None:
        """Several appends come back as one sequence without a gap."""
        written = build_opening("run-1")
        await log.append("run-1", written, expected=0)
        for seq in range(3, 30):
            step = build_step("run-1", seq)
            written.append(step)
            await log.append("run-1", [step], expected=seq - 1)
        assert await log.read("run-1") == written
        assert [event.seq for event in await log.read("run-1")] == list(range(1, 30))
        assert await log.last("run-1") == 29

    async def test_events_of_every_kind_come_back_equal(self, log: Log) -> None:
        """Nothing of any event is lost, text outside ASCII and bytes included."""
        written = build_every_event("run-1")
        await log.append("run-1", written, expected=0)
        assert await log.read("run-1") == written

    async def test_a_wrong_position_is_a_conflict(self, log: Log) -> None:
        """An append behind or ahead of the last position is refused with both numbers, and changes nothing."""
        await log.append("run-1", build_opening("run-1"), expected=0)
        for expected in (0, 1, 3, 7):
            with expect(Conflict, "run-1", "2", str(expected)):
                await log.append("run-1", build_steps("run-1", expected + 1, 1), expected=expected)
        with expect(Conflict, "run-2", "0", "4"):
            await log.append("run-2", build_steps("run-2", 5, 1), expected=4)
        assert await log.last("run-1") == 2
        assert await log.read("run-2") == []
        assert [summary.run for summary in await log.list_runs()] == ["run-1"]

    async def test_a_batch_is_whole_or_absent(self, log: Log) -> None:
        """A refused batch leaves none of its events behind, and the right one still fits."""
        await log.append("run-1", build_opening("run-1"), expected=0)
        with expect(Conflict):
            await log.append("run-1", build_steps("run-1", 2, 5), expected=1)
        assert await log.last("run-1") == 2
        await log.append("run-1", build_steps("run-1", 3, 5), expected=2)
        assert await log.last("run-1") == 7

    async def test_no_events_only_check_the_position(self, log: Log) -> None:
        """An empty append writes nothing, and still conflicts."""
        await log.append("run-1", build_opening("run-1"), expected=0)
        await log.append("run-1", [], expected=2)
        with expect(Conflict):
            await log.append("run-1", [], expected=1)
        assert await log.last("run-1") == 2

    async def test_read_after_and_limit(self, log: Log) -> None:
        """A reader goes on from where it was, in portions."""
        written = [*build_opening("run-1"), *build_steps("run-1", 3, 8)]
        await log.append("run-1", written, expected=0)
        assert await log.read("run-1", after=4) == written[4:]
        assert await log.read("run-1", after=4, limit=3) == written[4:7]
        assert await log.read("run-1", limit=2) == written[:2]
        assert await log.read("run-1", limit=0) == []
        assert await log.read("run-1", after=9, limit=100) == written[9:]
        assert await log.read("run-1", after=10) == []
        assert await log.read("run-1", after=99) == []

    async def test_two_hundred_runs_at_once(self, log: Log) -> None:
        """Appends to many runs at the same time do not disturb each other."""
        runs = [new_id("run") for _ in range(200)]

        async def write(run: str) -> None:
            await log.append(run, build_opening(run), expected=0)
            for seq in range(3, 8):
                await log.append(run, [build_step(run, seq)], expected=seq - 1)

        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(write(run))
        for run in runs:
            assert await log.read(run) == [*build_opening(run), *build_steps(run, 3, 5)]
        assert len(await log.list_runs(limit=1000)) == 200

    async def test_a_conflict_fails_nobody_else(self, log: Log) -> None:
        """Of appends made at the same time, only those at a wrong position are refused."""
        outcomes = await _append_at_once(log, [(f"run-{number}", number % 2) for number in range(100)])
        assert [isinstance(outcome, Conflict) for outcome in outcomes] == [n % 2 == 1 for n in range(100)]
        assert len(await log.list_runs(limit=1000)) == 50

    async def test_of_two_writers_exactly_one_wins_each_position(self, log: Log) -> None:
        """Writers that race for a run never both get a position, and none is left out."""
        await log.append("run-1", build_opening("run-1"), expected=0)
        won: dict[str, list[int]] = {"w1": [], "w2": [], "w3": []}

        async def write(attempt: str) -> None:
            while (last := await log.last("run-1")) < 42:
                try:
                    await log.append("run-1", [build_step("run-1", last + 1, attempt=attempt)], expected=last)
                except Conflict:
                    continue
                won[attempt].append(last + 1)

        async with asyncio.TaskGroup() as group:
            for attempt in won:
                group.create_task(write(attempt))
        events = await log.read("run-1")
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert sorted(seq for seqs in won.values() for seq in seqs) == list(range(3, len(events) + 1))
        assert all(event.seq in won[event.attempt] for event in events[2:])

    async def test_a_body_of_a_megabyte(self, log: Log) -> None:
        """A large result is kept whole."""
        text = "é\n" * (1 << 19)
        written = [*build_opening("run-1"), build_step("run-1", 3, content=text)]
        await log.append("run-1", written, expected=0)
        assert await log.read("run-1") == written

    async def test_ten_thousand_events(self, log: Log) -> None:
        """A long run is read whole and by its tail."""
        written = [*build_opening("run-1"), *build_steps("run-1", 3, 9_998)]
        await log.append("run-1", written, expected=0)
        assert await log.read("run-1") == written
        assert await log.read("run-1", after=9_990) == written[9_990:]

    async def test_a_summary_follows_its_log(self, log: Log) -> None:
        """The one line about a run tells what its events tell."""
        await log.append("run-1", build_opening("run-1", task="x" * 300), expected=0)
        (summary,) = await log.list_runs()
        assert (summary.agent, summary.status, summary.events) == ("net", "running", 2)
        assert (summary.created, summary.updated, summary.session) == (10.0, 11.0, "s1")
        assert summary.task == "x" * 200
        await log.append("run-1", build_steps("run-1", 3, 1), expected=2)
        await log.append("run-1", [RunWaiting(run="run-1", seq=4, time=20.0, reason="input")], expected=3)
        (summary,) = await log.list_runs()
        assert (summary.status, summary.events, summary.updated) == ("waiting", 4, 20.0)
        end = RunCompleted(
            run="run-1", seq=5, time=21.0, output="done", usage=Usage(input_tokens=7, requests=1), cost_usd=None
        )
        await log.append("run-1", [end], expected=4)
        (summary,) = await log.list_runs()
        assert (summary.status, summary.events, summary.updated) == ("completed", 5, 21.0)
        assert (summary.usage, summary.cost_usd) == (end.usage, None)

    async def test_a_run_without_its_beginning_is_not_listed(self, log: Log) -> None:
        """Before `run.created` there is nothing to tell about a run, but its position counts."""
        await log.append("run-1", build_steps("run-1", 1, 2), expected=0)
        await log.append("run-1", build_steps("run-1", 3, 1), expected=2)
        assert await log.last("run-1") == 3
        assert await log.list_runs() == []

    async def test_what_is_read_belongs_to_the_reader(self, log: Log) -> None:
        """Neither the list that was appended nor the one that was read is the log itself."""
        given = build_opening("run-1")
        await log.append("run-1", given, expected=0)
        given.clear()
        (await log.read("run-1")).clear()
        assert await log.read("run-1") == build_opening("run-1")

    async def test_runs_are_listed_newest_first_and_by_page(self, log: Log) -> None:
        """Pages follow each other by the last id of the page before."""
        for number in range(7):
            await log.append(f"run-{number}", build_opening(f"run-{number}"), expected=0)
        first = [summary.run for summary in await log.list_runs(limit=3)]
        second = [summary.run for summary in await log.list_runs(limit=3, before=first[-1])]
        third = [summary.run for summary in await log.list_runs(limit=3, before=second[-1])]
        assert [*first, *second, *third] == [f"run-{number}" for number in reversed(range(7))]
        assert await log.list_runs(before="run-0") == []

    async def test_runs_are_filtered_by_status_and_agent(self, log: Log) -> None:
        """Filters go together, and with pages."""
        for number in range(12):
            run, agent = f"run-{number:02}", ("net", "logs", "code")[number % 3]
            await log.append(run, build_opening(run, agent=agent), expected=0)
            if number % 2:
                await log.append(run, [RunCompleted(run=run, seq=3, time=30.0, output="ok")], expected=2)

        def names(listed: list[RunSummary]) -> list[str]:
            return [summary.run[4:] for summary in listed]

        assert names(await log.list_runs(status="completed")) == ["11", "09", "07", "05", "03", "01"]
        assert names(await log.list_runs(agent="logs")) == ["10", "07", "04", "01"]
        assert names(await log.list_runs(agent="logs", status="running")) == ["10", "04"]
        assert names(await log.list_runs(agent="logs", status="running", before="run-10")) == ["04"]
        assert names(await log.list_runs(status="running", before="run-08", limit=2)) == ["06", "04"]
        assert await log.list_runs(agent="nobody") == []
        assert await log.list_runs(status="failed") == []

    async def test_several_logs_are_read_at_once(self, log: Log) -> None:
        """Whole ones, by run; unknown ones are left out, and asking twice is asking once."""
        written = {
            run: [*build_opening(run), *build_steps(run, 3, number)] for number, run in enumerate(build_names(150))
        }
        for run, events in written.items():
            await log.append(run, events, expected=0)
        assert await log.read_many([]) == {}
        assert await log.read_many(["run-none"]) == {}
        some = [*list(written)[::7], "run-none", "run-003", "run-003"]
        assert await log.read_many(some) == {run: written[run] for run in some if run in written}
        assert await log.read_many(list(written)) == written

    async def test_a_summary_is_the_fold_of_its_log(self, log: Log) -> None:
        """After every kind of event, owner, attempts, crashes, wakes and principal included."""
        written = build_every_event("run-1")
        strange = RunCreated(run="run-1", seq=0, time=1.0, agent="other", messages=(), tenant="other", principal="eve")
        more = [*written[1:4], strange, *written[1:3]]
        moments = [*written, *(structs.replace(one, seq=seq) for seq, one in enumerate(more, len(written) + 1))]
        for number, event in enumerate(moments, 1):
            await log.append("run-1", [event], expected=number - 1)
            assert await log.list_runs() == [summarize(None, moments[:number])]

    async def test_a_summary_tells_of_attempts(self, log: Log) -> None:
        """Who works on a run, how often it began, and how often in a row an attempt ended without saying so."""
        created = RunCreated(run="run-1", seq=1, time=1.0, agent="net", messages=(), principal="ada", tenant="acme")
        moments: Sequence[tuple[AnyEvent, tuple[object, ...]]] = (
            (created, ("queued", "", 0, 0, None)),
            (RunStarted(run="run-1", seq=2, time=2.0, attempt="a1", owner="w1"), ("running", "w1", 1, 0, None)),
            (RunResumed(run="run-1", seq=3, time=3.0, attempt="a2", owner="w2"), ("running", "w2", 2, 1, None)),
            (RunResumed(run="run-1", seq=4, time=4.0, attempt="a3", owner="w3"), ("running", "w3", 3, 2, None)),
            (RunWaiting(run="run-1", seq=5, time=5.0, reason="timer", wakes=60.5), ("waiting", "", 3, 0, 60.5)),
            (build_answer("run-1", 6), ("queued", "", 3, 0, 60.5)),
            (RunResumed(run="run-1", seq=7, time=7.0, attempt="a4"), ("running", "", 4, 0, 60.5)),
            (RunCompleted(run="run-1", seq=8, time=8.0, output="ok"), ("completed", "", 4, 0, None)),
        )
        for event, told in moments:
            await log.append("run-1", [event], expected=event.seq - 1)
            (one,) = await log.list_runs(tenant="acme")
            assert (one.status, one.owner, one.attempts, one.crashes, one.wakes) == told
            assert (one.principal, one.tenant, one.events) == ("ada", "acme", event.seq)

    async def test_runs_are_listed_by_all_filters_orders_and_pages(self, log: Log) -> None:
        """Any filters together, in any order, page by page: what a list of all of them would give."""
        for run in build_names(48):
            await fill_run(log, run)
        everything = await log.list_runs(limit=1000)
        assert len(everything) == 48
        values = {"status": "completed", "agent": "net", "session": "s1", "tenant": "acme"}
        for count in range(len(values) + 1):
            for names in combinations(values, count):
                filters = {name: values[name] for name in names}
                matching = [one for one in everything if all(getattr(one, n) == v for n, v in filters.items())]
                assert matching
                for order in ORDERS:
                    wanted = sort_summaries(matching, order)
                    assert await list_by_page(log, filters, order=order, limit=5) == wanted, (filters, order)

    async def test_runs_that_changed_last_come_first(self, log: Log) -> None:
        """A step moves a run to the front, and runs of one moment follow each other by id."""
        for run in ("run-1", "run-2", "run-3"):
            await log.append(run, build_opening(run), expected=0)
        assert await list_names(log, order="updated") == ["run-3", "run-2", "run-1"]
        await log.append("run-2", build_steps("run-2", 3, 1), expected=2)
        assert await list_names(log, order="updated") == ["run-2", "run-3", "run-1"]
        step = structs.replace(build_step("run-1", 3), time=100_000.0)
        await log.append("run-1", [step], expected=2)
        assert await list_names(log, order="updated") == ["run-1", "run-2", "run-3"]
        assert await list_names(log, order="updated", before="run-1") == ["run-2", "run-3"]
        assert await list_names(log, order="newest") == ["run-3", "run-2", "run-1"]
        assert await list_names(log, order="oldest") == ["run-1", "run-2", "run-3"]

    async def test_a_page_behind_a_run_that_is_gone(self, log: Log) -> None:
        """By birth it begins where it would have been; by change nobody knows where that was."""
        for run in ("run-1", "run-2", "run-3"):
            await log.append(run, build_opening(run), expected=0)
        await log.delete("run-2")
        assert await list_names(log, order="newest", before="run-2") == ["run-1"]
        assert await list_names(log, order="oldest", before="run-2") == ["run-3"]
        with expect(Conflict, "run-2", "gone"):
            await log.list_runs(order="updated", before="run-2")

    async def test_a_deleted_run_is_forgotten(self, log: Log) -> None:
        """Nothing of it is read or listed, other runs are unharmed, and it says whether there was one."""
        await log.append("run-1", [*build_opening("run-1"), *build_steps("run-1", 3, 5)], expected=0)
        await log.append("run-2", build_opening("run-2"), expected=0)
        assert await log.delete("run-1")
        assert not await log.delete("run-1")
        assert await log.read("run-1") == []
        assert await log.read_many(["run-1", "run-2"]) == {"run-2": build_opening("run-2")}
        assert await log.last("run-1") == 0
        assert await list_names(log) == ["run-2"]
        assert await list_names(log, status="running") == ["run-2"]

    async def test_a_writer_of_a_deleted_run_is_told(self, log: Log) -> None:
        """Later appends conflict at 0, so that an attempt under way stops; the id can begin anew."""
        await log.append("run-1", build_opening("run-1"), expected=0)
        await log.delete("run-1")
        with expect(Conflict, "run-1", "0", "2"):
            await log.append("run-1", build_steps("run-1", 3, 1), expected=2)
        again = build_opening("run-1", task="again")
        await log.append("run-1", again, expected=0)
        assert await log.read("run-1") == again
        (summary,) = await log.list_runs()
        assert (summary.task, summary.events, summary.attempts) == ("again", 2, 1)

    async def test_appends_and_a_deletion_at_once(self, log: Log) -> None:
        """Whatever comes first, what is there afterwards is whole."""
        for run in build_names(30):
            await log.append(run, build_opening(run), expected=0)

        async def write(run: str) -> None:
            for seq in range(3, 8):
                try:
                    await log.append(run, [build_step(run, seq)], expected=seq - 1)
                except Conflict:
                    return

        async with asyncio.TaskGroup() as group:
            for run in build_names(30):
                group.create_task(write(run))
                group.create_task(log.delete(run))
        for run in build_names(30):
            assert await log.read(run) == []
            await log.append(run, build_opening(run), expected=0)
            assert await log.read(run) == build_opening(run)


async def _append_at_once(log: Log, targets: Sequence[tuple[str, int]]) -> list[QuorateError | None]:
    async def write(run: str, expected: int) -> QuorateError | None:
        try:
            await log.append(run, [build_opening(run)[0], *build_steps(run, 2, 1)][expected:], expected=expected)
        except QuorateError as error:
            return error
        return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(write(run, expected)) for run, expected in targets]
    return [task.result() for task in tasks]
