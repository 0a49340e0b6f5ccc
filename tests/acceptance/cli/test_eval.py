"""What does Ctrl-C do to an evaluation?"""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

QUORATE = Path(sys.executable).parent / "quorate"
CASES = """
[defaults]
agent = "disk-watch"

[[case]]
id = "first"
kind = "route"
agent = ""
request = "watch the disk"
expects = [{ grader = "route", agents = ["disk-watch"] }]

[[case]]
id = "second"
request = "watch the disk"
expects = [{ grader = "exact", equals = "x" }]
"""


def test_what_is_there_is_reported_and_the_rest_is_gone_on_with(
    quorate, project: Path, silent_provider: tuple[str, threading.Event]
) -> None:
    """Ctrl-C gives a partial report and its code; the run that was let go of rests, and `--resume` goes on with it."""
    (project / "cases.toml").write_text(CASES)
    env = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": silent_provider[0]}
    words = ["eval", "cases.toml", "--model", "openai:test", "--save", "a.jsonl", "--concurrency", "1"]
    process = subprocess.Popen(
        [QUORATE, *words, "--json"], cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert silent_provider[1].wait(60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    report = json.loads(out)
    assert report["is_partial"] is True
    assert [record["case"] for record in report["records"]] == ["first"]
    (resting,) = [run for run in quorate("runs", "list", "--json").json if run["status"] == "waiting"]
    away = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    done = quorate(*words, "--resume", "--json", env=away)
    assert done.code == 1
    assert {record["case"]: record["outcome"] for record in done.json["records"]} == {
        "first": "passed",
        "second": "error",
    }
    assert done.json["records"][1]["run"] == resting["run"]
