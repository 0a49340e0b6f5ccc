"""What does the reference page of the built-in tools say, from the tools themselves?"""

import re
from typing import cast

from quorate.tools.builtin.shelf import TOOLSETS, Surroundings, build_shelf
from quorate.tools.define import AnyTool
from quorate.tools.targets import ProbePolicy
from quorate.tools.workspace import Workspace

HEAD = """\
Each has a time limit and a bounded answer, says when something was left out, and but for `write_file` only reads.
Paths lie in the workspace, and no link leads out of it.
Hosts are checked by the [probe policy](settings.md), at every redirect again.
What a tool needs and is not installed is told as the extra to install.

`quorate tools show NAME` prints a tool's whole schema, and `quorate tools call NAME --arg KEY=VALUE` calls it by hand.

All tools that check something answer in one shape.
`files` of the kind were read, `items` were looked at, `facts` were counted, and `findings` come the worst first.
Each finding has a rule, a severity, file, line, message, and evidence in which secrets are blotted out.
With `files` at 0 nothing was checked, which is no sign of health.
"""

Schema = dict[str, object]


def build_tools_page(note: str) -> str:
    """Build the page: one section for each toolset."""
    shelf = build_shelf(Surroundings(workspace=Workspace("/", writable=True), policy=ProbePolicy.served()))
    parts = [f"# Built-in tools\n\n{note}\n{HEAD}"]
    for toolset in TOOLSETS:
        extra = f" Some need the extra `{toolset.extra}`." if toolset.extra else ""
        rows = "\n".join(describe(shelf[name]) for name in toolset.tools)
        head = f"\n## {toolset.name}\n\n{toolset.about}{extra}\n\n"
        parts.append(f"{head}| tool | what for | arguments | answer |\n|---|---|---|---|\n{rows}\n")
    return "".join(parts)


def describe(tool: AnyTool) -> str:
    """Write one row."""
    properties = cast("dict[str, Schema]", tool.spec.parameters.get("properties", {}))
    required = cast("list[str]", tool.spec.parameters.get("required", []))
    arguments = ", ".join(f"`{name}`" + ("" if name in required else "?") for name in properties)
    said = re.sub(r"\s+", " ", tool.spec.description.partition("\n")[0]).replace("|", "\\|")
    return f"| `{tool.name}` | {said} | {arguments or 'none'} | {list_fields(tool)} |"


def list_fields(tool: AnyTool) -> str:
    """Name the fields of what a tool answers."""
    schema = tool.returns or {}
    fields = cast("dict[str, Schema]", schema.get("properties", {}))
    if {"findings", "facts", "skipped"} <= fields.keys():
        return "findings"
    return ", ".join(f"`{name}`" for name in fields) or "text"
