"""Is it invisible to whoever submits and follows runs that the workers are restarted, one after the other?"""

import asyncio
import signal
from pathlib import Path

from tests.chaos.fleets import open_fleet
from tests.chaos.worker import Journal, build_agents, choose
from tests.forks import Process

from quorate import Runtime, Settings
from quorate.assembly import open_runtime
from quorate.events import AnyEvent, RunCompleted, RunResumed, RunStarted, RunWaiting

LEASE_S = 600.0
"""Whoever waited for the end of a lease would not be done within the test."""
RUNS = 8
"""How many are submitted before each restart."""


async def follow(runtime: Runtime, run: str) -> list[AnyEvent]:
    return [event async for event in runtime.follow(run)]


async def wait_until_running(runtime: Runtime, count: int) -> None:
    async with asyncio.timeout(60):
        while len(await runtime.list_runs(status="running", limit=100)) < count:
            await asyncio.sleep(0.02)


def stop(worker: Process) -> int:
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    return worker.returncode


def check_story(events: list[AnyEvent]) -> int:
    """Nothing is missing, nothing failed, each attempt but the last was handed over; return how often."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], RunCompleted), events[-1]
    rests = [place for place, event in enumerate(events) if isinstance(event, RunWaiting)]
    for place in rests:
        rest, following = events[place], events[place + 1]
        assert isinstance(rest, RunWaiting)
        assert (rest.reason, rest.wakes is not None) == ("interrupted", True)
        assert isinstance(following, RunResumed)
    attempts = sum(isinstance(event, (RunStarted, RunResumed)) for event in events)
    assert attempts == len(rests) + 1, "somebody had to be declared dead"
    return len(rests)


async def test_a_rolling_restart_is_invisible(database: str, tmp_path: Path) -> None:
    """Two workers with their hands full are told to stop, one after the other, each once its successor is there.

    Runs are submitted all the while. Nobody who follows one sees a gap, a failure or an end too early, no recorded step
    is made again, and no run waits for a lease to run out.
    """
    gate = tmp_path / "gate"
    gate.touch()
    agents = build_agents(Journal("-", "-"))
    with open_fleet(tmp_path, database, seed=12, lease_s=LEASE_S) as fleet:
        async with open_runtime(Settings(database=database), agents=agents) as runtime, asyncio.TaskGroup() as group:
            old = [await asyncio.to_thread(fleet.start, gate=str(gate), heard=True) for _ in range(2)]
            followers: list[asyncio.Task[list[AnyEvent]]] = []
            for worker in old:
                for _ in range(RUNS):
                    name = f"run-{len(fleet.names)}"
                    agent = choose(agents, len(fleet.names)).name
                    handle = await runtime.submit(f"work for {name}", agent=agent, start=False)
                    fleet.names[handle.id] = name
                    followers.append(group.create_task(follow(runtime, handle.id)))
                await wait_until_running(runtime, len(followers))
                await asyncio.to_thread(fleet.start, gate=str(gate), heard=True)
                assert await asyncio.to_thread(stop, worker) == 0
                await wait_until_running(runtime, len(followers))
            gate.write_text("open")
            async with asyncio.timeout(60):
                stories = [await follower for follower in followers]
        handed_over = [check_story(story) for story in stories]
        assert sum(handed_over) >= RUNS, "nothing was under way when they were stopped"
        await asyncio.to_thread(fleet.check_ends)
