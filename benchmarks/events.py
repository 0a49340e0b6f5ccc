"""How many events a second are heard, with default settings: in one process, over NATS, and out of an outbox?

    python benchmarks/events.py [--rounds 5] [--scale 1.0]

One event loop publishes and hears. An event bears id, kind, tenant, key, time and two facts; each is written once and
read by every subscriber. Shown is the median (lowest–highest) by the wall clock, and by what the processor was busy.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.run import describe, log  # noqa: E402
from quorate.bus.backends.local import open_local_bus  # noqa: E402
from quorate.bus.backends.nats import open_nats_bus  # noqa: E402
from quorate.bus.events import Events, EventSubscription  # noqa: E402
from quorate.events import RunCreated  # noqa: E402
from quorate.messages import build_user_message  # noqa: E402
from quorate.ports import Store  # noqa: E402
from quorate.ports.bus import Bus  # noqa: E402
from quorate.runtime.relay import Relay  # noqa: E402
from quorate.runtime.relay.bus_sink import BusSink, build_relay_rules  # noqa: E402
from quorate.state.backends.sqlite import open_sqlite_store  # noqa: E402
from quorate.testing.nats_server import open_nats_server  # noqa: E402

FACTS = {"status": "completed", "agent": "net"}
RULES = build_relay_rules("acme")
AT_ONCE = 64


class Watch:
    """Counts what was done in how much time."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.busy: dict[str, list[float]] = {}

    async def time(self, name: str, count: int, work: Awaitable[None]) -> None:
        """Do something so many times."""
        wall, busy = time.perf_counter(), time.process_time()
        await work
        self.wall.setdefault(name, []).append(count / (time.perf_counter() - wall))
        self.busy.setdefault(name, []).append(count / (time.process_time() - busy))

    def render(self) -> list[str]:
        """Write a line for each thing that was done."""
        return [f"{name:<46} {show(figures)}   busy: {show(self.busy[name])}" for name, figures in self.wall.items()]


def show(figures: list[float]) -> str:
    return f"{statistics.median(figures):>9,.0f} ({min(figures):,.0f}–{max(figures):,.0f})"


async def tell(bus: Bus, count: int, *, patterns: tuple[str, ...]) -> None:
    """Publish events for several subscribers who hear all of them."""
    events = Events(bus, tenant="acme")

    async def hear(subscription: EventSubscription) -> None:
        left = count
        async for _ in subscription:
            left -= 1
            if not left:
                return

    async with AsyncExitStack() as stack:
        heard = [await stack.enter_async_context(events.subscribe(pattern)) for pattern in patterns]
        async with asyncio.TaskGroup() as group:
            for subscription in heard:
                group.create_task(hear(subscription))
            for number in range(count):
                await events.publish("run.completed", FACTS, key="run-7" if number % 2 else "run-8")
        assert not events.dropped, events.dropped


async def keep(bus: Bus, count: int) -> None:
    """Publish events that a stream keeps, many at a time, and read all of them again."""
    events, turn = Events(bus, tenant="acme"), asyncio.Semaphore(AT_ONCE)

    async def publish(number: int) -> None:
        async with turn:
            await events.publish("run.completed", FACTS, key=f"run-{number % 100}", kept=True)

    await asyncio.gather(*[publish(number) for number in range(count)])


async def read(bus: Bus, count: int) -> None:
    """Read so many events that are kept."""
    async with Events(bus, tenant="acme").subscribe("**.completed", after=0) as kept:
        async for _ in kept:
            count -= 1
            if not count:
                return


@asynccontextmanager
async def open_filled(folder: str, count: int) -> AsyncGenerator[Store]:
    """Open a database whose outbox has so many notices."""
    async with open_sqlite_store(Path(folder) / f"{time.monotonic_ns()}.db", outbox=True) as store:

        async def create(number: int) -> None:
            run = f"run-{number:06}"
            task = (build_user_message("why?"),)
            await store.log.append(
                run, [RunCreated(run=run, seq=1, time=1.0, agent="net", messages=task, tenant="acme")], expected=0
            )

        await asyncio.gather(*[create(number) for number in range(count)])
        yield store


async def relay(store: Store, bus: Bus) -> None:
    """Tell everything that an outbox notes."""
    teller = Relay(store, [BusSink(bus, store.log, tenant="acme")])
    while await teller.look():
        pass


async def measure(watch: Watch, *, rounds: int, scale: float) -> None:
    """Do everything so many times, in turns."""
    many, some = int(200_000 * scale), int(5_000 * scale)
    four: tuple[str, ...] = ("run.**", "*.completed", "run.*", "**")
    for number in range(rounds):
        log(f"round {number + 1} of {rounds}")
        async with open_local_bus("acme") as bus:
            await watch.time("local, one subscriber to `run.**`", many, tell(bus, many, patterns=("run.**",)))
            await watch.time("local, one to `**.completed`", many, tell(bus, many, patterns=("**.completed",)))
            await watch.time("local, four subscribers, heard in all", 4 * many, tell(bus, many, patterns=four))
        with open_nats_server() as server, tempfile.TemporaryDirectory() as folder:
            async with open_nats_bus(server.url, tenant="acme", streams=RULES) as bus:
                most = many // 4
                await watch.time("NATS, one subscriber to `run.**`", most, tell(bus, most, patterns=("run.**",)))
                await watch.time(f"NATS, kept, {AT_ONCE} at a time", some, keep(bus, some))
                await watch.time("NATS, read again", some, read(bus, some))
                async with open_filled(folder, some) as store:
                    await watch.time("outbox in SQLite to NATS, notices", some, relay(store, bus))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1 measures less: for trying it out")
    given = parser.parse_args()
    watch = Watch()
    asyncio.run(measure(watch, rounds=given.rounds, scale=given.scale))
    for name, fact in (
        describe() | {"command": f"python benchmarks/events.py {' '.join(sys.argv[1:])}".strip()}
    ).items():
        print(f"{name}: {fact}")
    print("events a second:")
    for line in watch.render():
        print(f"  {line}")


if __name__ == "__main__":
    main()
