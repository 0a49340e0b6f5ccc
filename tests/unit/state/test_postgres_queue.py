"""Does the queue batch, bound and settle, and does nobody hang when a commit breaks?"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from quorate.errors import QuorateError, Unavailable
from quorate.state.backends._postgres_commit import Append
from quorate.state.backends._postgres_queue import Queue, open_queue
from quorate.testing.contracts import build_opening


class Writer:
    """Settles each job once it is let go, and counts batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = asyncio.Event()
        self.go.set()
        self.fault: Exception | None = None

    async def commit(self, jobs: Sequence[Append]) -> None:
        await self.go.wait()
        self.batches.append(len(jobs))
        if self.fault is not None:
            raise self.fault
        for job in jobs:
            job.settle()


def open_(
    writer: Writer, *, max_pending: int = 100, max_bytes: int = 1 << 20, wait_s: float = 5.0
) -> AbstractAsyncContextManager[Queue]:
    return open_queue(writer.commit, name="db", max_pending=max_pending, max_bytes=max_bytes, wait_s=wait_s)


async def append(queue: Queue, run: str = "run-1") -> None:
    job = Append(run, build_opening(run), expected=0)
    await queue.put(job)
    await job.future


async def test_what_is_queued_during_a_batch_is_the_next_batch() -> None:
    writer = Writer()
    async with open_(writer) as queue, asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(append(queue))
    assert sum(writer.batches) == 50
    assert len(writer.batches) == 1


async def test_a_full_queue_makes_wait_and_loses_nobody() -> None:
    writer = Writer()
    writer.go.clear()
    async with open_(writer, max_pending=3) as queue, asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(append(queue))
        await asyncio.sleep(0)
        writer.go.set()
    assert sum(writer.batches) == 20
    assert max(writer.batches) <= 3


async def test_bytes_are_bounded_too_but_one_large_job_passes() -> None:
    writer = Writer()
    async with open_(writer, max_bytes=10) as queue, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(append(queue))
    assert writer.batches == [1] * 5


async def test_no_place_in_time_is_unavailable() -> None:
    """One is being written and one waits; for a third there is no place."""
    writer = Writer()
    writer.go.clear()
    async with open_(writer, max_pending=1, wait_s=0.01) as queue, asyncio.TaskGroup() as group:
        written = group.create_task(append(queue))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        group.create_task(append(queue))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match=r"1 appends waiting and took no more within 0\.01 s; nothing was done"):
            await append(queue)
        assert not written.done()
        writer.go.set()
    assert writer.batches == [1, 1]


async def test_what_is_queued_is_written_before_the_end() -> None:
    writer = Writer()
    writer.go.clear()
    async with asyncio.TaskGroup() as group, open_(writer) as queue:
        tasks = [group.create_task(append(queue)) for _ in range(5)]
        await asyncio.sleep(0)
        writer.go.set()
    assert all(task.exception() is None for task in tasks)
    with pytest.raises(Unavailable, match="is closed"):
        await append(queue)


async def test_a_fault_of_ours_tells_everybody() -> None:
    """Nobody waits for ever when the writer itself breaks, and the fault comes out at the end."""
    writer = Writer()
    writer.fault = ZeroDivisionError()
    outcomes: list[QuorateError] = []

    async def try_append(queue: Queue) -> None:
        try:
            await append(queue)
        except QuorateError as error:
            outcomes.append(error)

    async def run() -> None:
        async with open_(writer) as queue, asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(try_append(queue))

    with pytest.raises(ExceptionGroup):
        await run()
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3


async def test_an_error_in_the_block_comes_out_as_itself() -> None:
    with pytest.raises(KeyError):
        async with open_(Writer()):
            raise KeyError


async def test_a_caller_that_leaves_disturbs_nobody() -> None:
    writer = Writer()
    writer.go.clear()
    async with open_(writer) as queue, asyncio.TaskGroup() as group:
        left = group.create_task(append(queue))
        stayed = group.create_task(append(queue))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
        writer.go.set()
        await stayed
    assert left.cancelled()
