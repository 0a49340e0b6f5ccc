"""A wide workflow that is killed again and again, and what its log must say in the end."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from quorate import tool
from quorate.agent.agent import AnyAgent
from quorate.agent.run import RunOptions
from quorate.errors import NotFound
from quorate.events import ENDINGS, AnyEvent, RunCompleted, ToolFinished
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.spec import Step, Workflow
from quorate.specs import Limits
from quorate.state.backends.sqlite import open_sqlite_store

RUN = "run-killed"
PATIENCE_S = 120


def build(effects: Path, *, width: int, depth: int) -> AnyAgent:
    """`width` chains of `depth` steps, with one step before and one behind all of them."""

    @tool(effect="idempotent")
    async def mark(name: str) -> str:
        """Write down that a step was made."""
        with effects.open("a") as file:  # one short write, whole or not at all
            file.write(f"{name}\n")
        return name

    steps = [Step(id="begin", tool="mark", arguments={"name": "begin"})]
    for chain in range(width):
        for place in range(depth):
            name, before = f"s{chain}_{place}", f"s{chain}_{place - 1}" if place else "begin"
            steps.append(Step(id=name, tool="mark", arguments={"name": name}, after=(before,)))
    last = tuple(f"s{chain}_{depth - 1}" for chain in range(width))
    steps.append(Step(id="end", tool="mark", arguments={"name": "end"}, after=last))
    workflow = Workflow(name="wide", steps=tuple(steps), at_once=width, output="done")
    return build_workflow(workflow, tools={"mark": mark})


async def go_on(database: Path, effects: Path, *, width: int, depth: int) -> None:
    """Begin the run, or go on with what is recorded of it."""
    flow = build(effects, width=width, depth=depth)
    async with open_sqlite_store(str(database)) as store:
        try:
            await flow.resume(RUN, log=store.log)
        except NotFound:
            limits = Limits(seconds=600, tool_calls=100_000)
            await flow.run("", log=store.log, options=RunOptions(run_id=RUN, limits=limits))


def kill_and_resume(tmp_path: Path, *, width: int, depth: int, kills: int, seed: int) -> list[AnyEvent]:
    """Kill the process at random moments of its work, let a last one finish, and return the log."""
    database, effects, dice = tmp_path / "wide.db", tmp_path / "effects.txt", random.Random(seed)
    effects.touch()
    total = width * depth + 2
    command = [sys.executable, "-m", "tests.chaos.workflows", str(database), str(effects), str(width), str(depth)]
    for number in range(kills):
        goal = count_made(effects) + dice.randint(1, max(1, (total - count_made(effects)) // (kills - number + 1)))
        process = subprocess.Popen(command)
        until = time.monotonic() + PATIENCE_S
        while process.poll() is None and count_made(effects) < goal and time.monotonic() < until:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE_S)
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    return asyncio.run(read(database))


def check(events: list[AnyEvent], effects: Path, *, steps: int, kills: int) -> None:
    """Each step is recorded once, ends the run once, and was made again only where it was under way at a kill."""
    settled = Counter(event.key for event in events if isinstance(event, ToolFinished))
    assert set(settled.values()) == {1}
    assert len(settled) == steps + 1  # and the procedure itself
    assert [type(event) for event in events if isinstance(event, ENDINGS)] == [RunCompleted]
    made = Counter(effects.read_text().split())
    assert len(made) == steps
    assert max(made.values()) <= kills + 1


def count_made(effects: Path) -> int:
    """How many effects there are."""
    return effects.read_bytes().count(b"\n")


async def read(database: Path) -> list[AnyEvent]:
    """Read the whole log."""
    async with open_sqlite_store(str(database)) as store:
        return list(await store.log.read(RUN))


if __name__ == "__main__":
    asyncio.run(go_on(Path(sys.argv[1]), Path(sys.argv[2]), width=int(sys.argv[3]), depth=int(sys.argv[4])))
