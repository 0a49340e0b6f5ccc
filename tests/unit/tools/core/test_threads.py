"""Is blocking code run beside the loop, in bounded numbers?"""

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from quorate.tools.threads import ThreadPool


async def test_threads_are_bounded_and_reused() -> None:
    """Nine calls on two threads never run three at once, and all end."""
    pool, lock, now, most = ThreadPool(2), threading.Lock(), 0, 0
    gate = threading.Barrier(2)

    def work() -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        try:
            gate.wait(0.05)
        except threading.BrokenBarrierError:
            gate.reset()
        with lock:
            now -= 1
        return 1

    assert sum(await asyncio.gather(*(pool.run(work) for _ in range(9)))) == 9
    assert most == 2


async def test_errors_and_context_cross_over() -> None:
    """What the function raises is raised to the waiter, and it sees the waiter's context variables."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set here")
    pool = ThreadPool(1)
    assert await pool.run(variable.get) == "set here"
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 // 0)


async def test_an_abandoned_call_keeps_its_thread_until_it_ends() -> None:
    """A cancelled wait returns at once; the slot is free again only when the work has really ended."""
    pool, release = ThreadPool(1), threading.Event()
    stuck = asyncio.ensure_future(pool.run(lambda: release.wait(20)))
    for _ in range(3):
        await asyncio.sleep(0)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    waiting = asyncio.ensure_future(pool.run(lambda: "next"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    release.set()
    assert await waiting == "next"


def test_a_stuck_thread_does_not_hold_the_exit_up() -> None:
    """A program ends though a tool is still blocked in its thread. row: C3"""
    code = (
        "import asyncio, time\n"
        "from quorate.tools.threads import run_in_thread\n"
        "async def main():\n"
        "    try:\n"
        "        await asyncio.wait_for(run_in_thread(lambda: time.sleep(600)), 0.1)\n"
        "    except TimeoutError:\n"
        "        print('left')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "left\n")
