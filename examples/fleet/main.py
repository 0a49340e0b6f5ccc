"""Does a fleet lose anything when one of its workers is killed in the middle of its work?

`make demo-fleet` runs this: a broker of its own, three workers, some tens of runs of five steps each, and a table of
who does what while they are done. In the middle one worker is killed with -9. What is said at the end is counted from
the record, and it ends with 0 only if every run was completed, none was lost and no recorded step was made again.
"""

import argparse
import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from board import Board
from parcels import AGENT, STEPS, build_agent, read_effects
from watch import Fleet, Member

from quorate import QuorateError, Runtime, Settings, open_runtime
from quorate.bus.embedded import open_embedded_nats
from quorate.events import RunCompleted, ToolFinished
from quorate.settings.values import BusSettings

WORKERS = 3
CONCURRENCY = 4
LEASE_S = 3.0
LOOK_S = 0.1
LONGEST_S = 120.0
STOP_S = 5.0
INTERRUPTED = 130


@dataclass(frozen=True)
class Count:
    """What the record says in the end."""

    runs: int
    completed: int
    lost: int
    repeated: int
    """How many recorded steps were made again."""
    under_way: int
    """How many steps were under way when the worker died, and were made again."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing and nothing was done again that need not be."""
        return self.completed == self.runs and not self.lost and not self.repeated


@contextlib.asynccontextmanager
async def open_worker(settings: Settings, journal: Path, step_s: float) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Start a worker in a process of its own, and end it on every way out."""
    words = (settings.database, settings.bus.url, journal, step_s, LEASE_S, CONCURRENCY)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, Path(__file__).with_name("worker.py"), *map(str, words)),
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in a terminal is for us; we end it
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def demonstrate(board: Board, options: argparse.Namespace) -> int:
    """Start everything, watch the fleet lose a worker, and count; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="quorate-fleet-"))
    options.database.parent.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = stack.enter_context(open_embedded_nats(folder / "nats"))
        settings = Settings(database=str(options.database.absolute()), bus=BusSettings(url=server.url))
        journal, agent = folder / "journal", build_agent(folder / "journal", step_s=options.step_s)
        # First of all: the database is made by one process, and who is here is asked of it.
        runtime = await stack.enter_async_context(open_runtime(settings, agents=[agent]))
        processes = await asyncio.gather(
            *(stack.enter_async_context(open_worker(settings, journal, options.step_s)) for _ in range(WORKERS))
        )
        fleet = Fleet(runtime.store, [process.pid for process in processes], tell=board.tell)
        board.say(f"A broker at {server.url} (process {server.pid}), with its streams on disk.")
        board.say(f"{WORKERS} workers: {', '.join(f'{m.name} (process {m.pid})' for m in fleet.members)}.")
        await wait_present(fleet)
        board.say(f"{options.runs} parcels to be packed, in {len(STEPS)} steps each.\n")
        await submit(runtime, fleet, options.runs)
        began_s = time.monotonic()
        with board.showing(fleet):
            victim = await watch(board, fleet)
        seconds = time.monotonic() - began_s
        count = await count_record(runtime, fleet, journal)
    return show_end(board, fleet, victim, count, seconds=seconds, database=options.database)


async def wait_present(fleet: Fleet) -> None:
    """Wait until every worker has said who it is."""
    async with asyncio.timeout(LONGEST_S):
        while not all(member.owners for member in fleet.members):
            await asyncio.sleep(LOOK_S)
            await fleet.look()


async def submit(runtime: Runtime, fleet: Fleet, runs: int) -> None:
    """Queue the runs; the workers are told over the bus that they are there."""
    for number in range(1, runs + 1):
        handle = await runtime.submit(f"parcel {number}", agent=AGENT, start=False)
        fleet.add(f"parcel {number}", handle.id)


async def watch(board: Board, fleet: Fleet) -> Member:
    """Look until every run has ended; kill the busiest worker when a third of the steps is done. Return which one.

    Raises:
        RuntimeError: Everything was done before anybody could be killed.
    """
    victim: Member | None = None
    async with asyncio.timeout(LONGEST_S):
        while fleet.count_left():
            await asyncio.sleep(LOOK_S)
            await fleet.look()
            busiest = max(fleet.members, key=lambda member: len(fleet.list_open(member)))
            if victim is None and fleet.is_in_the_middle() and len(fleet.list_open(busiest)) > 1:
                victim = busiest
                kill(board, fleet, victim)
    if victim is None:
        raise RuntimeError("every parcel was packed before a worker could be killed: try a longer `--step-s`.")
    return victim


