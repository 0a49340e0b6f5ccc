"""A worker of the fleet: `python worker.py DATABASE BUS JOURNAL STEP_S LEASE_S CONCURRENCY`.

It does what `quorate worker` does, for an agent that is written in Python. It ends when its standard input does, so it
cannot outlive the demo.
"""

import asyncio
import signal
import sys
from pathlib import Path

from parcels import build_agent

from quorate import Settings, Worker, open_runtime
from quorate.settings.values import BusSettings, WorkerSettings


async def work(database: str, bus: str, journal: str, step_s: str, lease_s: str, concurrency: str) -> None:
    """Work until the standard input ends or somebody says so."""
    settings = Settings(
        database=database,
        bus=BusSettings(url=bus),
        worker=WorkerSettings(lease_s=float(lease_s), concurrency=int(concurrency), beat_s=1),
    )
    agent = build_agent(Path(journal), step_s=float(step_s))
    async with open_runtime(settings, agents=[agent]) as runtime:
        assert runtime.courier is not None
        worker = Worker(runtime, sleep=runtime.courier.wait, tell=runtime.courier.watching())
        loop = asyncio.get_running_loop()

        def end() -> None:
            loop.remove_reader(sys.stdin.fileno())
            worker.stop()

        loop.add_reader(sys.stdin.fileno(), end)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
