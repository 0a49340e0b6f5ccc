"""What do the workers of this fleet do? They pack parcels, in steps that leave a trace outside of the record."""

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quorate import Agent, Request, RunContext, ScriptedModel, tool
from quorate.events import AnyEvent, ToolFinished
from quorate.models.scripted import Answer, call

AGENT = "packer"
STEPS = ("fetch", "weigh", "wrap", "label", "load")


@dataclass(frozen=True)
class Effect:
    """A step that was done, whoever did it and whatever became of him."""

    run: str
    key: str
    time: float


def build_agent(journal: Path, *, step_s: float) -> Agent[None, str]:
    """Build an agent that packs a parcel in steps of some length, by a script instead of a language model."""

    @tool(effect="idempotent")
    async def pack(context: RunContext[None], parcel: str, step: str) -> str:
        """Do one step of packing a parcel."""
        _write(journal, f"{context.run} {context.key} {time.time()}\n")
        await asyncio.sleep(step_s)
        return f"{parcel}: {step} done"

    def answer(request: Request) -> Answer:
        parcel = request.messages[0].text
        done = sum(message.role == "assistant" for message in request.messages)
        return call("pack", parcel=parcel, step=STEPS[done]) if done < len(STEPS) else f"{parcel} is on its way"

    return Agent(AGENT, model=ScriptedModel(answer), tools=[pack])


def _write(journal: Path, line: str) -> None:
    handle = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(handle, line.encode())  # at once, so that a process that dies leaves no half of it
    finally:
        os.close(handle)


def read_effects(journal: Path) -> list[Effect]:
    """Read what was done, in order."""
    lines = (line.rsplit(" ", 2) for line in journal.read_text().splitlines()) if journal.exists() else ()
    return [Effect(run, key, float(when)) for run, key, when in lines]


def count_steps(events: Iterable[AnyEvent]) -> int:
    """Count the steps of a run that are recorded."""
    return sum(isinstance(event, ToolFinished) for event in events)
