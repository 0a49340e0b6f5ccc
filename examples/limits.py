"""Every run is bounded; one that meets a limit ends `incomplete` and keeps what it has so far.

Prints:

    incomplete: steps
    so far: Still looking.
    asking for `.output` raises Incomplete
"""

from quorate import Agent, Incomplete, Limits, Message, ScriptedModel, Text, ToolCall, tool
from quorate.events import RunIncomplete


@tool(effect="idempotent")
async def look(place: int) -> str:
    """Look somewhere."""
    return "nothing here"


def keep_looking(request: object) -> Message:
    """A model that never comes to an end."""
    turn = len(request.messages)  # type: ignore[attr-defined]
    call = ToolCall(id=f"call-{turn}", name="look", arguments=f'{{"place": {turn}}}')
    return Message(role="assistant", parts=(Text(text="Still looking."), call))


agent = Agent("seeker", model=ScriptedModel(keep_looking), tools=[look], limits=Limits(steps=4, seconds=10))
result = agent.run_sync("Find it.")
ending = result.events[-1]
assert isinstance(ending, RunIncomplete)
print(f"{result.status}: {ending.limit}")
print("so far:", result.text)
try:
    print(result.output)
except Incomplete:
    print("asking for `.output` raises Incomplete")
