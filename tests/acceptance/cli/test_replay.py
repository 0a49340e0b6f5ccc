"""Do `quorate runs replay`, `fork` and `diff` do what they say, with no network at all?"""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from tests.acceptance.cli.conftest import QUORATE, Done

from quorate.agent.agent import Agent
from quorate.codec.json import encode
from quorate.models.scripted import ScriptedModel, call
from quorate.state.backends.sqlite import open_sqlite_log
from quorate.testing.recorded import load_recording
from quorate.tools import tool

NO_SOCKETS = """
import socket


class Forbidden(socket.socket):
    def __init__(self, family=-1, *rest, **named):
        if family not in (-1, socket.AF_UNIX) or (family == -1 and named.get("fileno") is None):
            raise PermissionError("no socket may be made here")
        super().__init__(family, *rest, **named)


socket.socket = Forbidden
"""


def replay_without_network(project: Path, tmp_path: Path, *words: str) -> Done:
    """Type a command where no socket to anywhere can be made, and no interface is there where that can be had."""
    (tmp_path / "bare").mkdir(exist_ok=True)
    (tmp_path / "bare/sitecustomize.py").write_text(NO_SOCKETS, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "bare")}
    probe = ["unshare", "-n", "true"]
    can_unshare = shutil.which("unshare") and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    command = [*(probe[:2] if can_unshare else []), QUORATE, *words]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=60, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_network_is_really_gone(quorate, tmp_path: Path, project: Path) -> None:
    """Otherwise the next test shows nothing: a port that is open here is not reached there."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        ports = f"ports=[{server.getsockname()[1]}]"
        words = ("tools", "call", "tcp_connect", "--arg", "host=127.0.0.1", "--arg", ports)
        assert '"open"' in quorate(*words, "--json").out
        assert '"open"' not in replay_without_network(project, tmp_path, *words, "--json").out


def test_a_run_replays_without_any_network(quorate, project: Path, tmp_path: Path) -> None:
    """The diagnosis of a network, played again without one: the same log to the byte. row: C14 E13"""
    made = quorate("run", "--agent", "network-diagnostics", "why can't I reach http://127.0.0.1:9?", "--json").json
    run = made["run_id"]
    recorded = quorate("runs", "events", run, "--json").out
    again = replay_without_network(project, tmp_path, "runs", "replay", run, "--json", "--strict")
    assert again.code == 0, again.err
    assert (again.json["identical"], again.json["divergence"]) == (True, None)
    assert again.json["output"] == made["output"]
    words = replay_without_network(project, tmp_path, "runs", "replay", run)
    assert f"Replayed {run} offline: {made['events']} events, the same to the byte." in words.out

    saved = replay_without_network(project, tmp_path, "runs", "replay", run, "--save", "run.jsonl")
    assert saved.code == 0, saved.err
    assert "check_replay" in saved.out
    kept = [json.loads(encode(event)) for event in load_recording(project / "run.jsonl").events]
    assert kept == [json.loads(line) for line in recorded.splitlines()]
    assert replay_without_network(project, tmp_path, "runs", "replay", "run.jsonl").code == 0
    assert quorate("runs", "replay", run, "--save", "run.jsonl").code == 2
    assert quorate("runs", "replay", run, "--save", "run.jsonl", "--force").code == 0
    assert quorate("runs", "events", run, "--json").out == recorded


def test_a_changed_prompt_shows_where_it_diverged(quorate, project: Path) -> None:
    """The step, the field, and what of the question changed; exit code 1. row: C14 E13"""
    run = quorate("run", "watch the disk", "--json", "-q").json["run_id"]
    assert quorate("runs", "replay", run).code == 0
    file = project / "agents/disk-watch.md"
    file.write_text(file.read_text().replace("You watch disks.", "You watch disks closely."), encoding="utf-8")
    changed = quorate("runs", "replay", run)
    assert changed.code == 1
    assert "1/model" in changed.out
    assert "What the model is asked has changed: the instructions." in changed.out
    document = quorate("runs", "replay", run, "--json")
    assert document.code == 1
    assert document.json["identical"] is False
    assert document.json["divergence"]["key"] == "1/model"
    strict = quorate("runs", "replay", run, "--strict")
    assert strict.code == 1
    assert "the instructions" in strict.err


def test_a_modified_replay_sets_both_runs_side_by_side(quorate) -> None:
    """Other instructions, the same recorded results: nothing is measured anew. row: E13"""
    run = quorate("run", "watch the disk", "--json", "-q").json["run_id"]
    done = quorate("runs", "replay", run, "--instructions", "Be brief.", "--json")
    assert done.code == 0, done.err
    assert (done.json["output_similarity"], done.json["step_similarity"], done.json["live"]) == (1.0, 1.0, [])
    words = quorate("runs", "replay", run, "--modified").out
    assert "output 100% alike, steps 100% alike" in words
    without = quorate("runs", "replay", run, "--without-tool", "disk_usage", "--refuse", "--json")
    assert without.json["step_similarity"] < 1
    assert "exclude" in quorate("runs", "fork", run, "--at", "3", "--reply", "a", "--text", "b").err
    assert quorate("runs", "replay", run, "--modified", "--exact").code == 2
    assert quorate("runs", "replay", run, "--without-tool", "disk_use").err.count("Did you mean `disk_usage`?") == 1


def test_a_replay_stops_at_breakpoints(quorate) -> None:
    """As one document for each stop, and in words. row: E13"""
    run = quorate("run", "watch the disk", "--json", "-q").json["run_id"]
    lines = quorate("runs", "replay", run, "--break-on", "tool.started", "--json").out.splitlines()
    stop = json.loads(lines[0])
    assert (stop["stopped"], stop["event"]["kind"], stop["under_way"]) == (
        "kind tool.started",
        "tool.started",
        ["1/tool/disks"],
    )
    assert json.loads("\n".join(lines[1:]))["identical"] is True
    assert "stopped (event 3): running, turn 1" in quorate("runs", "replay", run, "--break-on", "3").out
    assert "Did you mean `tool.started`?" in quorate("runs", "replay", run, "--break-on", "tool.start").err


def test_a_run_is_forked_and_set_beside_the_old_one(quorate) -> None:
    """From any event, live, as a run of its own. row: E13"""
    run = quorate("run", "watch the disk", "--json", "-q").json["run_id"]
    rested = quorate("runs", "fork", run, "--at", "4", "--rest", "--json").json
    assert (rested["forked_from"], rested["at"], rested["status"]) == (run, 4, "waiting")
    assert quorate("runs", "resume", rested["run_id"], "-q").code == 0
    went = quorate("runs", "fork", run, "--at", "4", "--json", "-q")
    assert went.code == 0, went.err
    new = went.json["run_id"]
    assert quorate("runs", "replay", new).code == 0
    found = quorate("runs", "diff", run, new, "--json").json
    assert found["recorded"]["run"] == run
    assert found["replayed"]["run"] == new
    assert "steps" in quorate("runs", "diff", run, run).out
    assert quorate("runs", "diff", run, run).code == 0
    events = [json.loads(line) for line in quorate("runs", "events", run, "--json").out.splitlines()]
    result = next(event["seq"] for event in events if event["kind"] == "tool.finished")
    other = quorate("runs", "fork", run, "--at", str(result), "--result", '{"mounts":[]}', "--json", "-q")
    assert other.code in (0, 1)
    stepped = quorate("runs", "fork", run, "--at", "4", "--break-on", "tool.finished", "--json")
    assert json.loads(stepped.out.splitlines()[0])["event"]["kind"] == "tool.finished"
    assert quorate("runs", "fork", run, "--at", "99").code == 2
    wrong = quorate("runs", "fork", run, "--at", "1", "--reply", "x")
    assert wrong.code == 2
    assert "can be changed at a `model.replied` only" in wrong.err


async def test_secrets_are_kept_out_of_a_fixture(quorate, project: Path) -> None:
    """They are refused, or replaced by stars. row: C14"""

    @tool(effect="idempotent")
    async def disk_usage(path: str) -> str:
        """Look."""
        return "fine"

    key = "sk-" + "a1B2" * 10
    script = [call("disk_usage", path=key), "done"]
    agent = Agent("disk-watch", tools=[disk_usage], model=ScriptedModel(script))
    async with open_sqlite_log(project / ".quorate/quorate.db") as log:
        run = (await agent.run(f"use {key}", log=log)).run_id
    assert key in quorate("runs", "show", run, "--events").out
    assert quorate("runs", "replay", run, "--save", "x.jsonl").code != 0  # it was another agent's run
    assert not (project / "x.jsonl").exists()


@pytest.mark.parametrize(
    "words", [["replay", "run-none"], ["fork", "run-none", "--at", "1"], ["diff", "run-none", "x"]]
)
def test_a_run_that_is_not_there_is_told(quorate, words: list[str]) -> None:
    """In one line, with exit code 2."""
    done = quorate("runs", *words)
    assert done.code == 2
    assert "There is no run 'run-none'" in done.err
    assert "recording 'none.jsonl' cannot be read" in quorate("runs", "replay", "none.jsonl").err
