"""Does `quorate run` do a task, show it, record it, and tell it in both forms?"""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

QUORATE = Path(sys.executable).parent / "quorate"


def test_the_report_is_for_people(quorate) -> None:
    """What was found, what to do, the run's id and what to type next; progress goes to standard error. row: C17"""
    done = quorate("run", "watch the disk")
    assert done.code == 0
    assert "disk-watch: completed in" in done.out
    assert "INFO      The [bold]disks[/bold] were measured" in done.out
    assert "  1. Look again tomorrow." in done.out
    run = re.findall(r"^Run (run-\w+)$", done.out, re.MULTILINE)[0]
    assert f"quorate runs show {run} --events" in done.out
    assert f"disk-watch  {run}" in done.err
    assert "→ disk_usage()" in done.err
    assert "✓ disk_usage()" in done.err
    assert "\x1b" not in done.out + done.err


def test_the_document_is_for_programs(quorate) -> None:
    """One JSON document: id, status, agent, route with its reason, typed answer, what it used. row: C17"""
    done = quorate("run", "watch the disk", "--json", "--quiet", "--session", "night", "--limit", "seconds=30")
    document = done.json
    assert done.code == 0
    assert done.err == ""
    assert document["status"] == "completed"
    assert document["agent"] == "disk-watch"
    assert document["route"]["agent"] == "disk-watch"
    assert document["route"]["reason"]
    assert document["output"]["findings"][0]["severity"] == "info"
    assert document["usage"]["tool_calls"] == 1
    assert document["cost_usd"] == 0
    assert 0 < document["elapsed_s"] < 30
    shown = quorate("runs", "show", document["run_id"], "--json").json["run"]
    assert shown["session"] == "night"
    assert shown["status"] == "completed"


