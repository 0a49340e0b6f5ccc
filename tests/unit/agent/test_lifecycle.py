"""Is an agent's life a table of allowed steps, and is everything it opened closed?"""

from collections.abc import Sequence

import pytest

from quorate import Agent, ScriptedModel, ToolSpec, UpstreamError
from quorate.agent.lifecycle import TRANSITIONS, LiveAgent, State, open_agent
from quorate.errors import Conflict, Unavailable
from quorate.specs import Request


class Resource:
    """A toolset that must be opened, and can be broken."""

    def __init__(self, name: str, journal: list[str], broken: int = 0) -> None:
        self.name, self.journal, self.broken = name, journal, broken

    async def __aenter__(self) -> "Resource":
        if self.broken:
            self.broken -= 1
            raise OSError(f"{self.name} does not open")
        self.journal.append(f"open {self.name}")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.journal.append(f"close {self.name}")

    def specs(self) -> Sequence[ToolSpec]:
        return ()

    async def call(self, call: object, context: object) -> object:
        raise AssertionError


async def test_hooks_fire_in_order_and_resources_close_in_reverse() -> None:
    """Start, pause, resume and stop are told in order; what was opened is closed in reverse. row: E1"""
    journal: list[str] = []
    agent = Agent("a", model=ScriptedModel(["one", "two"]), tools=[Resource("x", journal), Resource("y", journal)])
    async with open_agent(agent, hooks=[lambda before, after: journal.append(f"{before}->{after}")]) as live:
        assert (await live.run("x")).output == "one"
        await live.pause()
        with pytest.raises(Unavailable, match="Agent 'a' is paused, not ready"):
            await live.run("x")
        await live.resume()
        assert (await live.run("x")).output == "two"
    assert journal == [
        "created->starting",
        "open x",
        "open y",
        "starting->ready",
        "ready->paused",
        "paused->ready",
        "ready->stopping",
        "close y",
        "close x",
        "stopping->stopped",
    ]


async def test_a_crash_recovers_with_fresh_resources() -> None:
    """An error that is not ours closes and reopens everything; one of ours does not. row: E1"""
    journal: list[str] = []
    answers = iter([RuntimeError("crash"), UpstreamError("down"), "fine"])

    def play(request: Request) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    agent = Agent("a", model=ScriptedModel(play), tools=[Resource("x", journal)])
    async with open_agent(agent, hooks=[lambda before, after: journal.append(after)]) as live:
        with pytest.raises(RuntimeError, match="crash"):
            await live.run("x")
        assert journal == ["starting", "open x", "ready", "recovering", "close x", "open x", "ready"]
        with pytest.raises(UpstreamError):
            await live.run("x")
        assert live.state == "ready"
        assert (await live.run("x")).output == "fine"


async def test_resources_are_released_when_opening_fails() -> None:
    """When one resource does not open, those before it are closed and the error is raised. row: E1"""
    journal: list[str] = []
    agent = Agent("a", model=ScriptedModel([]), tools=[Resource("x", journal), Resource("y", journal, broken=1)])
    with pytest.raises(OSError, match="y does not open"):
        async with open_agent(agent):
            raise AssertionError
    assert journal == ["open x", "close x"]


async def test_resources_are_released_when_the_block_fails() -> None:
    """An error inside the block still closes everything. row: E1"""
    journal: list[str] = []
    with pytest.raises(KeyError):
        async with open_agent(Agent("a", model=ScriptedModel([]), tools=[Resource("x", journal)])):
            raise KeyError
    assert journal == ["open x", "close x"]


async def test_illegal_transitions_are_refused() -> None:
    """Every step that the table does not have raises and changes nothing. row: E1"""
    live = LiveAgent(Agent("a", model=ScriptedModel([])))
    with pytest.raises(Conflict, match="cannot go from `created` to `paused`; what can follow is `starting`"):
        await live.pause()
    with pytest.raises(Conflict, match="cannot go from `created` to `ready`"):
        await live.resume()
    await live.start()
    with pytest.raises(Conflict):
        await live.start()
    await live.stop()
    with pytest.raises(Conflict, match="what can follow is nothing"):
        await live.stop()
    assert live.state == "stopped"


def test_the_table_is_closed() -> None:
    """Every state that can follow is a state, and each can be reached."""
    states: set[State] = set(TRANSITIONS)
    followers = {state for following in TRANSITIONS.values() for state in following}
    assert followers | {"created"} == states
