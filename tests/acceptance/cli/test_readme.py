"""Does the server answer on a fresh machine what the README shows, word for word?"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.acceptance.cli.conftest import SLOW

README = Path(__file__).parents[3] / "README.md"
PORT = "8080"
"""The one in the README; here any that is free takes its place, and nothing else is changed."""
PATIENCE_S = 90


@pytest.fixture(scope="module")
def blocks() -> list[tuple[str, str]]:
    """The section's blocks: each with its language."""
    section = README.read_text(encoding="utf-8").partition("## Reach it over HTTP")[2].partition("\n## ")[0]
    return re.findall(r"```(\w+)[^\n]*\n(.*?)```", section, re.DOTALL)


def read_commands(text: str) -> str:
    """Write a console block as the script that somebody types."""
    return "\n".join(line.removeprefix("$ ") for line in text.splitlines())


@pytest.fixture
def fresh(tmp_path: Path) -> tuple[Path, dict[str, str], str]:
    """A machine on which nothing was done yet: a folder, its environment and a free port."""
    folder = tmp_path / "quorate"
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {name: value for name, value in os.environ.items() if name != SLOW}
    return folder, {**env, "QUORATE_SERVER__PORT": port}, port


def run(script: str, folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=env, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def until_ready(url: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=PATIENCE_S) as answer:
                assert answer.status == 200
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end


def test_the_three_ways_answer_a_real_diagnosis(
    blocks: list[tuple[str, str]], fresh: tuple[Path, dict[str, str], str]
) -> None:
    """Over curl, as a stream, and with OpenAI's own client; by a playbook that measures. part of rows B11 and B12"""
    folder, env, port = fresh
    [(_, begin), (_, ask), (language, program)] = blocks
    assert language == "python"
    begin, ask, program = (text.replace(f":{PORT}", f":{port}") for text in (begin, ask, program))
    process = subprocess.Popen(
        ["bash", "-c", f"exec {read_commands(begin).partition('#')[0]}"], cwd=folder, env=env, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        until_ready(url, process)
        commands = read_commands(ask)
        script = f"{commands}\ncat > ask.py <<'END'\n{program}END\necho\n.venv/bin/python ask.py"
        out = run(script, folder, env)
        process.send_signal(signal.SIGINT)
        said, failed = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, failed
    finally:
        process.kill()
        process.communicate()
    run_view, _ = json.JSONDecoder().raw_decode(out)
    assert (run_view["status"], run_view["agent"]) == ("completed", "network-diagnostics")
    assert "Connection refused: 127.0.0.1:9" in run_view["output"]
    out = out.replace("}id: 1\n", "}\nid: 1\n", 1)  # an answer ends without a line's end
    frames = re.findall(r"^id: (\d+)\nevent: (\S+)\ndata: (.*)\n", out, re.MULTILINE)
    assert [place for place, _, _ in frames] == [str(number) for number in range(1, len(frames) + 1)]
    assert frames[-1][1] == "run.completed"
    started = " ".join(data for _, kind, data in frames if kind == "tool.started")
    assert "tcp_connect" in started
    assert "http_timing" in started
    assert "Connection refused: 127.0.0.1:9" in out.rpartition("event: run.completed")[2].partition("\n\n")[2]
    for words in (url, "docs/how-to/serve.md", "/schema/openapi.json", "quorate keys create", "/openai/v1", "curl"):
        assert words in said + failed, words
