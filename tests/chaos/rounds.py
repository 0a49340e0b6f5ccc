"""How are workers killed, stopped and raced, and what must the log and the journal of effects say afterwards?"""

import asyncio
import random
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Collection, Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from tests.chaos.worker import Journal, build_agents, choose
from tests.forks import Process, fork, pause

from quorate import MemoryLog, RunOptions, open_sqlite_log
from quorate.events import ATTEMPTS, ENDINGS, AnyEvent, ModelReplied, RunCompleted, ToolFailed, ToolFinished

PROGRAM = Path(__file__).with_name("worker.py")
Step = tuple[str, str, str]
"""What was done (`begin` or `ask`), in which run, under which key."""


class Rounds:
    """One log, one journal of effects, and many processes that die over them."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.accepted = 0
        self.kills = 0
        self.recorded: dict[Step, int] = {}
        """How often each step had been made when it was first seen recorded."""
        self.fenced = 0
        self.ended: set[str] = set()
        """Runs whose end was seen; they are read again only at the very end."""

    @contextmanager
    def start(self, *, new: int = 0, gate: str = "-") -> Generator[Process]:
        """Run a worker that goes on with everything and accepts some new runs; it does not outlive the block."""
        first, self.accepted = self.accepted, self.accepted + new
        command = [PROGRAM, self.folder / "log.db", self.folder / "journal", gate, first, new]
        with fork(command, stdout=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.kill()

    def kill(self, *, new: int, within_s: float) -> None:
        """Let a worker begin, and kill it some time later."""
        with self.start(new=new) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("open")
            try:
                process.wait(self.random.uniform(0.0, within_s))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                self.kills += 1
        self.check_steps()

    def finish(self) -> tuple[int, int]:
        """Let a worker come to its end; return how many runs it completed and lost to others."""
        with self.start() as process:
            return read_end(process)

    def read(self, *, without: Collection[str] = ()) -> dict[str, list[AnyEvent]]:
        """Read the runs of the log."""
        wanted = [run for run in (f"run-{number}" for number in range(self.accepted)) if run not in without]

        async def read() -> dict[str, list[AnyEvent]]:
            async with open_sqlite_log(self.folder / "log.db") as log:
                return {run: await log.read(run) for run in wanted}

        return {run: events for run, events in asyncio.run(read()).items() if events}

    def count_steps(self) -> Counter[Step]:
        """Count what the journal says was done."""
        path = self.folder / "journal"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter((what, run, key) for what, run, key in (line.split(" ", 2) for line in lines))

    def check_steps(self) -> None:
        """What was recorded when a worker died has not been done again since."""
        logs, done = self.read(without=self.ended), self.count_steps()
        again = {step: (times, done[step]) for step, times in self.recorded.items() if done[step] != times}
        assert not again, f"recorded steps were made again: {again}"
        for run, events in logs.items():
            assert [event.seq for event in events] == list(range(1, len(events) + 1)), f"{run} has a gap"
            attempts = sum(isinstance(event, ATTEMPTS) for event in events)
            for step in find_recorded(run, events):
                self.recorded.setdefault(step, done[step])
                assert done[step] <= attempts, f"{step} was made {done[step]} times in {attempts} attempts"
            if events and isinstance(events[-1], ENDINGS):
                self.ended.add(run)

    def check_ends(self) -> None:
        """Every accepted run came to one end, the one it comes to when nobody is killed."""
        self.check_steps()
        logs, expected = self.read(), asyncio.run(run_faultless(self.accepted))
        for run, events in logs.items():
            assert [event.seq for event in events] == list(range(1, len(events) + 1)), f"{run} has a gap"
            ends = [event for event in events if isinstance(event, ENDINGS)]
            assert len(ends) == 1, f"{run} has {len(ends)} ends"
            last = events[-1]
            assert isinstance(last, RunCompleted), f"{run} ended as {last}"
            assert last.output == expected[run], f"{run} has another result"
            results = Counter(event.key for event in events if isinstance(event, (ToolFinished, ToolFailed)))
            assert set(results.values()) <= {1}, f"{run} has a result twice"


def read_end(process: Process) -> tuple[int, int]:
    """Wait until a worker has said how it ended."""
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, f"the worker failed with {process.returncode}"
    words = said.splitlines()[-1].split()
    assert (words[0], words[2]) == ("ended", "fenced")
    return int(words[1]), int(words[3])


def find_recorded(run: str, events: list[AnyEvent]) -> set[Step]:
    """Find the steps that must never be made again; a delegate leaves no line of its own."""
    tools = {("begin", run, e.key) for e in events if isinstance(e, ToolFinished) and e.result.name != "clerk"}
    return tools | {("ask", run, e.key) for e in events if isinstance(e, ModelReplied)}


async def run_faultless(count: int) -> dict[str, str]:
    """What every run gives when nothing happens to it."""
    agents = build_agents(Journal("-", "-"))

    async def run_one(number: int) -> tuple[str, str]:
        run = f"run-{number}"
        options = RunOptions(log=MemoryLog(), run_id=run)
        return run, (await choose(agents, number).run(f"work for {run}", options=options)).output

    return dict(await asyncio.gather(*(run_one(number) for number in range(count))))


def kill_again_and_again(folder: Path, *, rounds: int, new: int, within_s: float, seed: int) -> Rounds:
    """Kill one worker after the other over one log, then let the last one finish."""
    chaos = Rounds(folder, seed=seed)
    for _ in range(3 * rounds):  # some workers are done before their time has come
        chaos.kill(new=new, within_s=within_s)
        if chaos.kills == rounds:
            break
    assert chaos.kills == rounds
    accepted = set(chaos.read())
    chaos.finish()
    assert set(chaos.read()) == accepted, "an accepted run was lost"
    chaos.check_ends()
    return chaos


def race_to_resume(folder: Path, *, new: int, racers: int, seed: int) -> Rounds:
    """Kill a worker, then let several go on with the same runs at once."""
    chaos = Rounds(folder, seed=seed)
    chaos.kill(new=new, within_s=0.15)
    with ExitStack() as stack:
        for process in [stack.enter_context(chaos.start()) for _ in range(racers)]:
            chaos.fenced += read_end(process)[1]
    chaos.check_ends()
    return chaos


def stop_between_transactions(process: Process, database: Path) -> None:
    """Stop a process where it does not hold the file's lock, which a stopped process keeps and nobody can take."""
    for _ in range(100):
        pause(process)
        try:
            with closing(sqlite3.connect(database, timeout=0.05, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
                return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
    raise AssertionError("the process was never seen outside a transaction")


def stop_and_take_over(folder: Path, *, new: int, seed: int) -> Rounds:
    """Stop the owner in the middle of its calls, let another take over and finish, then wake the old owner."""
    chaos = Rounds(folder, seed=seed)
    gate = folder / "gate"
    gate.touch()
    with chaos.start(new=new, gate=str(gate)) as owner:
        assert owner.stdout is not None
        held = chaos.random.randint(1, new)
        for line in owner.stdout:
            if line.split() == ["held", str(held)]:
                break
        stop_between_transactions(owner, folder / "log.db")
        try:
            chaos.finish()
            ended = {run: len(events) for run, events in chaos.read().items()}
        finally:
            gate.write_text("open")
            owner.send_signal(signal.SIGCONT)
        _, chaos.fenced = read_end(owner)
    for run, length in ended.items():
        assert len(chaos.read()[run]) == length, f"the old owner wrote to {run} after it was taken over"
    assert chaos.fenced >= held, "the old owner did not notice"
    chaos.check_ends()
    return chaos
