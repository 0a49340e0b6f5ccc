"""What stands for an agent that only other processes can open?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from quorate.agent.agent import Agent, AnyAgent
from quorate.errors import Unavailable, UnknownName
from quorate.messages import Reply, StreamItem
from quorate.ports import Store
from quorate.runtime.registry import find_limits, read_rows
from quorate.specs import Limits, ModelProfile, Request


class ElsewhereModel:
    """A `Model` that is not here: the run of its agent is done by whoever has the real one."""

    def __init__(self, agent: str) -> None:
        self._agent = agent

    @property
    def profile(self) -> ModelProfile:
        """Nothing is known of it."""
        return ModelProfile(name="elsewhere")

    async def complete(self, request: Request) -> Reply:
        """Refuse."""
        raise self._build_error()

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Refuse."""
        raise self._build_error()
        yield

    def _build_error(self) -> Unavailable:
        return Unavailable(f"Agent {self._agent!r} cannot be opened here: a worker that knows it does its runs.")


def build_elsewhere(agent: str, limits: Limits | None = None) -> AnyAgent:
    """Build what stands for an agent that only other processes can open: its runs can be queued and read as text."""
    return Agent(agent, model=ElsewhereModel(agent), limits=limits or Limits())


async def find_elsewhere(store: Store, agent: str, *, known: Iterable[str] = ()) -> AnyAgent:
    """Find an agent that workers of the fleet know; what stands for it has its limits.

    Args:
        store: The store that the fleet shares.
        agent: Its name.
        known: The agents that can be opened here, for a suggestion.

    Raises:
        UnknownName: No worker that is there knows it.
        Unavailable: The store cannot be reached.
    """
    workers = await read_rows(store.values)
    limits = find_limits(agent, workers)
    if limits is None:
        choices = {*known, *(name for worker in workers for name in worker.agents)}
        hint = "No worker knows it, either: `quorate workers list` shows who is there."
        raise UnknownName("agent", agent, choices, hint)
    return build_elsewhere(agent, limits)
