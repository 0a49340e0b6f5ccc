"""A server with one run that goes on, and as many keys as its readers need; it says so in one line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from quorate import Agent, ScriptedModel, tool
from quorate.assembly import open_runtime
from quorate.cli.serve import raise_file_limit
from quorate.models.scripted import call
from quorate.security.keys import KeyRing
from quorate.server.access import Doorkeeper
from quorate.server.app import Server
from quorate.server.listen import open_listener
from quorate.server.protocol import Bounds
from quorate.settings import Settings


@tool(effect="idempotent", timeout_s=3600)
async def hang() -> str:
    """Never come back."""
    await asyncio.Event().wait()
    return ""


async def main(folder: Path, keys: int) -> None:
    """Serve until the input ends."""
    raise_file_limit()
    slow = Agent("slow", model=ScriptedModel([call("hang"), "Done."]), tools=[hang])
    async with open_runtime(Settings(database=str(folder / "quorate.db")), agents=[slow]) as runtime:
        ring = KeyRing(runtime.store.values, pepper=bytes(range(32)))
        made = [await ring.create(tenant="default", principal=f"p-{number}", role="viewer") for number in range(keys)]
        run = await runtime.submit("x", agent="slow")
        server = Server(runtime, Doorkeeper(ring))
        bounds = Bounds(peer=100_000, total=100_000)
        async with open_listener(server, host="127.0.0.1", port=0, bounds=bounds) as (listener, port):
            print(json.dumps({"port": port, "run": run.id, "keys": [new.text.reveal() for new in made]}), flush=True)
            loop = asyncio.get_running_loop()
            lines = asyncio.StreamReader()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
            while await lines.readline():  # each line asks how much there is
                counts = {
                    "tasks": len(asyncio.all_tasks()),
                    "connections": len(listener.server_state.connections),
                    "streams": len(server.routes.state.seats),
                }
                print(json.dumps(counts), flush=True)
            listener.leave()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
