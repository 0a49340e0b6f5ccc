"""What is an agent, as a file says it?"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from quorate.catalog.case import Case
from quorate.catalog.outputs import OutputField
from quorate.models.playbook import Playbook
from quorate.specs import Limits

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""The grammar of names, domains and tags: safe in subjects, paths and commands."""
TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
AGENT_PREFIX = "agent:"
"""How a tool's name says that it is an agent."""
TOOLSET_PREFIX = "toolset:"
"""How a tool's name says that it stands for all tools of a set."""

Tier = Literal["core", "specialist", "task", "business"]
ModelClass = Literal["small", "standard", "large", "reasoning"]


class Gate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that must be true of an answer."""

    text: str
    """In words, for people and models."""
    condition: str = ""
    """CEL over `output`; empty where only a reader can tell."""


class AgentEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What lists, search and routing need to know of an agent; an index holds these alone."""

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
    """Names of tools; `agent:<name>` is an agent as a tool, `toolset:<name>` stands for all of a set."""
    output: str = "text"
    """`text`, `diagnosis`, `fields`, or the name of a shape that many agents answer in."""
    model: ModelClass | None = None
    """How able a model it needs; that of its tier when not given."""
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
    deprecated: str = ""
    """Why it should not be used any more, and what instead; empty when it should."""
    limits: Limits = Limits()
    """The bounds of each of its runs: its own, and those of its tier for the rest."""
    has_playbook: bool = False
    """Whether it works without a language model."""
    escalates_to: str = ""
    """The agent that what it cannot do goes up to."""
    hands_off: dict[str, str] = {}
    """The agents that requests go on to, each with when."""
    source: str = ""
    """The file it was read from."""

    @property
    def delegates(self) -> tuple[str, ...]:
        """The agents it has as tools."""
        return tuple(tool.removeprefix(AGENT_PREFIX) for tool in self.tools if tool.startswith(AGENT_PREFIX))


class AgentDefinition(AgentEntry, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One agent file, read and checked: data alone, which can name tools but never code."""

    fields: dict[str, OutputField] = {}
    """What it answers, field by field, where `output` is `fields`."""
    playbook: Playbook | None = None
    """The procedure the `playbook` model follows; guidance to any other model."""
    instructions: str
    """The Markdown below the front matter, without its evaluation."""
    gates: tuple[Gate, ...] = ()
    """What must be true of its answers."""
    cases: tuple[Case, ...] = ()
    """The cases it is tried on."""
