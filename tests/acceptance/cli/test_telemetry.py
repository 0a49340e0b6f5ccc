"""Is what commands and workers do shown where the settings say?"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

from tests.acceptance.cli.conftest import QUORATE, Run
from tests.integration.telemetry.receivers import http_receiver, read_attributes

TASK = "watch the disk"


async def test_a_run_is_one_trace_over_two_processes(quorate: Run) -> None:
    """One process takes the task and another one does it: one tree, whose root is the run. part of row A8"""
    async with http_receiver() as received:
        env = {"QUORATE_TELEMETRY__ENDPOINT": received.url}
        queued = await asyncio.to_thread(quorate, "run", TASK, "--detach", "--json", env=env)
        assert not received.spans
        await asyncio.to_thread(quorate, "worker", "--until-idle", env=env)
        [root] = [span for span in received.spans if not span.parent_span_id]
        assert root.trace_id.hex() == str(queued.json["run_id"]).removeprefix("run-")
        assert {span.trace_id for span in received.spans} == {root.trace_id}
        assert {span.name for span in received.spans} >= {"chat playbook", "execute_tool disk_usage"}
        assert read_attributes(root.attributes)["quorate.outcome"] == "completed"


def test_a_trace_is_drawn_from_the_record(quorate: Run) -> None:
    """Without any receiver, and long after: each step under what it happened in, with its time."""
    run = str(quorate("run", TASK, "--json").json["run_id"])
    shown = quorate("runs", "trace", run)
    assert shown.code == 0, shown.err
    head, root, *rest = shown.out.splitlines()
    assert head == f"Trace {run.removeprefix('run-')}"
    assert root.startswith("invoke_agent disk-watch")
    assert [line.split("  ")[1] for line in rest] == ["chat playbook", "execute_tool disk_usage", "chat playbook"]
    spans = json.loads(quorate("runs", "trace", run, "--json").out)
    assert {span["context"]["trace_id"] for span in spans} == {run.removeprefix("run-")}
    assert "watch the disk" not in json.dumps(spans)
    assert "watch the disk" in quorate("runs", "trace", run, "--json", "--content").out
    missing = quorate("runs", "trace", "run-nowhere")
    assert (missing.code, missing.out) == (2, "")


def test_a_worker_is_scraped(project: Path, quorate: Run) -> None:
    """What Prometheus reads is what has happened until then. part of row A9"""
    env = {**os.environ, "QUORATE_TELEMETRY__METRICS": "127.0.0.1:0", "QUORATE_LOG_LEVEL": "info"}
    for _ in range(2):
        assert quorate("run", TASK, "--detach").code == 0
    worker = subprocess.Popen(
        [QUORATE, "worker", "--json"], cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert worker.stdout is not None
        assert worker.stderr is not None
        url = next(found[0] for line in worker.stderr if (found := re.search(r"http://127\S+/metrics", line)))
        ended = 0
        while ended < 2:
            ended += json.loads(worker.stdout.readline())["what"] == "ended"
        with urllib.request.urlopen(url, timeout=100) as answer:
            text = answer.read().decode()
        assert re.search(r'quorate_runs_total\{.*quorate_outcome="completed".*\} 2\.0', text)
        assert re.search(r"gen_ai_execute_tool_duration_seconds_count\{.*disk_usage.*\} 2\.0", text)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=120)


def test_what_is_set_wrongly_is_said(quorate: Run) -> None:
    """Each with the way out; nothing is begun."""
    for name, value, words in (
        ("ENDPOINT", "localhost:4318", "begin it with `http://`"),
        ("METRICS", "0.0.0.0:9464", "use a loopback address"),
        ("METRICS", "9464", "write a host and a port"),
        ("HEADERS", "hunter2hunter2", "name=value,name=value"),
        ("SHARE", "2", "share"),
    ):
        env = {f"QUORATE_TELEMETRY__{name}": value, "QUORATE_TELEMETRY__CONSOLE": "true"}
        refused = quorate("run", TASK, env=env)
        assert refused.code in {2, 7}, refused
        assert words in refused.err
        assert "hunter2" not in refused.err
    assert quorate("runs", "list", "--json").json == []


def test_logs_are_lines_of_json(quorate: Run) -> None:
    """part of row A10"""
    env = {"QUORATE_LOG_FORMAT": "json", "QUORATE_LOG_LEVEL": "debug"}
    done = quorate("run", TASK, "--quiet", env=env)
    lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    assert lines
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
