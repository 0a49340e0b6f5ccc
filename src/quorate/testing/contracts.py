"""What must every backend of a port do, whoever wrote it?

A contract is a class of test methods that take the backend as a fixture; a subclass in a test suite provides it:

```python
class TestMyLog(LogContract):
    @pytest.fixture
    async def log(self):
        async with open_my_log() as log:
            yield log
```

The methods are plain `async def` tests and need nothing but a runner that awaits them, such as pytest-asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from quorate.errors import Conflict, QuorateError
from quorate.events import (
    AnyEvent,
    RunCompleted,
    RunCreated,
    RunStarted,
    RunSummary,
    RunWaiting,
    ToolFinished,
)
from quorate.ids import new_id
from quorate.messages import ToolResult, Usage, build_user_message
from quorate.ports import Log
from quorate.testing.samples import build_every_event


def build_opening(run: str, *, agent: str = "net", task: str = "why?", attempt: str = "a1") -> list[AnyEvent]:
    """Build the first two events of a run: accepted and started."""
    return [
        RunCreated(run=run, seq=1, time=10.0, agent=agent, messages=(build_user_message(task),), session="s1"),
        RunStarted(run=run, seq=2, time=11.0, attempt=attempt),
    ]


def build_step(run: str, seq: int, *, content: str = "ok", attempt: str = "a1") -> AnyEvent:
    """Build the event of a tool call that gave `content`."""
    result = ToolResult(call_id=f"call-{seq}", name="ping", content=content)
    return ToolFinished(run=run, seq=seq, time=11.0 + seq, key=f"{seq}/tool/call-{seq}", attempt=attempt, result=result)


def build_steps(run: str, first: int, count: int) -> list[AnyEvent]:
    """Build `count` steps that follow each other, the first numbered `first`."""
    return [build_step(run, seq) for seq in range(first, first + count)]


@contextmanager
def expect(kind: type[QuorateError], *words: str) -> Generator[None]:
    """Expect an error of a kind whose message holds some words."""
    caught: QuorateError | None = None
    try:
        yield
    except kind as error:
        caught = error
    assert caught is not None, f"`{kind.__name__}` was not raised"
    missing = [word for word in words if word not in caught.message]
    assert not missing, f"{caught.message!r} does not say {missing}"


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
