"""Do waiting appends share commits, stay bounded, and survive those who asked for them?"""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from quorate.errors import Conflict, InvalidInput, TooLarge, Unavailable
from quorate.events import BudgetReserved, RunCompleted, RunCreated
from quorate.state.backends._rows import MAX_BODY_BYTES
from quorate.state.backends.sqlite import SqliteLog, open_sqlite_log
from quorate.testing.contracts import build_opening, build_step


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quorate.db"


@pytest.fixture
async def log(path: Path) -> AsyncGenerator[SqliteLog]:
    async with open_sqlite_log(path, max_pending=4, queue_timeout_s=0.1) as log:
        yield log


@contextmanager
def held(path: Path) -> Iterator[sqlite3.Connection]:
    """A stranger holds the database, so that nothing can be committed until it lets go."""
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        yield stranger


def open_run(log: SqliteLog, number: int) -> asyncio.Task[None]:
    return asyncio.ensure_future(log.append(f"run-{number}", build_opening(f"run-{number}"), expected=0))


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_waits_together_is_committed_together(path: Path) -> None:
    """A thousand appends made at once take a handful of transactions, not a thousand."""
    async with open_sqlite_log(path) as log:
        await log.append("run-x", build_opening("run-x"), expected=0)
        before = Path(f"{path}-wal").stat().st_size
        async with asyncio.TaskGroup() as group:
            for number in range(1000):
                run = f"run-{number}"
                group.create_task(log.append(run, build_opening(run), expected=0))
        assert Path(f"{path}-wal").stat().st_size - before < 1000 * 4096
        assert len(await log.list_runs(limit=2000)) == 1001


async def test_more_runs_than_are_remembered_keep_their_positions(path: Path) -> None:
    """What the writer remembers of runs is bounded; what it forgot, it looks up."""
    async with open_sqlite_log(path) as log:
        runs = [f"run-{number:05}" for number in range(9000)]
        for first in range(0, len(runs), 3000):
            async with asyncio.TaskGroup() as group:
                for run in runs[first : first + 3000]:
                    group.create_task(log.append(run, [build_step(run, 1)], expected=0))
        await log.append(runs[0], [build_step(runs[0], 2)], expected=1)
        with pytest.raises(Conflict):
            await log.append(runs[0], [build_step(runs[0], 2)], expected=1)


async def test_a_full_queue_waits_and_then_is_unavailable(path: Path, log: SqliteLog) -> None:
    """Beyond the bound an append waits for a place; in vain, it says so and did nothing."""
    with held(path) as stranger:
        # Four may be under way and four may wait: at least one of nine finds no place.
        tasks = {f"run-{number}": open_run(log, number) for number in range(9)}
        await asyncio.wait(tasks.values(), timeout=60, return_when="FIRST_COMPLETED")
        stranger.execute("ROLLBACK")
    await asyncio.wait(tasks.values())
    refused = {run: task for run, task in tasks.items() if task.exception() is not None}
    assert 1 <= len(refused) <= 5
    for task in refused.values():
        with pytest.raises(Unavailable, match=r"took no more within 0\.1 s; nothing was done"):
            await task
    kept = {summary.run for summary in await log.list_runs()}
    assert kept == tasks.keys() - refused.keys()


async def test_a_place_that_becomes_free_is_taken(path: Path) -> None:
    """An append that waits for a place goes on as soon as there is one."""
    async with open_sqlite_log(path, max_pending=2) as log:
        tasks = [open_run(log, number) for number in range(100)]
        await asyncio.gather(*tasks)
        assert len(await log.list_runs(limit=200)) == 100


async def test_a_cancelled_append_is_whole_or_absent(path: Path, log: SqliteLog) -> None:
    """It may still be committed; whoever asked looks, and goes on from there."""
    with held(path) as stranger:
        task = open_run(log, 1)
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stranger.execute("ROLLBACK")
    await log.append("run-2", build_opening("run-2"), expected=0)
    last = await log.last("run-1")
    assert last in (0, 2)
    await log.append("run-1", [*build_opening("run-1"), build_step("run-1", 3)][last:], expected=last)
    assert [event.seq for event in await log.read("run-1")] == [1, 2, 3]


async def test_what_is_queued_at_closing_is_committed(path: Path) -> None:
    """Leaving the context loses nothing that was queued before."""
    async with open_sqlite_log(path) as log:
        tasks = [open_run(log, number) for number in range(50)]
        await settle()
    await asyncio.gather(*tasks)
    async with open_sqlite_log(path) as log:
        assert len(await log.list_runs(limit=100)) == 50