def kill(board: Board, fleet: Fleet, victim: Member) -> None:
    """Kill a worker in the middle of what it does."""
    os.kill(victim.pid, signal.SIGKILL)
    victim.state = "killed"
    held = ", ".join(parcel.name for parcel in fleet.list_held(victim))
    board.tell(f"{victim.name}  is killed (-9) while it packs {held}", always=True)


async def count_record(runtime: Runtime, fleet: Fleet, journal: Path) -> Count:
    """Count from the record what became of the runs, and from what was done outside what was done again."""
    logs = await runtime.store.log.read_many(list(fleet.parcels))
    recorded: dict[tuple[str, str], list[float]] = {}
    for run, events in logs.items():
        for event in events:
            if isinstance(event, ToolFinished):
                recorded.setdefault((run, event.key), []).append(event.time)
    done: dict[tuple[str, str], list[float]] = {}
    for effect in read_effects(journal):
        done.setdefault((effect.run, effect.key), []).append(effect.time)
    twice = sum(len(times) - 1 for times in recorded.values())
    after = sum(effect > recorded[step][0] for step, effects in done.items() for effect in effects if step in recorded)
    return Count(
        runs=len(fleet.parcels),
        completed=sum(bool(events) and isinstance(events[-1], RunCompleted) for events in logs.values()),
        lost=len(fleet.parcels) - sum(bool(events) for events in logs.values()),
        repeated=twice + after,
        under_way=sum(len(effects) - 1 for effects in done.values()) - after,
    )


def show_end(board: Board, fleet: Fleet, victim: Member, count: Count, *, seconds: float, database: Path) -> int:
    """Say what the record says, and what to type next; return the exit code."""
    moved = [parcel for parcel in fleet.parcels.values() if parcel.taken_over]
    board.say(f"\n{victim.name} was killed; the others took over {len(moved)} of its parcels:", "bold")
    for parcel in moved:
        names = " → ".join(fleet.name(owner) for owner in parcel.owners)
        board.say(f"  {parcel.name}: {names}")
    for member in fleet.members:
        board.say(f"{member.name} packed {fleet.count_packed(member)}.")
    is_good = count.is_whole and bool(moved)
    board.say(
        f"\nThe record: {count.runs} runs, {count.completed} completed, {count.lost} lost, "
        f"{count.repeated} recorded steps repeated, in {seconds:.1f} s.",
        "bold green" if is_good else "bold red",
    )
    board.say(f"{count.under_way} steps were under way when the worker died, and were made again.")
    quorate = f"QUORATE_DATABASE={shlex.quote(str(database))} {shlex.quote(find_command())}"
    board.say("\nNext, type:")
    shown = next(iter(moved or fleet.parcels.values())).run
    for words in (f"runs show {shown} --events", "runs list --limit 10"):
        board.say(f"  {quorate} {words}")
    return 0 if is_good else 1


def find_command() -> str:
    """The installed command, as one would type it from here."""
    command = Path(sys.executable).with_name("quorate")
    return os.path.relpath(command) if command.is_relative_to(Path.cwd()) else str(command)


@contextlib.asynccontextmanager
async def stopped_by(*signals: signal.Signals) -> AsyncGenerator[None]:
    """Make signals cancel what is under way, so that everything is cleaned up before the end."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for each in signals:
        loop.add_signal_handler(each, task.cancel)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


async def run(options: argparse.Namespace) -> int:
    """Run the demo, and say in one line what went wrong where something did."""
    board = Board(sys.stdout, plain=options.plain)
    try:
        async with stopped_by(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            return await demonstrate(board, options)
    except asyncio.CancelledError:
        print("\nThe demo was stopped; everything it started is stopped too.", file=sys.stderr)
        return INTERRUPTED
    except (QuorateError, OSError, RuntimeError, TimeoutError) as error:
        print(f"demo-fleet: {error or 'it took too long'}", file=sys.stderr)
        return 1


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description="A fleet of workers does its work while one of them is killed.")
    parser.add_argument("--runs", type=int, default=40, help="how many runs (%(default)s)")
    parser.add_argument("--step-s", type=float, default=0.4, help="how long a step takes, in seconds (%(default)s)")
    parser.add_argument("--plain", action="store_true", help="print lines instead of a table")
    database = Path(".quorate", "demo-fleet.db")
    parser.add_argument("--database", type=Path, default=database, help="where runs are recorded (%(default)s)")
    options = parser.parse_args()
    if options.runs < WORKERS * CONCURRENCY:
        parser.error(f"--runs must be {WORKERS * CONCURRENCY} at least, so that every worker has something to do")
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
