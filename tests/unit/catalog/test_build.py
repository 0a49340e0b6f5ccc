"""Does a definition become an agent that does what the file says?"""

import pytest
from tests.unit.catalog.files import SAMPLES

from quorate.agent.agent import Agent
from quorate.catalog.build import AnyAgent, build_agent
from quorate.catalog.load import load_catalog
from quorate.errors import InvalidInput, UnknownName
from quorate.models.playbook.report import Diagnosis
from quorate.models.scripted import ScriptedModel, call
from quorate.ports import Model
from quorate.specs import Limits
from quorate.tools import tool

CATALOG = load_catalog([SAMPLES], builtin=None)
READER = CATALOG.get("log-analysis")


@tool(effect="idempotent")
async def log_summary(path: str) -> str:
    """Summarise a log file.

    Args:
        path: Which.
    """
    return f"{path}: 3 errors"


def find_nobody(name: str) -> AnyAgent:
    """No agents are needed."""
    raise AssertionError(f"asked for {name!r}")


def build_reader(model: Model | str | None = None) -> AnyAgent:
    """The log reader of the samples, with its tool."""
    return build_agent(READER, model=model, toolbox={"log_summary": log_summary}, agents=find_nobody)


def test_an_agent_is_what_its_file_says() -> None:
    """Name, description, limits, version, tools and the type of the answer."""
    agent = build_agent(
        CATALOG.get("network-diagnostics"),
        model="openai:gpt-5.2",
        toolbox=dict.fromkeys(("dns_lookup", "tcp_connect", "http_timing"), log_summary),
        agents=find_nobody,
    )
    assert (agent.name, agent.model, agent.output_type) == ("network-diagnostics", "openai:gpt-5.2", Diagnosis)
    assert agent.limits == Limits(steps=10, seconds=60, tool_calls=120)
    assert agent.description.startswith("Finds out why a host")
    assert agent.instructions == "You diagnose networks by measuring."
    assert len(agent.tools) == 3


async def test_a_built_agent_runs_with_its_tools() -> None:
    """It calls the tool its file names and gives a typed diagnosis. row: E2"""
    answer = '{"applies": true, "summary": "3 errors", "findings": []}'
    agent = build_reader(ScriptedModel([call("log_summary", path="app.log"), answer]))
    result = await agent.run("what errors are in app.log?")
    assert "app.log: 3 errors" in str(result.messages[2].parts)
    assert isinstance(result.output, Diagnosis)
    assert result.output.summary == "3 errors"


def test_agents_become_tools() -> None:
    """`agent:<name>` is the agent of that name. row: E15"""
    asked: list[str] = []

    def find_agent(name: str) -> AnyAgent:
        asked.append(name)
        return Agent(name, description=f"Is {name}.")

    lead = build_agent(CATALOG.get("incident-lead"), model=None, toolbox={}, agents=find_agent)
    assert asked == list(CATALOG.get("incident-lead").delegates)
    assert "log_analysis" in [spec.name for spec in lead.compiled.specs]


def test_a_tool_that_is_not_there_is_refused_when_the_agent_is_built() -> None:
    """The nearest is suggested and the file is named. row: E2"""
    with pytest.raises(
        UnknownName, match=r"There is no tool 'log_summary'\. Did you mean `log_summaries`\?.*log-analysis\.md"
    ):
        build_agent(READER, model=None, toolbox={"log_summaries": log_summary}, agents=find_nobody)


def test_the_playbook_model_needs_a_playbook() -> None:
    """Nothing is made up where a file has none."""
    with pytest.raises(InvalidInput, match="'log-analysis' has no playbook, so it needs another model"):
        build_reader("playbook")
