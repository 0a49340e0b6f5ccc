"""A recorded run that is played again offline, gone on with from its middle, and kept as a test.

Prints:

    recorded: disk 93 % full: clean up
    played again: the same log, to the byte
    with another prompt it differs at 1/model: What the model is asked has changed: the instructions.
    stopped behind tool.started of 1/tool/call-1-1: 1 call under way
    forked with another result: disk 12 % full: nothing to do
    as a test: passed
    measured: 1 time
"""

import asyncio
import tempfile
from pathlib import Path

from quorate import Agent, MemoryLog, Request, ScriptedModel, ToolCall, tool
from quorate.agent.replay import replay_exactly
from quorate.agent.replay.fixture import build_recording, save_recording
from quorate.agent.replay.fork import Change, fork_run
from quorate.agent.replay.stepping import Breakpoints, open_replay
from quorate.events import ToolFinished
from quorate.models.scripted import call
from quorate.testing.recorded import check_replay, load_recording

measured: list[int] = []


@tool(effect="idempotent")
async def disk() -> int:
    """Measure how full the disk is, in percent."""
    measured.append(93)
    return 93


def answer(request: Request) -> str | ToolCall:
    """Answer by what was measured, as a language model would."""
    last = request.messages[-1]
    if last.role == "user":
        return call("disk")
    percent = getattr(last.parts[0], "content", "")
    return f"disk {percent} % full: {'clean up' if int(percent) > 90 else 'nothing to do'}"


def build(instructions: str) -> Agent[None, str]:
    return Agent("janitor", instructions=instructions, tools=[disk], model=ScriptedModel(answer))


async def main() -> None:
    log, agent = MemoryLog(), build("Keep the disk clean.")
    recorded = await agent.run("How is the disk?", log=log)
    events = await log.read(recorded.run_id)
    print("recorded:", recorded.output)

    again = await replay_exactly(agent, events)
    print("played again:", "the same log, to the byte" if again.is_identical else again.divergence)
    changed = await replay_exactly(build("Keep the disk tidy."), events)
    if changed.divergence is not None:
        print(f"with another prompt it differs at {changed.divergence.key}: {changed.divergence.note}")

    async with open_replay(agent, events, breakpoints=Breakpoints(kinds=("tool.started",))) as stepper:
        async for stop in stepper:
            print(f"stopped behind tool.started of {stop.event.key}: {len(stop.under_way)} call under way")

    at = next(event.seq for event in events if isinstance(event, ToolFinished))
    run = await fork_run(log, recorded.run_id, at=at, change=Change(result="12"))
    print("forked with another result:", (await agent.resume(run, log=log)).output)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "janitor.jsonl")
        save_recording(build_recording(events, agent=agent), file)
        await check_replay(agent, load_recording(file))
        print("as a test: passed")
    print("measured:", len(measured), "time")


asyncio.run(main())
