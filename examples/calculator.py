"""An agent with one tool, in ten lines.

Prints:

    3
"""

from quorate import Agent, ScriptedModel, tool
from quorate.models.scripted import call


@tool(timeout_s=5, effect="idempotent")
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


agent = Agent("calc", instructions="You calculate.", tools=[add], model=ScriptedModel([call("add", a=1, b=2), "3"]))
print(agent.run_sync("What is 1 + 2?").output)
