"""Does `make demo-fleet` show a fleet that loses a worker and no work, and clean up after itself?"""

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples/fleet/main.py"
SHORT = ("--runs", "12", "--step-s", "0.2", "--database", "fleet.db")
LONG = ("--runs", "60", "--step-s", "2", "--database", "fleet.db")
PROCESSES = re.compile(r"\(process (\d+)\)")
WITHIN_S = 200


@contextmanager
def start_demo(folder: Path, *options: str, stdout: int = subprocess.PIPE) -> Generator[subprocess.Popen[str]]:
    (folder / "tmp").mkdir()
    environment: Mapping[str, str] = os.environ | {"TMPDIR": str(folder / "tmp"), "TERM": "xterm", "COLUMNS": "110"}
    with subprocess.Popen(
        [sys.executable, DEMO, *options],
        cwd=folder,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            yield demo
        finally:
            demo.kill()


def wait_gone(pid: int) -> None:
    """Wait until a process that is no child of ours has ended."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            assert select.select([handle], [], [], WITHIN_S)[0], f"process {pid} is still there"
        finally:
            os.close(handle)


def read_until(lines: Iterable[str], words: str) -> str:
    said = ""
    for line in lines:
        said += line
        if words in said:
            return said
    raise AssertionError(f"it never said {words!r}:\n{said}")


def test_a_fleet_loses_a_worker_and_no_work(tmp_path: Path) -> None:
    """Without a terminal: a line for everything, exit 0, and the record's count; what it says to type next works."""
    with start_demo(tmp_path, *SHORT) as demo:
        said, complaints = demo.communicate(timeout=WITHIN_S)
    assert (demo.returncode, complaints) == (0, ""), said
    assert "\x1b" not in said
    assert "The record: 12 runs, 12 completed, 0 lost, 0 recorded steps repeated" in said
    killed = re.search(r"^ +\d+ ms  (worker \d)  is killed \(-9\) while it packs parcel", said, re.MULTILINE)
    assert killed, said
    taken = re.findall(
        r"^ +\d+ ms  (worker \d)  takes over parcel \d+ from (worker \d), [0-4] of 5", said, re.MULTILINE
    )
    assert any(taker != killed[1] == before for taker, before in taken), said
    for pid in PROCESSES.findall(said):
        wait_gone(int(pid))
    assert list((tmp_path / "tmp").iterdir()) == []
    line = next(line.strip() for line in said.splitlines() if "runs show" in line)
    database, *words = shlex.split(line)
    name, _, value = database.partition("=")
    shown = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "run.resumed" in shown.stdout


def test_a_terminal_shows_who_does_what(tmp_path: Path) -> None:
    """A table that moves; Ctrl-C ends every process, removes what was left, and the demo ends with 130."""
    ours, theirs = pty.openpty()
    with start_demo(tmp_path, *LONG, stdout=theirs) as demo, os.fdopen(ours, encoding="utf-8", newline="") as terminal:
        os.close(theirs)
        said = read_until(terminal, "4/4")
        assert "packs now" in said
        assert "0 of 60 parcels packed" in said
        demo.send_signal(signal.SIGINT)
        with suppress(OSError):  # the terminal is gone when nobody has its other end
            terminal.read()
        assert demo.stderr is not None
        assert demo.stderr.read() == "\nThe demo was stopped; everything it started is stopped too.\n"
        assert demo.wait(WITHIN_S) == 130
    for pid in PROCESSES.findall(said):
        wait_gone(int(pid))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_demo_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    """Even with -9: the broker and the workers end with it."""
    with start_demo(tmp_path, *LONG, "--plain") as demo:
        assert demo.stdout is not None
        said = read_until(demo.stdout, "takes parcel")
        demo.kill()
    pids = PROCESSES.findall(said)
    assert len(pids) == 4
    for pid in pids:
        wait_gone(int(pid))


@pytest.mark.parametrize("options", [("--runs", "3"), ("--runs", "x")])
def test_wrong_options_are_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    """With what is wrong."""
    with start_demo(tmp_path, *options) as demo:
        _, complaints = demo.communicate(timeout=WITHIN_S)
    assert demo.returncode == 2
    assert "--runs" in complaints
