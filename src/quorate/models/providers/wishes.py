"""Which wishes can no format carry, or this provider not fulfil?

A wish that would be ignored is refused before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from quorate.errors import InvalidInput
from quorate.models.target import Target
from quorate.specs import ModelSettings, Request, ToolSpec

UNSET: tuple[object, ...] = (None, (), "", "auto")


def check_request(
    request: Request, target: Target, *, lacks: Collection[str] = (), reserved: Collection[str] = ()
) -> None:
    """Check what is alike for all formats.

    Args:
        request: What is asked.
        target: Whom.
        lacks: The settings that the format has no place for, beside those that the provider's facts name.
        reserved: The fields of the body that `extra` may not write.

    Raises:
        InvalidInput: There is nothing to answer, a tool is to be called that is not there, the model is not held to
            schemas and is to be, or a setting would be ignored.
    """
    settings, who = request.settings, target.provider.name
    if not request.messages:
        raise InvalidInput("There are no messages to answer: begin with what a person says.")
    if settings.tool or settings.tool_choice == "required":
        check_tool(settings, request.tools)
        check_forcing(target)
    for name in (*target.provider.lacks, *lacks):
        value = getattr(settings, name)
        if value not in UNSET:
            raise InvalidInput(f"`{who}` does not know `{name}`, which is {value!r}: leave it out.")
    facts = target.facts
    if request.tools and target.provider.tool_names:
        check_names(request.tools, target)
    if request.tools and not (target.provider.tools and (facts is None or facts.tools)):
        raise InvalidInput(f"`{target.name}` calls no tools: leave them out, or choose another model.")
    if facts is not None and facts.efforts and settings.reasoning not in (None, *facts.efforts):
        known = ", ".join(f"`{word}`" for word in facts.efforts)
        raise InvalidInput(f"`{target.name}` does not know {settings.reasoning!r} as `reasoning`; it knows {known}.")
    for name in settings.extra:
        if name in reserved:
            raise InvalidInput(f"`{name}` cannot be set by `extra`: it is written from the request itself.")
    if request.output is not None and not is_held_to_schemas(target):
        raise InvalidInput(f"`{target.name}` is not held to a schema: ask for the answer through a tool instead.")


def check_tool(settings: ModelSettings, tools: Sequence[ToolSpec]) -> None:
    """Check that a tool which must be called is there."""
    wish = f"`tool` is {settings.tool!r}" if settings.tool else "`tool_choice` is `required`"
    if not tools:
        raise InvalidInput(f"{wish}, but the request has no tools.")
    if settings.tool and all(tool.name != settings.tool for tool in tools):
        known = ", ".join(f"`{tool.name}`" for tool in tools)
        raise InvalidInput(f"{wish}, which the request does not have; it has {known}.")


def check_names(tools: Sequence[ToolSpec], target: Target) -> None:
    """Check that the provider takes the names of all tools."""
    pattern = target.provider.tool_names
    for tool in tools:
        if re.fullmatch(pattern, tool.name) is None:
            raise InvalidInput(
                f"The tool {tool.name!r} cannot be named to `{target.provider.name}`, whose names are `{pattern}`: "
                "rename it."
            )


def check_forcing(target: Target) -> None:
    """Check that a model can be made to call a tool."""
    facts = target.facts
    if facts is not None and not facts.forced_tools:
        raise InvalidInput(
            f"`{target.name}` cannot be made to call a tool: leave `tool` and `tool_choice` as they are."
        )


def is_held_to_schemas(target: Target) -> bool:
    """Whether a model is held to an answer's schema by its provider."""
    facts = target.facts
    if facts is None or facts.native_output is None:
        return target.provider.native_output
    return facts.native_output