async def test_a_closed_log_says_so(path: Path) -> None:
    async with open_sqlite_log(path) as log:
        pass
    with pytest.raises(Unavailable, match="is closed; open it again"):
        await log.append("run-1", build_opening("run-1"), expected=0)
    with pytest.raises(Unavailable, match="is closed; open it again"):
        await log.read("run-1")


async def test_no_thread_outlives_the_log(path: Path) -> None:
    """Opening and closing, also in vain, leaves nothing behind."""
    before = threading.active_count()
    for _ in range(5):
        async with open_sqlite_log(path) as log:
            await log.append("run-1", [], expected=0)
        with pytest.raises(InvalidInput):
            async with open_sqlite_log(path.parent):
                pass
    assert threading.active_count() == before


async def test_a_log_serves_several_loops(path: Path) -> None:
    """Threads with event loops of their own may share one log."""
    async with open_sqlite_log(path) as log:

        def write(name: str) -> None:
            async def work() -> None:
                for number in range(20):
                    run = f"run-{name}-{number:02}"
                    await log.append(run, build_opening(run), expected=0)

            asyncio.run(work())

        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(asyncio.to_thread(write, name))
        assert len(await log.list_runs(limit=100)) == 60


async def test_a_file_deleted_underneath_is_not_written_to(path: Path, log: SqliteLog) -> None:
    """What goes into a file without a name would be acknowledged and then be gone."""
    await log.append("run-1", build_opening("run-1"), expected=0)
    path.rename(path.with_suffix(".moved"))
    with pytest.raises(Unavailable, match="was moved, replaced or deleted while it was open"):
        await log.append("run-1", [build_step("run-1", 3)], expected=2)
    path.with_suffix(".moved").rename(path)
    await log.append("run-1", [build_step("run-1", 3)], expected=2)


async def test_misnumbered_events_are_refused(log: SqliteLog) -> None:
    """A gap cannot get into the log."""
    with pytest.raises(InvalidInput, match="bears run 'run-1' seq 3, but is appended as run 'run-1' seq 1"):
        await log.append("run-1", [build_step("run-1", 3)], expected=0)
    with pytest.raises(InvalidInput, match="bears run 'run-2' seq 1"):
        await log.append("run-1", build_opening("run-2"), expected=0)
    assert await log.last("run-1") == 0


async def test_what_json_cannot_say_is_refused_before_it_is_written(log: SqliteLog) -> None:
    """An event that could not be read back does not become part of the record."""
    nan = BudgetReserved(run="run-1", seq=1, time=1.0, amount=float("nan"))
    half = RunCompleted(run="run-1", seq=1, time=1.0, output="\ud800")
    wrong = RunCreated(run="run-1", seq=1, time=1.0, agent="net", messages=("why?",))  # type: ignore[arg-type]
    strange = RunCompleted(run="run-1", seq=1, time=1.0, output=object())  # type: ignore[arg-type]
    for event in (nan, half, wrong, strange):
        with pytest.raises(InvalidInput, match="cannot be written as JSON"):
            await log.append("run-1", [event], expected=0)
    await log.append("run-1", build_opening("run-1"), expected=0)


async def test_an_event_beyond_the_bound_is_too_large(log: SqliteLog) -> None:
    """The message says how much is kept, and where larger things go."""
    event = RunCompleted(run="run-1", seq=1, time=1.0, output="x" * MAX_BODY_BYTES)
    with pytest.raises(TooLarge, match="Save it as an artifact"):
        await log.append("run-1", [event], expected=0)


async def test_questions_that_cannot_be_asked_are_refused(log: SqliteLog) -> None:
    with pytest.raises(InvalidInput, match="`limit` is -1"):
        await log.read("run-1", limit=-1)
    with pytest.raises(InvalidInput, match="`after` is -2"):
        await log.read("run-1", after=-2)
    with pytest.raises(InvalidInput, match="cannot be looked up"):
        await log.last("\ud800")
    with pytest.raises(InvalidInput, match="cannot be looked up"):
        await log.list_runs(limit=1 << 70)
    assert await log.last("run-1") == 0


async def test_a_conflict_says_where_the_run_is(log: SqliteLog) -> None:
    await log.append("run-1", build_opening("run-1"), expected=0)
    with pytest.raises(Conflict) as caught:
        await log.append("run-1", build_opening("run-1"), expected=0)
    assert caught.value.context == {"run": "run-1", "last": 2}
