"""Wrapping a group of tools changes what an agent sees and how calls behave, without touching the tools.

Prints:

    the agent sees: files_find, files_remove_old, files_slow
    without what is unsafe: files_find, files_slow
    find: 2 files match *.log
    slow: Tool `files_slow` failed (deadline_exceeded): it did not answer within 0.05 s
"""

import asyncio

from quorate import Agent, Filtered, Prefixed, Renamed, ScriptedModel, TimeBoxed, tool
from quorate.models.scripted import call
from quorate.tools.toolsets import Toolbox


@tool(effect="idempotent")
async def find(pattern: str) -> str:
    """Find files."""
    return f"2 files match {pattern}"


@tool(effect="unsafe")
async def cleanup(days: int) -> str:
    """Remove files that are older than so many days."""
    return f"removed what is older than {days} days"


@tool(effect="idempotent")
async def slow() -> str:
    """Take far too long."""
    await asyncio.sleep(60)
    return "done"


files = Prefixed(Renamed(Toolbox([find, cleanup, slow]), {"cleanup": "remove_old"}), "files_")
safe = Filtered(files, lambda spec: spec.effect != "unsafe")
agent = Agent(
    "keeper",
    tools=[TimeBoxed(safe, 0.05)],
    model=ScriptedModel([[call("files_find", pattern="*.log"), call("files_slow")], "done"]),
)

print("the agent sees:", ", ".join(spec.name for spec in files.specs()))
print("without what is unsafe:", ", ".join(spec.name for spec in safe.specs()))
found, cut = agent.run_sync("Look for logs.").messages[2].parts
print("find:", found.content)
print("slow:", cut.content)
