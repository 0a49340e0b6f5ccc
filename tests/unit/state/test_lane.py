"""Does a lane batch, bound and answer, and does nobody hang when it breaks?"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import pytest

from quorate.errors import Conflict, InvalidInput, QuorateError, Unavailable
from quorate.state.backends._lane import Job, Lane, open_lane

Opened = Callable[[], AbstractContextManager[Callable[[Sequence[Job[int]]], None]]]


class Worker:
    """Answers each job with the number of its batch, once it is let go."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.closed_by: threading.Thread | None = None

    @contextmanager
    def open(self) -> Iterator[Callable[[Sequence[Job[int]]], None]]:
        try:
            yield self.work
        finally:
            self.closed_by = threading.current_thread()

    def work(self, jobs: Sequence[Job[int]]) -> None:
        assert self.go.wait(10)
        self.batches.append(len(jobs))
        for job in jobs:
            job.finish(len(self.batches))


def open_(
    opened: Opened, *, max_pending: int = 100, max_bytes: int = 1000, wait_s: float = 10.0
) -> AbstractContextManager[Lane[Job[int]]]:
    return open_lane(opened, name="lane", max_pending=max_pending, max_bytes=max_bytes, wait_s=wait_s)  # type: ignore[return-value]


async def ask(lane: Lane[Job[int]], size: int = 0) -> int:
    job: Job[int] = Job(size=size)
    await lane.put(job)
    return await job.future


async def test_what_is_queued_during_a_batch_is_the_next_batch() -> None:
    worker = Worker()
    async with open_(worker.open) as lane:
        worker.go.clear()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(lane)) for _ in range(50)]
            await asyncio.sleep(0)
            worker.go.set()
    assert sum(worker.batches) == 50
    assert len(worker.batches) <= 3
    assert sorted({task.result() for task in tasks}) == list(range(1, len(worker.batches) + 1))
    assert worker.closed_by is not threading.current_thread()


async def test_bytes_are_bounded_too_but_one_large_job_passes() -> None:
    """The bound never stops a job that is larger than all of it."""
    worker = Worker()
    async with open_(worker.open, max_bytes=10) as lane, asyncio.TaskGroup() as group:
        for size in (5, 5, 5, 500, 5, 5):
            group.create_task(ask(lane, size))
    assert sum(worker.batches) == 6


async def test_no_place_in_time_is_unavailable() -> None:
    worker = Worker()
    async with open_(worker.open, max_pending=1, wait_s=0.01) as lane:
        worker.go.clear()
        tasks = [asyncio.ensure_future(ask(lane)) for _ in range(4)]
        waiting = set(tasks)
        while len(waiting) > 2:  # one is under way, and one has the place
            done, waiting = await asyncio.wait(waiting, timeout=60, return_when="FIRST_COMPLETED")
            assert done
            assert all(isinstance(task.exception(), Unavailable) for task in done)
        worker.go.set()
        left = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(not isinstance(answer, Unavailable) for answer in left) >= 1


async def test_a_cancelled_waiter_leaves_no_trace() -> None:
    """Its place goes to others, and its answer to nobody."""
    worker = Worker()
    async with open_(worker.open, max_pending=1) as lane:
        worker.go.clear()
        tasks = [asyncio.ensure_future(ask(lane)) for _ in range(5)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        worker.go.set()
        assert await ask(lane) >= 1
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize("error", [InvalidInput("no such place"), Conflict("taken")])
async def test_what_opening_raises_is_raised_to_the_opener(error: QuorateError) -> None:
    @contextmanager
    def fail() -> Iterator[Callable[[Sequence[Job[int]]], None]]:
        raise error
        yield

    before = threading.active_count()
    with pytest.raises(type(error)) as caught:
        async with open_(fail):
            pass
    assert caught.value is error
    assert threading.active_count() == before


async def test_a_fault_of_ours_reaches_the_callers_and_closes_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the lane's work leaves nobody waiting, and is not hidden."""
    seen: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    go = threading.Event()

    def work(jobs: Sequence[Job[int]]) -> None:
        assert go.wait(10)
        raise RuntimeError("a bug")

    @contextmanager
    def open_broken() -> Iterator[Callable[[Sequence[Job[int]]], None]]:
        yield work

    async with open_(open_broken) as lane:
        tasks = [asyncio.ensure_future(ask(lane)) for _ in range(3)]
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait(tasks)
        for task in tasks:
            with pytest.raises(Unavailable, match="stopped before it answered"):
                await task
        with pytest.raises(Unavailable, match="lane is closed"):
            await ask(lane)
    assert [(type(args.exc_value), str(args.exc_value)) for args in seen] == [(RuntimeError, "a bug")]


async def test_an_answer_for_a_loop_that_is_gone_is_dropped() -> None:
    """A loop that closed while its job was under way harms nobody else."""
    worker = Worker()
    async with open_(worker.open) as lane:
        worker.go.clear()

        def leave() -> None:
            async def ask_and_leave() -> None:
                await lane.put(Job())

            asyncio.run(ask_and_leave())

        await asyncio.to_thread(leave)
        worker.go.set()
        assert await ask(lane) >= 1
