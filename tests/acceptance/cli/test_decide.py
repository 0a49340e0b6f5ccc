"""Can people decide with nothing but the command line, and stop and go on?"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

from tests.acceptance.cli.conftest import Run

QUORATE = Path(sys.executable).parent / "quorate"


def test_a_person_decides_and_anybody_checks_it(quorate: Run, project: Path) -> None:
    """Each step is a process of its own; `decisions verify` recomputes the winner from the ballots."""
    (project / "plan.toml").write_text('options = ["restart it", "wait"]\nrule = "unanimous"\nquorum = 1.0\n')
    begun = quorate("decide", "What now?", "--voter", "person:ada", "--file", "plan.toml")
    decision = next(word for word in begun.out.split() if word.startswith("dec-"))
    run = next(word for word in begun.out.split() if word.startswith("run-"))
    assert (begun.code, f"quorate decisions cast {decision} --choice OPTION --by ada" in begun.out) == (5, True)
    taken = quorate("decisions", "cast", decision, "--choice", "restart it", "--by", "ada", "--reason", "it hangs")
    assert (taken.code, f"quorate runs resume {run}" in taken.out) == (0, True)
    done = quorate("runs", "resume", run, "--json")
    assert (done.code, cast("dict[str, Any]", done.json["output"])["winner"]) == (0, "restart it")
    verified = quorate("decisions", "verify", decision)
    assert (verified.code, "restart it won" in verified.out) == (0, True)


def test_a_vote_that_is_stopped_can_be_gone_on_with(
    project: Path, silent_provider: tuple[str, threading.Event]
) -> None:
    """Ctrl-C lets it rest, and says how to go on."""
    with subprocess.Popen(
        [QUORATE, "decide", "Which?", "-o", "a", "-o", "b", "-v", "disk-watch", "--model", "openai:test"],
        cwd=project,
        env={**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": silent_provider[0]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert silent_provider[1].wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "quorate runs resume run-" in err
    assert ("It is open still." in out, "Decision dec-" in out) == (True, True)
