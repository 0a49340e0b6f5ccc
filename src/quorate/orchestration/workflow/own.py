"""How does an agent that a file brings along become one that can run, and is everything there that it names?"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from quorate.agent.agent import Agent, AnyAgent
from quorate.errors import InvalidInput
from quorate.orchestration.workflow.spec import InputType, OwnAgent, Workflow
from quorate.orchestration.workflow.values import PLACEHOLDER, QUOTED
from quorate.ports import Model, Toolset
from quorate.specs import Limits
from quorate.tools.toolsets import Filtered

FIELD_TYPES: Mapping[InputType, object] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "list": list[object], "object": dict[str, object],
}  # fmt: skip
PLAYBOOK = "playbook"
"""The name of the model that follows an agent file's own procedure, which an agent of a workflow does not have."""
FindModel = Callable[[str], Model | str | None]
"""Finds a model by its name; the usual one where the name is empty."""
_FIELD = re.compile(r"\bsteps\s*\.\s*([a-z_]\w*)\s*\.\s*output\s*\.\s*([A-Za-z_]\w*)")


def build_own(
    name: str, own: OwnAgent, *, tools: Mapping[str, Toolset], find_model: FindModel | None = None
) -> AnyAgent:
    """Build an agent that a file brings along.

    Args:
        name: Its name.
        own: What the file says.
        tools: What has a tool, by the tool's name.
        find_model: Finds its model; without it, whoever runs it must give one.

    Raises:
        InvalidInput: There is no model for it but the playbook.
    """
    model = (own.model or None) if find_model is None else find_model(own.model)
    if model == PLAYBOOK:
        raise InvalidInput(
            f"Agent {name!r} needs a language model, and there is only the playbook model, which is none: pass one, "
            "such as `--model openai:gpt-5.2`, or name it as `model` in the settings."
        )
    return Agent(
        name,
        instructions=own.instructions,
        model=model,
        tools=_choose_tools(own, tools),
        output_type=build_type(name, own) if own.fields else str,
        description=own.description,
        limits=own.limits,
    )


def _choose_tools(own: OwnAgent, tools: Mapping[str, Toolset]) -> list[Toolset]:
    """Choose the tools that it names, and no others that come with them."""
    toolsets: list[Toolset] = []
    for name in own.tools:
        if tools[name] not in toolsets:
            toolsets.append(tools[name])
    return [Filtered(toolset, lambda spec: spec.name in own.tools) for toolset in toolsets]


def build_type(name: str, own: OwnAgent) -> type[object]:
    """Build the type of what an agent answers."""
    fields = [(field, FIELD_TYPES[kind]) for field, kind in own.fields.items()]
    title = "".join(word.capitalize() for word in name.split("-"))
    return msgspec.defstruct(title, fields, frozen=True, kw_only=True, forbid_unknown_fields=True)


def check_own(
    agents: Mapping[str, OwnAgent], *, used: Collection[str], tools: Collection[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what is wrong with the agents of a file, each with its place.

    Args:
        agents: The agents.
        used: Those that somebody in the file asks.
        tools: The names of the tools there are.
    """
    for name, own in agents.items():
        place: tuple[str | int, ...] = ("agents", name)
        if name not in used:
            yield place, f"nobody asks it{suggest(name, used)}"
        for tool in own.tools:
            if tool not in tools:
                yield (*place, "tools"), f"there is no tool {tool!r}{suggest(tool, tools)}"
        if not own.instructions.strip():
            yield (*place, "instructions"), "say what it is for and how it works"
        for field, what in check_limits(own.limits):
            yield (*place, "limits", field), what


def check_limits(limits: Limits) -> Iterator[tuple[str, str]]:
    """Yield the limits that are none, each with what is wrong with it."""
    for field in limits.__struct_fields__:
        value: object = getattr(limits, field)
        if isinstance(value, int | float) and not 0 < value < math.inf:
            yield field, f"it is {value!r}: give a number above 0"


def check_fields(text: str, workflow: Workflow) -> Iterator[str]:
    """Yield what is wrong with how a text reads the answers of the workflow's own agents, field by field."""
    shapes = {
        step.id: workflow.agents[step.agent].fields
        for step in workflow.steps
        if step.agent in workflow.agents and not step.for_each
    }
    if text.startswith("="):
        read = _FIELD.findall(QUOTED.sub("''", text))
    else:
        read = [found for name in PLACEHOLDER.findall(text) for found in _FIELD.findall(name)]
    for step, field in read:
        shape = shapes.get(step)
        if shape is None or field in shape:
            continue
        if shape:
            yield f"what {step!r} gives has no field {field!r}{suggest(field, shape)}"
        else:
            yield f"what {step!r} gives is text, which has no field {field!r}: give its agent `fields`"


def suggest(name: str, known: Collection[str]) -> str:
    """Say what was meant, or else what there is."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are {', '.join(sorted(known)[:12])}" if known else "; there are none"
