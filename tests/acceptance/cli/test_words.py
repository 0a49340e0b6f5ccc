"""Is what was typed wrongly answered with one line, a way out, and a code?"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

QUORATE = Path(sys.executable).parent / "quorate"
GROUPS = ("agents", "runs", "tools", "config")
COMMANDS = (
    ["run"], ["chat"], ["init"], ["doctor"],
    *(["agents", c] for c in ("list", "show", "find", "check")),
    *(["runs", c] for c in ("list", "show", "events", "resume", "replay", "cancel", "decide")),
    *(["tools", c] for c in ("list", "show", "call")),
    *(["config", c] for c in ("check", "show")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["agentz"], 2, "No such command 'agentz'. Did you mean 'agents'? See `quorate --help`."),
        (["runs", "lst"], 2, "No such command 'lst'. Did you mean 'list'? See `quorate runs --help`."),
        (["--bogus"], 2, "No such option: --bogus. See `quorate --help`."),
        (["run"], 2, "Missing argument 'TEXT'. See `quorate run --help`."),
        (["run", ""], 2, "The task is empty"),
        (["run", "x", "--agnt", "y"], 2, "No such option: --agnt (Possible options: --agent)"),
        (
            ["run", "watch the disk", "--agent", "disk-wach"],
            2,
            "There is no agent 'disk-wach'. Did you mean `disk-watch`?",
        ),
        (["run", "watch the disk", "--model", "gpt"], 2, "gpt"),
        (
            ["run", "watch the disk", "--model", "opnai:gpt"],
            2,
            "There is no model provider 'opnai'. Did you mean `openai`?",
        ),
        (["run", "watch the disk", "--limit", "stps=3"], 2, "There is no limit 'stps'. Did you mean `steps`?"),
        (["run", "watch the disk", "--limit", "steps=none"], 2, "'none' is not a number"),
        (["agents", "show", "disk-wach"], 2, "Did you mean `disk-watch`?"),
        (["tools", "show", "disk_usag"], 2, "There is no tool 'disk_usag'. Did you mean `disk_usage`?"),
        (["tools", "call", "disk_usage", "--arg", "x"], 2, "`--arg x` has no value"),
        (["runs", "list", "--status", "done"], 2, "There is no status 'done'."),
        (["runs", "list", "--limit", "0"], 2, "--limit"),
        (["runs", "show", "run-none"], 2, "There is no run 'run-none': list them with `quorate runs list`."),
        (["runs", "events", "run-none"], 2, "There is no run 'run-none'"),
        (["runs", "events", "run-none", "--follow"], 2, "There is no run 'run-none'"),
        (["runs", "resume", "run-none"], 2, "There is no run 'run-none'"),
        (["runs", "replay", "run-none"], 2, "There is no run 'run-none'"),
        (["runs", "cancel", "run-none"], 2, "There is no run 'run-none'"),
        (["runs", "decide", "run-none", "--approve"], 2, "There is no run 'run-none'"),
        (["config", "show", "--env", "prd"], 2, "there is no environment 'prd'; did you mean `prod`?"),
    ],
)
def test_a_wrong_word_is_one_line_and_a_code(quorate, words: list[str], code: int, said: str) -> None:
    """On standard error, with the nearest known word; nothing on standard output. row: C17"""
    done = quorate(*words)
    assert done.code == code
    assert done.out == ""
    assert said in done.err
    assert done.err.startswith("quorate: ")
    assert len(done.err.splitlines()) == (2 if words[0] == "config" else 1)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help(quorate, words: list[str]) -> None:
    """Usage, a sentence, and every option with a word of help. row: C17"""
    done = quorate(*words, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: quorate {' '.join(words)} [OPTIONS]")
    assert "\x1b" not in done.out
    described = [line for line in done.out.splitlines() if line.lstrip().startswith("--")]
    assert all(len(line.split()) > 2 for line in described)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], *([g] for g in GROUPS)], ids=" ".join)
def test_a_group_alone_shows_its_help(quorate, words: list[str]) -> None:
    """Typing half a command shows what may follow. row: C17"""
    done = quorate(*words)
    assert done.code == 0
    assert "Commands:" in done.out


def test_the_version_is_told(quorate) -> None:
    """One line."""
    done = quorate("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("quorate 0.")


def test_help_costs_less_than_three_starts_of_python() -> None:
    """`quorate --help` against `python -c pass`, by turns, in medians of what the processor had to do. row: C17"""
    timed: dict[str, list[float]] = {"bare": [], "help": []}
    commands = {"bare": [sys.executable, "-c", "pass"], "help": [str(QUORATE), "--help"]}
    for _ in range(11):
        for name, command in commands.items():
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            timed[name].append(used.ru_utime + used.ru_stime)
    bare, shown = statistics.median(timed["bare"]), statistics.median(timed["help"])
    assert shown <= 3 * bare, f"{shown * 1000:.0f} ms against {bare * 1000:.0f} ms"


def test_a_reader_that_leaves_is_no_error(quorate, project: Path) -> None:
    """`quorate … | head -0`: no traceback, no complaint."""
    for words in (["tools", "list", "--json"], ["--help"], ["config", "show"]):
        process = subprocess.Popen(
            [QUORATE, *words], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        assert process.wait(60) == 141
        assert said == ""


def test_a_terminal_without_unicode_is_served(quorate) -> None:
    """What its encoding cannot show is spelled out."""
    done = quorate("run", "watch the disk", env={"PYTHONIOENCODING": "ascii"})
    assert done.code == 0
    assert done.err.isascii()
    assert done.out.isascii()
