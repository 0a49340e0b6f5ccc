"""Does a session survive the processes that use it, killed with signal 9 wherever they stand?"""

import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.forks import run_fork
from tests.integration.state.sessions.databases import open_database

from quorate.clock import SYSTEM_CLOCK
from quorate.state.sessions import SessionLimits, SessionStore

TAKER = Path(__file__).with_name("taker.py")
ANN = {"tenant": "default", "principal": "ann"}


def take(database: str, *acts: str, dies: bool = False) -> list[object]:
    """Run the program in a process of its own and return what it printed."""
    done = run_fork([TAKER, database, *acts])
    assert done.returncode == (-signal.SIGKILL if dies else 0), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@asynccontextmanager
async def open_sessions(database: str) -> AsyncGenerator[SessionStore]:
    async with open_database(database) as store:
        yield SessionStore(store.values, store.log, clock=SYSTEM_CLOCK)


async def test_suspended_and_resumed_by_other_processes(database: str) -> None:
    """row: E6 — a session is suspended by one process, killed at once, and resumed by another; nothing is forgotten."""
    assert take(database, "say:one", "suspend", "die", dies=True) == [["one"]]
    async with open_sessions(database) as sessions:
        assert (await sessions.get("s-1", **ANN)).status == "suspended"
    assert take(database, "resume", "say:two", "die", dies=True) == [["one", "You said: one", "two"]]
    async with open_sessions(database) as sessions:
        assert [entry.run.status for entry in await sessions.timeline("s-1", **ANN)] == ["completed", "completed"]
        assert len(await sessions.history("s-1", **ANN)) == 4


async def test_killed_between_a_turn_and_its_run(database: str) -> None:
    """row: E6 — a turn that was begun and whose process died leaves a whole session: the next turn goes on."""
    async with open_sessions(database) as sessions:
        await sessions.create("s-1", **ANN, limits=SessionLimits(max_runs=3))
    take(database, "say:one", "begin:run-lost", "die", dies=True)
    assert take(database, "say:two") == [["one", "You said: one", "two"]]
    async with open_sessions(database) as sessions:
        refusal = await sessions.find_refusal("s-1", **ANN)
        assert refusal is not None  # the lost one counts for a minute
        assert "has had the 3 runs" in refusal


async def test_killed_inside_a_cleanup_hook(database: str) -> None:
    """row: E6 — a hook under way at a crash is run again, told as at least once, and the session has ended."""
    async with open_sessions(database) as sessions:
        await sessions.create("s-1", **ANN)
    assert take(database, "dying-hook", "complete", dies=True) == ["cleaned s-1"]
    async with open_sessions(database) as sessions:
        ended = await sessions.get("s-1", **ANN)
        assert (ended.status, ended.cleaned) == ("completed", {})
    assert take(database, "hook", "sweep") == []  # whoever began may still be at it
    assert take(database, "hook", "recover") == ["cleaned s-1"]
    assert take(database, "hook", "recover", "sweep") == []
