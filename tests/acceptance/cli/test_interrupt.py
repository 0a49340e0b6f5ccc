"""What does Ctrl-C do to a run?"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.forks import Process, fork

QUORATE = Path(sys.executable).parent / "quorate"


def start(project: Path, provider: tuple[str, threading.Event]) -> Process:
    """Begin a run whose model never answers, and wait until it was asked."""
    process = fork(
        [QUORATE, "run", "watch the disk", "--model", "openai:test"],
        cwd=project,
        env={**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": provider[0]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert provider[1].wait(60)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_lets_the_run_rest_and_says_how_to_go_on(
    quorate, project: Path, silent_provider: tuple[str, threading.Event], number: signal.Signals
) -> None:
    """At once, with the run's id, though nobody answers; what was recorded stays, and `runs resume` goes on. row: C17"""
    process = start(project, silent_provider)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)  # what the run waits for would last longer
    assert process.returncode == 130
    run = quorate("runs", "list", "--json").json[0]
    assert run["status"] == "waiting"
    assert f"quorate runs resume {run['run']}" in err
    assert run["run"] in out
    assert "Traceback" not in err
    resumed = quorate(
        "runs",
        "resume",
        run["run"],
        "--json",
        env={"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"},
    )
    assert resumed.code == 1
    kinds = quorate("runs", "show", run["run"], "--events").out
    assert "run.resumed" in kinds
    assert "run.failed" in kinds


def test_a_run_that_rests_can_be_cancelled(
    quorate, project: Path, silent_provider: tuple[str, threading.Event]
) -> None:
    """It ends at once, with the reason; then there is nothing to resume. row: C17"""
    process = start(project, silent_provider)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    run = quorate("runs", "list", "--json").json[0]["run"]
    assert f"quorate runs resume {run}" in quorate("runs", "show", run).out
    env = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": silent_provider[0]}
    done = quorate("runs", "cancel", run, "--reason", "not needed", env=env)
    assert (done.code, done.out) == (0, f"Run {run} is cancelled.\n")
    assert "not needed" in quorate("runs", "show", run, "--events").out
    assert "has ended" in quorate("runs", "resume", run).err


def test_a_run_of_another_process_can_be_cancelled(
    quorate, project: Path, silent_provider: tuple[str, threading.Event]
) -> None:
    """Whoever works on it ends it at the next chance. row: C17"""
    process = start(project, silent_provider)
    run = quorate("runs", "list", "--json").json[0]["run"]
    done = quorate("runs", "cancel", run)
    assert done.code == 0
    assert "was asked to stop" in done.out
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
