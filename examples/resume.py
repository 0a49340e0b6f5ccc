"""A run whose process is killed in the middle of a call, and the process after it that goes on.

The first call is in the log, so it is not made again; the second one was under way, and its tool says that repeating
it is harmless.

Prints:

    the first process was killed by signal 9
    the second process says: backed up users and orders
    users: 1 time
    orders: 2 times
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from quorate import Agent, Request, RunOptions, ScriptedModel, ToolCall, open_sqlite_log, tool
from quorate.models.scripted import call

SCRIPT = (call("backup", table="users"), call("backup", table="orders"), "backed up users and orders")
RUN = "run-nightly-backup"


def answer(request: Request) -> str | ToolCall:
    """Answer by how far the conversation is, as a language model would."""
    return SCRIPT[sum(message.role == "assistant" for message in request.messages)]


def build(folder: Path, *, dies: bool) -> Agent[None, str]:
    @tool(effect="idempotent")
    async def backup(table: str) -> str:
        """Back up a table; doing it twice is harmless."""
        with (folder / "done.txt").open("a") as file:
            file.write(f"{table}\n")
        if dies and table == "orders":
            os.kill(os.getpid(), signal.SIGKILL)
        return f"{table} backed up"

    return Agent("keeper", model=ScriptedModel(answer), tools=[backup])


async def first(folder: Path) -> None:
    """The process that is killed."""
    async with open_sqlite_log(folder / "quorate.db") as log:
        await build(folder, dies=True).run("Back up.", options=RunOptions(log=log, run_id=RUN))


async def second(folder: Path) -> str:
    """The process after it."""
    async with open_sqlite_log(folder / "quorate.db") as log:
        return (await build(folder, dies=False).resume(RUN, log=log)).output


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        died = subprocess.run([sys.executable, __file__, name], check=False)
        print("the first process was killed by signal", -died.returncode)
        print("the second process says:", asyncio.run(second(folder)))
        done = (folder / "done.txt").read_text().split()
        print("users:", done.count("users"), "time")
        print("orders:", done.count("orders"), "times")


if len(sys.argv) > 1:
    asyncio.run(first(Path(sys.argv[1])))
else:
    main()
