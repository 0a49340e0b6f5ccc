"""A process that runs an agent whose tools leave effects in a file, and says on its standard output how far it is.

`python journalist.py start|resume DATABASE JOURNAL RUN [HOLD …]`: what is named in HOLD is begun and never ended, so
that whoever reads the output can kill the process in the middle of exactly that. A HOLD is the name of a call or a
model's turn, held before its effect; or a name and a boundary: `a.unstarted` (its start is not recorded yet), `a.left`
(its effect is there), `a.unwritten` (its result is not recorded yet), `a.written` (its result is recorded, and the
process does not know it yet). The last two are there for the `outcome` of the run, too.
"""

import asyncio
import os
import sys
from collections.abc import Sequence

import msgspec

from quorate import Agent, Request, RunContext, RunOptions, ScriptedModel, Settings, tool
from quorate.assembly import open_store
from quorate.codec.json import encode_text
from quorate.events import AnyEvent, RunCompleted, ToolFinished, ToolStarted
from quorate.models.scripted import call
from quorate.ports import Log

TURNS = (
    [call("write", name="a")],
    [call("write", name="b"), call("write", name="c"), call("write", name="d"), call("write", name="e")],
    [call("order", name="f")],
    [call("clerk", task="write g, then h"), call("write", name="i")],
    [call("pay", name="j")],
    "all written",
)
CLERK = ([call("write", name="g")], [call("write", name="h")], "g and h written")


def say(*words: str) -> None:
    """One line, at once."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


class Journal:
    """Where effects are counted, and where the process is held."""

    def __init__(self, path: str, held: set[str]) -> None:
        self.path = path
        self.held = held

    async def leave(self, name: str, key: str = "-") -> str:
        """Leave an effect on the disk, unless this is where the process is to die."""
        self.write(f"begin {name} {key}\n")
        say("entered", name)
        if name in self.held:
            await asyncio.Event().wait()
        self.write(f"done {name} {key}\n")
        await self.hold(f"{name}.left")
        return f"{name} written"

    async def hold(self, place: str) -> None:
        """Stay at a place for ever, if this is where the process is to die."""
        if place in self.held:
            say("at", place)
            await asyncio.Event().wait()

    def write(self, line: str) -> None:
        """One line that survives the death of the process."""
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


class Held:
    """A log that can be held on either side of a commit."""

    def __init__(self, inner: Log, journal: Journal) -> None:
        self.inner = inner
        self.journal = journal

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        for event in events:
            if isinstance(event, ToolStarted):
                await self.journal.hold(f"{msgspec.json.decode(event.call.arguments or '{}').get('name')}.unstarted")
        names = [name for event in events if (name := find_name(event))]
        for name in names:
            await self.journal.hold(f"{name}.unwritten")
        await self.inner.append(run, events, expected=expected)
        for name in names:
            await self.journal.hold(f"{name}.written")

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        return await self.inner.read(run, after=after, limit=limit)


def find_name(event: AnyEvent) -> str:
    """What an event is the result of; empty for others."""
    if isinstance(event, RunCompleted):
        return "outcome"
    return str(event.result.content).split()[0] if isinstance(event, ToolFinished) else ""


def build(journal: Journal) -> Agent[None, str]:
    """The agent: two of its tools may be repeated, one with a key, one may not."""

    @tool(effect="idempotent")
    async def write(name: str) -> str:
        """Write a name."""
        return await journal.leave(name)

    @tool(effect="keyed")
    async def order(context: RunContext[None], name: str) -> str:
        """Order a name once for one key."""
        return await journal.leave(name, context.idempotency_key)

    @tool(effect="unsafe")
    async def pay(name: str) -> str:
        """Pay for a name; nobody may do that twice."""
        return await journal.leave(name)

    clerk = Agent("clerk", model=Paced(CLERK, "clerk", journal), tools=[write])
    return Agent("writer", model=Paced(TURNS, "writer", journal), tools=[write, order, pay, clerk])


class Paced(ScriptedModel):
    """Answers by how far the conversation is, so that a new process goes on where the old one was."""

    def __init__(self, turns: tuple[object, ...], name: str, journal: Journal) -> None:
        super().__init__(lambda request: turns[count_turns(request)], name=name)  # type: ignore[arg-type, return-value]
        self.journal = journal

    async def complete(self, request: Request):  # type: ignore[no-untyped-def]
        """Answer, unless this is where the process is to die."""
        turn = f"{self.profile.name}-{count_turns(request) + 1}"
        say("asked", turn)
        if turn in self.journal.held:
            await asyncio.Event().wait()
        return await super().complete(request)


def count_turns(request: Request) -> int:
    """How often the model has answered."""
    return sum(message.role == "assistant" for message in request.messages)


def tell(event: AnyEvent) -> None:
    """Say what has become durable."""
    if isinstance(event, ToolFinished):
        say("recorded", str(event.result.content).split()[0])


async def main(mode: str, database: str, path: str, run: str, *held: str) -> None:
    """Run or resume, and say how it ended."""
    journal = Journal(path, set(held))
    agent = build(journal)
    async with open_store(Settings(database=database)) as store:
        log = Held(store.log, journal)
        options = RunOptions(log=log, run_id=run, listeners=(tell,))  # type: ignore[arg-type]
        if mode == "start":
            result = await agent.run("write everything", options=options)
        else:
            result = await agent.resume(run, log=log, options=options)  # type: ignore[arg-type]
    messages = msgspec.to_builtins(result.messages)
    say("end", encode_text({"status": result.status, "text": result.text, "messages": messages}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
