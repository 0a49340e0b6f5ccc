"""A process that takes one piece of work after another, and leaves a line for each that it began.

`python worker.py URL JOURNAL MODE`: with `hang` it never answers what it began, with `die` it kills itself in the
middle, with `work` it does everything.
"""

import asyncio
import os
import signal
import sys

from tests.integration.bus.rules import TASKS

from quorate.bus.backends.nats import open_nats_bus
from quorate.bus.deliver import deliver
from quorate.ports.bus import Message


async def main(url: str, journal: str, mode: str) -> None:
    """Work until killed."""

    async def do(message: Message) -> None:
        write("began", message)
        if mode == "hang":
            await asyncio.Event().wait()
        if mode == "die" and message.data == b"poison":
            os.kill(os.getpid(), signal.SIGKILL)
        write("ended", message)

    def write(what: str, message: Message) -> None:
        handle = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, f"{what} {message.data.decode()}\n".encode())
        os.close(handle)

    async with open_nats_bus(url, tenant="acme", streams=[TASKS]) as bus:
        print("open", flush=True)
        await deliver(bus, "tasks", do, concurrency=1, beat_s=0.1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
