"""Does one timer hold all the deadlines of a call, and take nothing from whoever cancels it?"""

import asyncio
import time

import pytest

from quorate.models.deadlines import Watch


async def test_a_wait_that_ends_in_time_is_let_be() -> None:
    watch = Watch()
    assert await watch.wait(asyncio.sleep(0, "done"), time.monotonic() + 5) == "done"
    watch.close()


async def test_a_wait_that_does_not_end_is_ended() -> None:
    watch = Watch()
    with pytest.raises(TimeoutError):
        await watch.wait(asyncio.Event().wait(), time.monotonic() + 0.02)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    assert await watch.wait(asyncio.sleep(0, "after"), time.monotonic() + 5) == "after"
    watch.close()


async def test_a_deadline_in_the_past_ends_a_wait_at_once() -> None:
    watch = Watch()
    with pytest.raises(TimeoutError):
        await watch.wait(asyncio.Event().wait(), time.monotonic() - 1)


async def test_an_earlier_deadline_moves_the_timer_and_a_later_one_does_not_bring_it_forward() -> None:
    watch = Watch()
    await watch.wait(asyncio.sleep(0), time.monotonic() + 60)
    with pytest.raises(TimeoutError):
        await watch.wait(asyncio.Event().wait(), time.monotonic() + 0.02)
    await watch.wait(asyncio.sleep(0), time.monotonic() + 0.3)
    assert await watch.wait(asyncio.sleep(0.4, "late"), time.monotonic() + 60) == "late"
    watch.close()


async def test_time_between_two_waits_is_nobody_s() -> None:
    """Whoever reads a stream slowly is not cut."""
    watch = Watch()
    await watch.wait(asyncio.sleep(0), time.monotonic() + 0.2)
    await asyncio.sleep(0.3)
    assert await watch.wait(asyncio.sleep(0, "still"), time.monotonic() + 60) == "still"
    watch.close()


async def test_a_cancellation_from_outside_passes_through() -> None:
    watch = Watch()
    task = asyncio.ensure_future(watch.wait(asyncio.Event().wait(), time.monotonic() + 5))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_with_the_deadline_wins() -> None:
    watch = Watch()

    async def work() -> None:
        await watch.wait(asyncio.Event().wait(), time.monotonic() - 1)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_swallows_the_deadline_leaves_no_trace() -> None:
    watch = Watch()

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "anyway"
        return ""

    assert await watch.wait(stubborn(), time.monotonic() + 0.01) == "anyway"
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_it_may_be_used_by_one_task_after_the_other() -> None:
    """A stream may be read on by somebody else."""
    watch = Watch()
    await asyncio.ensure_future(watch.wait(asyncio.sleep(0), time.monotonic() + 5))
    with pytest.raises(TimeoutError):
        await asyncio.ensure_future(watch.wait(asyncio.Event().wait(), time.monotonic() + 0.01))
