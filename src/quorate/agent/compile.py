"""What follows from an agent's definition, worked out once and shared by all its runs?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from quorate.agent.output import Mode, Output
from quorate.errors import InvalidInput
from quorate.ports import Toolset
from quorate.specs import FINAL_TOOL, ModelSettings
from quorate.tools.define import Tool
from quorate.tools.toolsets import Toolbox

Wrap = Callable[[Toolset], Toolset]
"""Puts something around a toolset that changes how its calls are made, not which there are."""


class AsTool(Protocol):
    """Something that can be used as a tool, such as an agent."""

    def as_tool(self) -> Toolset:
        """Make a toolset of it."""
        ...


class Compiled:
    """An agent's tools, schemas and instructions, ready to use."""

    __slots__ = (
        "_instructions", "effects", "name", "output", "printed", "settings", "specs", "specs_with_output", "toolbox",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        instructions: str | Callable[[object], str],
        tools: Sequence[object],
        output_type: object,
        settings: ModelSettings,
    ) -> None:
        self.name = name
        self.settings = settings
        self.output = Output(output_type)
        self.toolbox: Toolset = Toolbox([build_toolset(item) for item in tools])
        self.specs = tuple(self.toolbox.specs())
        self.effects = {spec.name: spec.effect for spec in self.specs}
        self.specs_with_output = self.specs
        if output_type is not str:
            self.specs_with_output += (self.output.tool,)
            if FINAL_TOOL in self.effects:
                raise InvalidInput(
                    f"Agent {name!r} has a tool named {FINAL_TOOL!r}, which is how it answers: rename it."
                )
        self._instructions = instructions
        self.printed: tuple[str, Mode, str] | None = None
        """The digest of what models are asked in every run, for the instructions and mode it was worked out for."""

    def wrap(self, wrap: Wrap) -> Compiled:
        """Return the same with something around its tools."""
        wrapped = copy.copy(self)
        wrapped.toolbox = wrap(self.toolbox)
        return wrapped

    def build_instructions(self, deps: object, mode: Mode) -> str:
        """Build what the model is told about its work."""
        given = self._instructions
        text = given if isinstance(given, str) else given(deps)
        return f"{text}\n\n{self.output.prompt}".strip() if mode == "prompted" else text


def build_toolset(item: object) -> Toolset:
    """Take what a user may list as a tool: a toolset, a tool, a plain function, or an agent.

    Raises:
        InvalidInput: It is none of these.
    """
    if hasattr(item, "specs") and hasattr(item, "call"):
        return cast("Toolset", item)
    if hasattr(item, "as_tool"):
        return cast("AsTool", item).as_tool()
    if callable(item):
        return Tool(item)
    raise InvalidInput(f"{item!r} is not a tool: give a function, a `Tool`, a toolset or an `Agent`.")
