"""Can runs be listed, answered and gone on with from the command line?"""

from pathlib import Path

import pytest

from quorate.agent.agent import Agent
from quorate.models.scripted import ScriptedModel, call
from quorate.state.backends.sqlite import open_sqlite_log
from quorate.tools import tool
from quorate.tools.toolsets import Approved


@tool(effect="unsafe")
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


async def ask(project: Path, *amounts: int) -> str:
    """Record a run that rests until somebody allows its payments; return its id."""
    calls = [call("pay", amount=amount) for amount in amounts]
    agent = Agent("asker", tools=[Approved(pay, lambda call: True)], model=ScriptedModel([calls]))
    async with open_sqlite_log(project / ".quorate/quorate.db") as log:
        result = await agent.run("Pay them.", log=log)
    assert result.status == "waiting"
    return result.run_id


async def test_a_question_is_shown_and_answered_once(quorate, project: Path) -> None:
    """The exact call is shown first; the answer is recorded with its reason, and a second one is refused. row: C17"""
    run = await ask(project, 5)
    shown = quorate("runs", "show", run)
    assert "waiting" in shown.out
    assert "It waits (approval) for:" in shown.out
    asked = quorate("runs", "decide", run)
    assert asked.code == 0
    assert '{"amount":5}' in asked.out
    assert f"quorate runs decide {run} 1/tool/" in asked.out
    answered = quorate("runs", "decide", run, "--approve", "--reason", "it is due", "--json")
    assert answered.json["approved"] is True
    assert answered.json["call"]["name"] == "pay"
    assert 'reason="it is due"' in quorate("runs", "show", run, "--events").out
    again = quorate("runs", "decide", run, "--reject")
    assert again.code == 2
    assert f"Run '{run}' asks nothing" in again.err


async def test_of_several_questions_one_is_named(quorate, project: Path) -> None:
    """Nothing is allowed by accident. row: C17"""
    run = await ask(project, 5, 6)
    vague = quorate("runs", "decide", run, "--approve")
    assert vague.code == 2
    assert "asks several things: name the one you answer, of 1/tool/" in vague.err
    key = vague.err.strip().rstrip(".").split(", ")[-1]
    assert quorate("runs", "decide", run, key, "--reject").out.startswith("Rejected.")
    assert quorate("runs", "decide", run, "--approve").out.startswith("Approved.")
    assert "asks nothing under '9/tool/x'" in quorate("runs", "decide", run, "9/tool/x", "--approve").err


@pytest.mark.parametrize("kept", [2, 4, 5, 6])
async def test_a_run_whose_process_died_is_finished(quorate, project: Path, kept: int) -> None:
    """After any of its first events; what was recorded is not done again. row: C17"""
    run = quorate("run", "watch the disk", "--json", "-q").json["run_id"]
    async with open_sqlite_log(project / ".quorate/quorate.db") as log:
        events = await log.read(run)
    async with open_sqlite_log(project / "half.db") as log:
        await log.append(run, events[:kept], expected=0)
    env = {"QUORATE_DATABASE": "half.db"}
    assert quorate("runs", "show", run, env=env).code == 0
    resumed = quorate("runs", "resume", run, env=env)
    assert resumed.code == 0
    assert "were measured" in resumed.out
    assert "✓ disk-watch" in resumed.err
    kinds = [line.split()[3] for line in quorate("runs", "events", run, env=env).out.splitlines()]
    assert kinds.count("run.resumed") == 1
    assert kinds.count("tool.finished") == 1
    assert kinds[-1] == "run.completed"


def test_lists_come_in_pages(quorate) -> None:
    """The newest first, with what to type for the older ones. row: C17"""
    assert "There are no such runs." in quorate("runs", "list").out
    runs = [quorate("run", "watch the disk", "--json", "-q").json["run_id"] for _ in range(3)]
    page = quorate("runs", "list", "--limit", "2")
    assert [line.split()[0] for line in page.out.splitlines()] == [runs[2], runs[1]]
    assert page.err == f"Further ones: the same with --before {runs[1]}\n"
    older = quorate("runs", "list", "--before", runs[1], "--status", "completed")
    assert [line.split()[0] for line in older.out.splitlines()] == [runs[0]]


def test_a_foreign_database_is_left_alone(quorate, project: Path) -> None:
    """One line says what is wrong with the file; it stays as it is."""
    (project / "other.db").write_bytes(b"not a database at all, but long enough to be one" * 100)
    before = (project / "other.db").read_bytes()
    done = quorate("runs", "list", env={"QUORATE_DATABASE": "other.db"})
    assert done.code in {2, 6}
    assert "other.db" in done.err
    assert len(done.err.splitlines()) == 1
    assert (project / "other.db").read_bytes() == before
