"""How does a definition become an agent that can run?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quorate.agent.agent import Agent
from quorate.catalog.definition import AGENT_PREFIX, AgentDefinition
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
        output_type=Diagnosis if definition.output == "diagnosis" else str,
        description=definition.description,
        limits=definition.limits,
        version=definition.version,
    )


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
