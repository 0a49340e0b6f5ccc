"""Does `quorate serve` answer requests as it says, and leave as it should?"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.cli.conftest import QUORATE, SLOW, Run
from tests.forks import Process, fork

TASK = {"task": "watch the disk"}
PATIENCE_S = 90


@contextmanager
def serve(project: Path, *words: str) -> Iterator[tuple[Process, str]]:
    """Serve at any free port while a block lasts; give the process and its address."""
    env = {name: value for name, value in os.environ.items() if name != SLOW}
    command = [QUORATE, "serve", "--port", "0", "--json", *words]
    process = fork(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)["url"].removeprefix("http://")
    finally:
        process.kill()
        process.communicate()


def ask(
    place: str, method: str, path: str, *, body: object = None, key: str = "", **headers: str
) -> http.client.HTTPResponse:
    """Send a request on a connection of its own."""
    connection = http.client.HTTPConnection(place, timeout=PATIENCE_S)
    known = {"Authorization": f"Bearer {key}"} if key else {}
    kind = {"Content-Type": "application/json"} if body is not None else {}
    sent = json.dumps(body).encode() if body is not None else None
    connection.request(method, path, body=sent, headers={**known, **kind, **headers})
    return connection.getresponse()


def test_a_task_is_done_over_http(project: Path, quorate: Run) -> None:
    """With the key that a command made, whole and as a stream; SIGTERM ends it in order. part of rows B11 and B13"""
    with serve(project) as (process, place):
        assert ask(place, "POST", "/v1/runs", body=TASK).status == 401
        key = quorate("keys", "create", "--role", "operator").out.strip()
        done = json.loads(ask(place, "POST", "/v1/runs?wait=60", body=TASK, key=key).read())
        assert (done["status"], done["agent"]) == ("completed", "disk-watch")
        streamed = ask(place, "POST", "/v1/runs", body=TASK, key=key, Accept="text/event-stream").read().decode()
        assert re.findall(r"^event: (run\..*)$", streamed, re.MULTILINE) == [
            "run.created", "run.started", "run.completed",
        ]  # fmt: skip
        assert ask(place, "GET", "/readyz").status == 200
        follow = socket.create_connection((place.rpartition(":")[0], int(place.rpartition(":")[2])))
        process.send_signal(signal.SIGTERM)
        until_drained(place)
        assert ask(place, "GET", "/v1/runs", key=key).status == 200  # who does not know yet is still answered
        follow.close()
        assert process.wait(PATIENCE_S) == 0


def test_a_key_ends_everywhere(project: Path, quorate: Run) -> None:
    """It is rotated and revoked by one process, and refused by another; by nobody else's word. part of row C12"""
    with serve(project) as (_, place):
        made = quorate("keys", "create", "--role", "viewer", "--json").json
        key, text = str(made["id"]), str(made["text"])
        assert ask(place, "GET", "/v1/runs", key=text).status == 200
        assert ask(place, "POST", "/v1/runs", body=TASK, key=text).status == 403
        assert quorate("keys", "revoke", key, "--tenant", "globex", "--yes").code != 0
        assert ask(place, "GET", "/v1/runs", key=text).status == 200
        new = quorate("keys", "rotate", key, "--json").json
        assert quorate("keys", "revoke", key, "--yes").code == 0
        end = time.monotonic() + PATIENCE_S
        while ask(place, "GET", "/v1/runs", key=text).status != 401:
            assert time.monotonic() < end
        assert ask(place, "GET", "/v1/runs", key=str(new["text"])).status == 200
        listed = quorate("keys", "list")
        assert "revoked" in listed.out
        assert text[20:] not in listed.out


def until_drained(place: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while ask(place, "GET", "/readyz").status != 503:
        assert time.monotonic() < end


def test_what_cannot_be_listened_at_is_said(project: Path, quorate: Run) -> None:
    """Each with the way out, and without a stack. part of row B11"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for words, said in (
            (("--port", str(taken.getsockname()[1])), "it is taken"),
            (("--host", "203.0.113.1"), "no address of this machine"),
            (("--host", "0.0.0.0", "--open"), "lets in everybody"),
        ):
            refused = quorate("serve", *words)
            assert refused.code != 0
            assert said in refused.err
            assert "Traceback" not in refused.err
