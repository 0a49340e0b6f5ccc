"""Words as they come, and the run's events between them.

Prints:

    [model.requested]
    [tool.started] measure
    half way (50 %)
    [tool.finished] measure
    [model.requested]
    It is 21| degrees| in the |server r|oom.
    [run.completed]
"""

import asyncio

from quorate import Agent, RunContext, ScriptedModel, TextDelta, tool
from quorate.events import ModelRequested, RunCompleted, ToolFinished, ToolStarted, get_kind
from quorate.messages import Progress
from quorate.models.scripted import call


@tool(effect="idempotent")
async def measure(context: RunContext[None], room: str) -> str:
    """Measure the temperature of a room."""
    context.emit("half way", fraction=0.5)
    return f"21 degrees in the {room}"


agent = Agent(
    "thermometer",
    model=ScriptedModel([call("measure", room="server room"), "It is 21 degrees in the server room."]),
    tools=[measure],
)


async def main() -> None:
    words: list[str] = []
    async for item in agent.run_stream("How warm is the server room?"):
        match item:
            case TextDelta(text=text):
                words.append(text)
            case Progress(message=message, fraction=fraction):
                print(f"{message} ({fraction:.0%})".replace("%", " %"))
            case ToolStarted(call=made):
                print("[tool.started]", made.name)
            case ToolFinished(result=result):
                print("[tool.finished]", result.name)
            case ModelRequested():
                print("[model.requested]")
            case RunCompleted():
                print("|".join(words))
                print(f"[{get_kind(item)}]")


asyncio.run(main())
