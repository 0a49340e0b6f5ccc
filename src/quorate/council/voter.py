"""How does an agent whose answers have a form of their own cast a ballot?"""

from __future__ import annotations

from quorate.agent.agent import Agent, AnyAgent
from quorate.agent.procedure.build import ProcedureModel
from quorate.models.playbook import PlaybookModel


def answer_in_words(agent: AnyAgent) -> AnyAgent:
    """Return an agent as a voter: the same, but free to answer with a ballot instead of what it usually gives.

    What works by a fixed procedure or a playbook is returned as it is: it answers what that says.
    """
    if agent.output_type is str or isinstance(agent.model, ProcedureModel | PlaybookModel):
        return agent
    return Agent(
        agent.name,
        instructions=agent.instructions,
        model=agent.model,
        tools=agent.tools,
        description=agent.description,
        limits=agent.limits,
        settings=agent.settings,
        version=agent.version,
    )