def test_a_run_can_be_read_back(quorate) -> None:
    """`runs list`, `show`, `show --events`, `events`, `replay` tell the same run. row: C17"""
    run = quorate("run", "watch the disk", "--json", "-q").json["run_id"]
    assert run in quorate("runs", "list").out
    assert quorate("runs", "list", "--json").json[0]["run"] == run
    assert quorate("runs", "list", "--agent", "nobody", "--json").json == []
    assert "INFO      The [bold]disks[/bold] were measured" in quorate("runs", "show", run).out
    lines = quorate("runs", "show", run, "--events").out
    assert "tool.finished       1/tool/disks  disk_usage → {" in lines
    events = [json.loads(line) for line in quorate("runs", "events", run, "--json", "--follow").out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["kind"] == "run.completed"
    after = quorate("runs", "events", run, "--json", "--after", "2").out.splitlines()
    assert len(after) == len(events) - 2
    replayed = quorate("runs", "replay", run, "--json")
    assert replayed.code == 0
    assert replayed.json["output"]["summary"]
    for words in (["resume", run], ["cancel", run]):
        assert "has ended" in quorate("runs", *words).err


def test_the_main_example_gives_measured_facts(quorate) -> None:
    """A refused port is found with its timing, and the log tells the same. row: C17"""
    done = quorate("run", "--agent", "network-diagnostics", "why can't I reach http://127.0.0.1:9?", "--json")
    assert done.code == 0
    document = done.json
    assert document["status"] == "completed"
    assert document["agent"] == "network-diagnostics"
    assert document["output"]["applies"]
    facts = [fact["fact"] for finding in document["output"]["findings"] for fact in finding["evidence"]]
    assert any("refused" in fact and "127.0.0.1" in fact and "ms" in fact for fact in facts)
    shown = quorate("runs", "show", document["run_id"], "--events").out
    assert any(fact in shown for fact in facts if "refused" in fact)
    assert "tool.finished" in shown


def test_a_limit_that_is_met_is_no_success(quorate, silent_provider: tuple[str, object]) -> None:
    """`incomplete`, exit code 4, and what to type to give it more. row: C17"""
    env = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": silent_provider[0]}
    words = ["run", "watch the disk", "--model", "openai:test", "--limit", "seconds=1"]
    done = quorate(*words, env=env)
    assert done.code == 4
    assert "disk-watch: incomplete in" in done.out
    assert "--limit seconds=600" in done.out
    document = quorate(*words, "--json", env=env)
    assert document.code == 4
    assert document.json["status"] == "incomplete"
    assert document.json["output"] is None
    assert document.json["reason"]


def test_a_run_that_fails_says_why(quorate) -> None:
    """One line with the error's code and where to look; a document too, where one was asked for. row: C17"""
    env = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    done = quorate("run", "watch the disk", "--model", "openai:test", "-q", "--json", "--limit", "seconds=90", env=env)
    assert done.code == 1
    assert done.json["status"] == "failed"
    assert done.json["error"]["code"] == "upstream_error"
    assert len(done.err.splitlines()) == 1
    assert f"quorate runs show {done.json['run_id']} --events" in done.err
    assert "failed" in quorate("runs", "show", str(done.json["run_id"])).out


def test_a_missing_key_is_named(quorate) -> None:
    """Not a stack of errors: the variable to set. row: C17"""
    done = quorate("run", "watch the disk", "--model", "openai:test", "-q")
    assert done.code != 0
    assert "set `OPENAI_API_KEY`" in done.err
    assert len(done.err.splitlines()) == 1


def test_the_task_may_come_from_standard_input(quorate) -> None:
    """`-` reads it."""
    assert quorate("run", "-", stdin="watch the disk\n").code == 0
    assert "The task is empty" in quorate("run", "-").err


def test_a_task_that_is_no_text_is_recorded_all_the_same(quorate, project: Path) -> None:
    """Bytes of the command line need not be UTF-8."""
    done = subprocess.run(
        [QUORATE, b"run", b"watch the disk \xff\x1b[2J", b"-q"],
        cwd=project,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed = quorate("runs", "list").out
    assert "\\x1b[2J" in listed
    assert "\x1b" not in listed


def test_chat_remembers_what_was_said(quorate) -> None:
    """Each line is a run of one session, and knows the ones before it; `/new` begins another one. row: C17"""
    words = "watch the disk\n\n/help\nand again\n/new\nonce more\n/exit\nnever\n"
    done = quorate("chat", "--agent", "disk-watch", "-q", stdin=words)
    assert done.code == 0
    assert done.out.count("The [bold]disks[/bold] were measured") == 3
    third, second, first = quorate("runs", "list", "--json").json
    assert first["session"] == second["session"] != third["session"]
    created = quorate("runs", "show", second["run"], "--events", "--json").json["events"][0]
    assert created["previous"] == first["run"]
    assert len(created["messages"]) == 1


def test_chat_goes_on_after_a_bad_line(quorate) -> None:
    """A wrong name costs one line, not the conversation."""
    done = quorate("chat", "-q", stdin="/agent nobody\nwatch the disk\n/agent\nwatch the disk\n")
    assert done.code == 0
    assert "There is no agent 'nobody'" in done.err
    assert "were measured" in done.out


def test_on_a_terminal_progress_is_a_tree(project: Path) -> None:
    """The tree moves on standard error; the report follows on standard output. row: C17"""
    here, there = pty.openpty()
    process = subprocess.Popen(
        [QUORATE, "run", "watch the disk"],
        cwd=project,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=there,
        stdin=there,
    )
    os.close(there)
    seen = bytearray()
    try:
        while chunk := os.read(here, 4096):
            seen += chunk
    except OSError:
        pass  # the other side was closed
    os.close(here)
    out, _ = process.communicate(timeout=60)
    shown = seen.decode()
    assert process.returncode == 0
    assert "└── " in shown
    assert "disk_usage()" in shown
    assert "\x1b[" in shown
    assert b"\x1b" not in out


def test_logging_goes_where_the_settings_say(quorate) -> None:
    """To standard error, as much as `log_level` asks for; by default only what needs attention. row: C6"""
    assert quorate("run", "watch the disk", "-q").err == ""
    assert "DEBUG asyncio" in quorate("run", "watch the disk", "-q", env={"QUORATE_LOG_LEVEL": "debug"}).err
