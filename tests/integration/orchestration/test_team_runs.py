"""Are teams found by name wherever their runs go on, and do they know of each other's runs?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from quorate import Agent, ScriptedModel, Settings
from quorate.assembly import open_runtime
from quorate.messages import Reply
from quorate.models.scripted import call
from quorate.orchestration.patterns.assigning import assigned
from quorate.runtime.placement import build_placement, find_required, list_known
from quorate.settings.values import AgentSettings
from quorate.specs import Request

TEAM = """
kind = "team"
name = "crew"
pattern = "pipeline"
members = ["asker", "writer"]
[agents.asker]
instructions = "You ask."
tools = ["list_files"]
[agents.writer]
instructions = "You write."
"""
FLOW = """
name = "outer"
[[steps]]
id = "ask"
ask = "Go on?"
[[steps]]
id = "team"
agent = "crew"
task = "{steps.ask.output}"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/crew.toml").write_text(TEAM)
    (tmp_path / "flows/outer.toml").write_text(FLOW)
    return Settings(
        database=str(tmp_path / "quorate.db"),
        workspace=str(tmp_path),
        model="scripted",
        agents=AgentSettings(workflows=(str(tmp_path / "flows"),)),
    )


async def test_a_workflow_with_a_team_in_it_goes_on_in_another_process(settings: Settings) -> None:
    """Both are found by their names, and the team works in the run of the workflow."""
    async with open_runtime(settings, models={"scripted": ScriptedModel([])}) as runtime:
        handle = await runtime.submit("{}", agent="outer")
        assert (await handle.wait()).status == "waiting"
        (question,) = await runtime.questions()
        await runtime.answer(handle.id, question.key, text="write it", by="ann")
    model = ScriptedModel([call("list_files", path="flows"), "asked", "written"])
    async with open_runtime(settings, models={"scripted": model}) as runtime:
        report: Any = (await (await runtime.resume(handle.id)).wait()).output
        assert report.output["answer"] == "written"
    assert [request.instructions for request in model.requests] == ["You ask.", "You ask.", "You write."]
    assert model.requests[0].messages[-1].text == "write it"


class Held(ScriptedModel):
    """Answers once it may."""

    def __init__(self, name: str, gate: asyncio.Event) -> None:
        super().__init__([name] * 9, name=name)
        self.gate = gate
        self.asked = 0

    async def complete(self, request: Request) -> Reply:
        self.asked += 1
        await self.gate.wait()
        return await super().complete(request)


async def test_whoever_has_least_to_do_gets_it_also_of_other_runs(settings: Settings) -> None:
    """What is under way is counted in the store that processes share. part of row A14"""
    gate = asyncio.Event()
    models = [Held("one", gate), Held("two", gate)]
    members = [Agent(model.profile.name, model=model) for model in models]
    async with open_runtime(settings, agents=[assigned("team", members, strategy="load")]) as runtime:
        handles = [await runtime.submit("go", agent="team") for _ in range(4)]
        async with asyncio.timeout(30):
            while sum(model.asked for model in models) < 4:
                await asyncio.sleep(0.01)
        gate.set()
        reports: list[Any] = [(await handle.wait()).output for handle in handles]
        assert sorted(report.answer for report in reports) == ["one", "one", "two", "two"]
        again: Any = (await (await runtime.submit("go", agent="team")).wait()).output
        assert "has 0 tasks under way" in again.why


async def test_a_worker_that_lacks_what_a_member_requires_leaves_the_run_to_others(settings: Settings) -> None:
    """Also where the member is one of a team that a workflow asks."""
    folder = Path(settings.workspace or "") / "agents"
    folder.mkdir()
    text = '+++\nname = "painter"\ndescription = "Paints."\ntier = "task"\ndomain = "art"\ntriggers = ["paint it"]\n'
    text += 'requires = ["gpu"]\nexamples = ["paint it"]\n+++\nYou paint.\n'
    (folder / "painter.md").write_text(text)
    crew = Path(settings.agents.workflows[0]) / "crew.toml"
    crew.write_text(TEAM.replace('"asker", "writer"', '"asker", "writer", "painter"'))
    agents = structs.replace(settings.agents, directories=(str(folder),))
    async with open_runtime(
        structs.replace(settings, agents=agents), models={"scripted": ScriptedModel([])}
    ) as runtime:
        assert {"outer", "crew", "painter"} <= set(list_known(runtime))
        assert find_required(runtime, "outer") == ("gpu",)
        assert build_placement(runtime).lacking["crew"] == ("gpu",)
