"""Programs run without a shell, within their time, with a bounded output, and leave nobody behind."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from quorate.errors import InvalidInput
from quorate.tools.process import CommandMissing, find_command, run_command


def write_program(folder: Path, body: str) -> str:
    path = folder / "program"
    path.write_text(f"#!{sys.executable}\nimport os, subprocess, sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


def is_alive(pid: int) -> bool:
    """A process that has ended but is not collected yet is dead too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def wait_for_text(path: Path) -> str:
    async with asyncio.timeout(30):
        while not (path.exists() and path.read_text().strip()):
            await asyncio.sleep(0.01)
    return path.read_text()


async def wait_until_dead(pid: int) -> None:
    async with asyncio.timeout(30):
        while is_alive(pid):
            await asyncio.sleep(0.01)


LEAVE_A_CHILD = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1] + ".part", "w") as out:
    out.write(str(child.pid))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""


LEAVE_A_CHILD_QUICKLY = """#!/bin/sh
sleep 600 &
echo $! > "$1.part"
mv "$1.part" "$1"
sleep 600
"""
"""The same in next to no time, where time is what ends it."""


async def test_words_reach_the_program_as_they_are(tmp_path: Path) -> None:
    program = write_program(tmp_path, "print(sys.argv[1:]); sys.exit(3)")
    result = await run_command([program, "; rm -rf /", "$(id)", "a b"], timeout_s=60)
    assert (result.returncode, result.timed_out, result.truncated) == (3, False, False)
    assert result.stdout == "['; rm -rf /', '$(id)', 'a b']\n"
    assert result.elapsed_ms > 0


async def test_secrets_of_the_environment_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "x")
    program = write_program(tmp_path, "print(sorted(os.environ))")
    assert "SOME_SECRET" not in (await run_command([program], timeout_s=60)).stdout


async def test_more_output_than_allowed_is_cut_and_the_program_still_ends(tmp_path: Path) -> None:
    program = write_program(tmp_path, "sys.stdout.write('x' * 3_000_000); sys.stderr.write('e')")
    result = await run_command([program], timeout_s=60, max_output_bytes=1000)
    assert (result.returncode, result.stdout, result.stderr, result.truncated) == (0, "x" * 1000, "e", True)


async def test_the_end_of_its_time_ends_the_program_and_its_children(tmp_path: Path) -> None:
    program, note = tmp_path / "program", tmp_path / "child"
    program.write_text(LEAVE_A_CHILD_QUICKLY)
    program.chmod(0o755)
    result = await run_command([str(program), str(note)], timeout_s=3)
    assert result.timed_out
    assert result.returncode < 0
    assert 2900 < result.elapsed_ms < 60_000
    await wait_until_dead(int(note.read_text()))


async def test_cancelling_ends_the_program_and_its_children(tmp_path: Path) -> None:
    program, note = write_program(tmp_path, LEAVE_A_CHILD), tmp_path / "child"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_command([program, str(note)], timeout_s=600))
        child = int(await wait_for_text(note))
        assert is_alive(child)
        task.cancel()
    assert task.cancelled()
    await wait_until_dead(child)


async def test_a_missing_program_is_named() -> None:
    with pytest.raises(CommandMissing, match="`no-such-program` is not installed"):
        await run_command(["no-such-program"], timeout_s=1)


async def test_the_search_path_is_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path, "print('planted')")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_command("program") is None


@pytest.mark.parametrize("argv", [[], ["ls", "a\0b"], ["ls", "x" * 5000], ["ls"] * 300])
async def test_words_that_no_program_can_take_are_refused(argv: list[str]) -> None:
    with pytest.raises(InvalidInput):
        await run_command(argv, timeout_s=1)
