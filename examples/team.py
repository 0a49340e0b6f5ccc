"""Agents as tools of another agent: they work side by side, inside one run and one log.

Prints:

    step.started   network
    step.started   logs
    step.finished  network
    step.finished  logs
    The port is closed because the service crashed at 03:12.
    6 model calls in one run, 2 of them at the top
"""

from quorate import Agent, ScriptedModel, tool
from quorate.events import ModelReplied, StepFinished, StepStarted, get_kind
from quorate.models.scripted import call


@tool(effect="idempotent")
async def probe(port: int) -> str:
    """Try to connect."""
    return f"port {port} refuses connections"


@tool(effect="idempotent")
async def search_log(words: str) -> str:
    """Search the log."""
    return f"03:12 ERROR {words} in worker.py:41"


network = Agent(
    "network",
    description="Finds out what the network does.",
    model=ScriptedModel([call("probe", port=8080), "Port 8080 refuses connections."]),
    tools=[probe],
)
logs = Agent(
    "logs",
    description="Reads logs.",
    model=ScriptedModel([call("search_log", words="Traceback"), "The service crashed at 03:12."]),
    tools=[search_log],
)
lead = Agent(
    "lead",
    instructions="Ask your colleagues at once, then answer.",
    model=ScriptedModel(
        [
            [call("network", task="Is port 8080 open?"), call("logs", task="Did the service crash?")],
            "The port is closed because the service crashed at 03:12.",
        ]
    ),
    tools=[network, logs],
)

result = lead.run_sync("Why is the shop down?")
steps = [event for event in result.events if isinstance(event, StepStarted | StepFinished)]
for event in sorted(steps, key=lambda event: isinstance(event, StepFinished)):
    print(f"{get_kind(event):<14} {event.name}")
print(result.output)
top = [event for event in result.events if isinstance(event, ModelReplied) and event.key.count("/") == 1]
print(f"{result.usage.requests} model calls in one run, {len(top)} of them at the top")
