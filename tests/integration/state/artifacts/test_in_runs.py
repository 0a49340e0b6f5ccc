"""Do runs reach their artifacts, are these noted in the log, and does a step that is made again keep nothing twice?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quorate import Agent, RunContext, ScriptedModel, open_runtime, tool
from quorate.agent.artifacts import artifact_tools
from quorate.agent.offload import Offloaded
from quorate.events import ArtifactSaved, ToolFinished
from quorate.models.scripted import call
from quorate.settings import load_settings
from quorate.state.artifacts import ArtifactQuery, Caller, search_artifacts, verify_artifacts

TEXT = "".join(f"line {number}\n" for number in range(20_000))


@tool(effect="idempotent")
async def export(context: RunContext[object], rows: int) -> str:
    """Export rows."""
    info = await context.artifacts.save("rows.csv", "x\n" * rows, media_type="text/csv")
    again = await context.artifacts.save("rows.csv", "x\n" * rows, media_type="text/csv")
    assert again == info
    return f"kept as {info.id}"


@tool(effect="idempotent")
async def dump() -> str:
    """Give a lot."""
    return TEXT


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUORATE_DATABASE", str(tmp_path / "quorate.db"))
    return tmp_path / "quorate.db"


async def test_a_tool_keeps_an_artifact_of_its_run(database: Path) -> None:
    """It is noted in the log, found by the run, and verified.

    row: E11
    """
    agent = Agent("exporter", model=ScriptedModel([call("export", rows=30_000), "Done."]), tools=[export])
    async with open_runtime(load_settings()) as runtime:
        handle = await runtime.submit("export", agent=agent)
        result = await handle.wait()
        events = await runtime.log.read(result.run_id)
        saved = [event for event in events if isinstance(event, ArtifactSaved)]
        assert {event.name for event in saved} == {"rows.csv"}
        assert len({event.artifact for event in saved}) == 1
        operator = Caller(tenant=runtime.tenant, operator=True)
        page = await search_artifacts(runtime.artifacts, ArtifactQuery(run=result.run_id), caller=operator)
        (info,) = page.items
        assert (info.id, info.version, info.size) == (saved[0].artifact, 1, 60_000)
        assert [checked.fault async for checked in verify_artifacts(runtime.artifacts, runtime.tenant)] == [""]
    assert database.exists()


async def test_a_large_result_is_a_handle_in_the_log(database: Path) -> None:
    """The message and the log hold the beginning and the end; the model reads the rest by the handle.

    row: E11
    """
    model = ScriptedModel([call("dump"), call("read_artifact", artifact="dump-1-1", offset=19_990, length=10), "Done."])
    agent = Agent("reader", model=model, tools=[Offloaded(dump), *artifact_tools()])
    async with open_runtime(load_settings()) as runtime:
        result = await (await runtime.submit("read", agent=agent)).wait()
        results = [e.result for e in await runtime.log.read(result.run_id) if isinstance(e, ToolFinished)]
        assert len(str(results[0].content)) < 3000
        assert "artifact art-" in str(results[0].content)
        assert str(results[-1].content).endswith("line 19998\nline 19999\n")
    assert database.exists()


DYING = """
import asyncio, os, sys
from quorate import Agent, RunContext, ScriptedModel, open_runtime, tool
from quorate.models.scripted import call
from quorate.settings import load_settings

@tool(effect="idempotent")
async def export(context: RunContext[object]) -> str:
    info = await context.artifacts.save("rows.csv", "x" * 50_000)
    if not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), 9)
    return f"kept as {info.id}, version {info.version}"

async def main():
    agent = Agent("exporter", model=ScriptedModel([call("export"), "Done."]), tools=[export])
    async with open_runtime(load_settings(), agents=[agent]) as runtime:
        if sys.argv[1:]:
            handle = await runtime.resume(sys.argv[1])
        else:
            handle = await runtime.submit("export", agent=agent)
            print(handle.id, flush=True)
        result = await handle.wait()
        print(result.messages[2].parts[0].content)

asyncio.run(main())
"""


def test_a_step_that_is_made_again_keeps_nothing_twice(database: Path) -> None:
    """Killed between keeping the bytes and recording the result, and resumed: one version, one blob, one note."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", DYING, *words],
            env=os.environ | {"QUORATE_DATABASE": str(database)},
            cwd=database.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    died = run()
    assert died.returncode == -9, died.stderr
    resumed = run(died.stdout.strip())
    assert resumed.returncode == 0, resumed.stderr
    assert "version 1" in resumed.stdout
