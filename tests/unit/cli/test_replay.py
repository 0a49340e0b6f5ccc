"""What does somebody at a terminal see of replays, and how do they answer?"""

import contextlib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from quorate import Agent, InvalidInput, MemoryLog, RunOptions, ScriptedModel, tool
from quorate.agent.replay import replay_exactly
from quorate.agent.replay.compare import compare_runs
from quorate.agent.replay.modified import Changes, replay_modified
from quorate.agent.replay.stepping import Breakpoints, open_replay
from quorate.cli import replay as command
from quorate.cli.replay import _look, _read_instructions, _render_comparison, _show_exact, _show_modified
from quorate.events import AnyEvent
from quorate.models.scripted import call

pytestmark = pytest.mark.blocking


@tool(effect="idempotent")
async def look(name: str) -> str:
    """Look."""
    return f"{name} is \x1b[31mfine"


def build(*script, **facts) -> Agent:
    return Agent("a", model=ScriptedModel(list(script)), tools=[look], **facts)


async def record(agent: Agent) -> list[AnyEvent]:
    log = MemoryLog()
    await agent.run("go", log=log, options=RunOptions(run_id="run-1"))
    return await log.read("run-1")


async def test_a_replay_that_is_the_same_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """And shows what the run gave."""
    events = await record(build(call("look", name="a"), "done"))
    assert _show_exact(await replay_exactly(build(), events), json=False) == 0
    out = capsys.readouterr().out
    assert f"Replayed run-1 offline: {len(events)} events, the same to the byte." in out
    assert "done" in out


async def test_a_difference_is_shown_with_both_values(capsys: pytest.CaptureFixture[str]) -> None:
    """What is recorded cannot move the cursor."""
    events = await record(build(call("look", name="a"), "done"))
    assert _show_exact(await replay_exactly(build(instructions="x"), events), json=False) == 1
    out = capsys.readouterr().out
    assert "2 of 7 events are the same; then they differ:" in out.replace(f"{len(events)}", "7")
    assert "What the model is asked has changed: the instructions." in out
    assert "quorate runs events run-1 --after 1" in out


async def test_two_runs_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """Marked by what changed, in columns, both answers below."""
    events = await record(build(call("look", name="a"), "it is fine"))
    found = await replay_modified(build(call("look", name="a"), "it is broken"), events)
    assert _show_modified(found, json=False) == 0
    out = capsys.readouterr().out
    assert "output 67% alike, steps 50% alike" in out
    assert "\x1b" not in out
    assert "! " in out
    assert "Recorded answer\nit is fine\nReplayed answer\nit is broken" in out
    lines = [words for _, words in _render_comparison(compare_runs(events, events))]
    assert not any(line.startswith(("!", "-", "+")) for line in lines)


async def test_a_replay_that_stopped_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """And which call was not made."""
    events = await record(build("done"))
    found = await replay_modified(build(call("look", name="z")), events, changes=Changes())
    assert _show_modified(found, json=False) == 1
    shown = capsys.readouterr()
    assert "Not called, as nothing like it was recorded: 1/tool/call-1-1" in shown.out
    assert "quorate: the replay stopped:" in shown.err


@pytest.mark.parametrize(
    ("words", "stops", "to_the_end"),
    [
        (["", "", ""], 3, True),
        (["s", "q"], 2, False),
        (["m", "u", "c"], 1, True),
        (["x", "c"], 1, True),
    ],
)
async def test_somebody_at_a_terminal_is_asked(
    words: list[str], stops: int, to_the_end: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Next stop, next event, messages, calls under way, to the end, quit; anything else asks again."""
    events = await record(build([call("look", name="a"), call("look", name="b")], call("look", name="c"), "done"))
    given = iter(words)
    monkeypatch.setattr("builtins.input", lambda _: next(given))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    async with open_replay(build(), events, breakpoints=Breakpoints(kinds=("tool.started",))) as stepper:
        assert await _look(stepper, began=events[0].time, json=False) is to_the_end
        if to_the_end:
            assert (await stepper.finish()).is_identical
    out = capsys.readouterr().out
    assert out.count("stopped (") == stops
    if "m" in words:
        assert "user: go" in out
        assert "1/tool/call-1-1" in out


def test_instructions_are_read_from_a_file(tmp_path: Path) -> None:
    """With `@`; a file that is not there is told."""
    (tmp_path / "prompt.md").write_text("Be brief.")
    assert _read_instructions(f"@{tmp_path}/prompt.md") == "Be brief."
    assert _read_instructions("Be long.") == "Be long."
    assert _read_instructions(None) is None
    with pytest.raises(InvalidInput, match=r"none\.md` cannot be read"):
        _read_instructions(f"@{tmp_path}/none.md")


@pytest.mark.parametrize("words", [["replay"], ["fork", "RUN"], ["diff", "RUN"]])
def test_a_command_without_what_it_needs_is_refused(words: list[str]) -> None:
    """Before anything is opened."""
    app = typer.Typer()
    group = typer.Typer()
    command.add_replay_commands(group)
    app.add_typer(group, name="runs")
    with contextlib.suppress(SystemExit):
        assert CliRunner().invoke(app, ["runs", *words]).exit_code == 2
