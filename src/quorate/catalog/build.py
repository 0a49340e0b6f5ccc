"""How does a definition become an agent that can run?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quorate.agent.agent import Agent
from quorate.catalog.definition import AGENT_PREFIX, AgentDefinition
from quorate.catalog.gates import build_check
from quorate.catalog.outputs import PLAIN_OUTPUTS, add_check, build_type, load_outputs
from quorate.errors import InvalidInput, UnknownName
from quorate.models.playbook import PlaybookModel, render_guidance
from quorate.models.playbook.report import Diagnosis
from quorate.ports import Model, Toolset

AnyAgent = Agent[object, object]
PLAYBOOK = "playbook"
"""The model that follows the definition's own playbook."""


def build_agent(
    definition: AgentDefinition,
    *,
    model: Model | str | None,
    toolbox: Mapping[str, Toolset],
    agents: Callable[[str], AnyAgent],
) -> AnyAgent:
    """Build the agent that a file describes, with the tools it names and no others.

    Args:
        definition: What the file says.
        model: A model, a name such as `openai:gpt-5.2`, or `playbook`: the definition's own procedure, which needs no
            provider. Any other model gets the playbook as guidance in its instructions.
        toolbox: The tools there are, by name.
        agents: Finds the agents it has as tools, by name.

    Raises:
        UnknownName: It names a tool that is not there.
        InvalidInput: The model is `playbook`, and the file has none.
    """
    return Agent(
        definition.name,
        instructions=_build_instructions(definition, guided=model != PLAYBOOK),
        model=_choose_model(definition, model),
        tools=[_find_tool(definition, name, toolbox=toolbox, agents=agents) for name in definition.tools],
        output_type=find_output_type(definition, gated=model != PLAYBOOK),
        description=definition.description,
        limits=definition.limits,
        version=definition.version,
    )


def find_output_type(definition: AgentDefinition, *, gated: bool = True) -> type[object]:
    """Find the type of an agent's answers.

    Args:
        definition: What the file says.
        gated: Whether answers that its gates refuse do not fit. A playbook has no second try, and its rules are its
            gates.

    Raises:
        InvalidInput: A gate is no condition.
        UnknownName: There is no such output.
        MissingExtra: There are gates, and the extra `cel` is not installed.
    """
    if definition.output == "text":
        return str
    check = build_check(definition.gates) if gated else None
    if definition.output == "diagnosis":
        return add_check(Diagnosis, check) if check else Diagnosis
    if definition.output == "fields":
        return build_type(definition.name, definition.fields, check=check)
    shapes = load_outputs()
    if definition.output not in shapes:
        raise UnknownName(
            "output", definition.output, [*PLAIN_OUTPUTS, *shapes], f"It is that of {definition.source!r}."
        )
    return build_type(definition.output, shapes[definition.output].fields, check=check)


def _choose_model(definition: AgentDefinition, model: Model | str | None) -> Model | str | None:
    if model != PLAYBOOK:
        return model
    if definition.playbook is None:
        raise InvalidInput(
            f"Agent {definition.name!r} has no playbook, so it needs another model: pass one, such as `openai:gpt-5.2`."
        )
    return PlaybookModel(definition.playbook)


def _build_instructions(definition: AgentDefinition, *, guided: bool) -> str:
    if definition.playbook is None or not guided:
        return definition.instructions
    return f"{definition.instructions}\n\n{render_guidance(definition.playbook)}"


def _find_tool(
    definition: AgentDefinition,
    name: str,
    *,
    toolbox: Mapping[str, Toolset],
    agents: Callable[[str], AnyAgent],
) -> Toolset:
    if name.startswith(AGENT_PREFIX):
        return agents(name.removeprefix(AGENT_PREFIX)).as_tool()
    if name not in toolbox:
        raise UnknownName("tool", name, toolbox, f"Agent {definition.name!r} names it in {definition.source!r}.")
    return toolbox[name]
