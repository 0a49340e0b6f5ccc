"""What is an agent, as a file says it?"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from quorate.models.playbook import Playbook
from quorate.specs import Limits

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""The grammar of names, domains and tags: safe in subjects, paths and commands."""
TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
AGENT_PREFIX = "agent:"
"""How a tool's name says that it is an agent."""

Tier = Literal["core", "specialist", "task", "business"]


class AgentDefinition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent file, read and checked: data alone, which can name tools but never code."""

    name: str
    """The agent's name; the file is called `<name>.md`."""
    version: str = "1"
    description: str
    """What it is for, in a sentence or two, for people, models and search."""
    tier: Tier
    domain: str
    """The field it works in, such as `network`."""
    triggers: tuple[str, ...]
    """Words and phrases of requests it is for; routing looks for them."""
    tools: tuple[str, ...] = ()
    """Names of tools; `agent:<name>` is an agent as a tool."""
    output: Literal["diagnosis", "text"] = "text"
    limits: Limits = Limits()
    playbook: Playbook | None = None
    """The procedure the `playbook` model follows; guidance to any other model."""
    examples: tuple[str, ...]
    """Requests it is for; routing compares with them, and a refusal shows them."""
    not_for: tuple[str, ...] = ()
    """Requests that sound alike and are not for it."""
    tags: tuple[str, ...] = ()
    """Words to select by."""
    requires: tuple[str, ...] = ()
    """What a worker must offer to do its runs, such as `gpu`."""
    replaces: bool = False
    """Whether it stands in for a built-in of the same name, where that is allowed."""
    instructions: str
    """The Markdown below the front matter."""
    source: str = ""
    """The file it was read from."""

    @property
    def delegates(self) -> tuple[str, ...]:
        """The agents it has as tools."""
        return tuple(tool.removeprefix(AGENT_PREFIX) for tool in self.tools if tool.startswith(AGENT_PREFIX))
