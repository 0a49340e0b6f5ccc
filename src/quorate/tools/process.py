"""How is another program run without a shell, within a time, and with a bounded output?"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Sequence

from msgspec import Struct

from quorate.errors import InvalidInput, QuorateError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for: fixed, so that nobody's `PATH` can put another one in their place."""
MAX_ARGUMENTS = 256
MAX_ARGUMENT_CHARACTERS = 4096
_CHUNK = 65_536


class CommandMissing(QuorateError):
    """A program is not installed on this machine."""

    code = "unavailable"


class CommandResult(Struct, frozen=True, kw_only=True):
    """How a program ended and what it wrote."""

    returncode: int
    """Its exit status; negative for the signal that ended it."""
    stdout: str
    stderr: str
    timed_out: bool = False
    truncated: bool = False
    """Whether it wrote more than was kept."""
    elapsed_ms: float = 0.0


def find_command(name: str) -> str | None:
    """Find a program's file, or `None` when it is not installed."""
    return shutil.which(name, path=SEARCH_PATH)


async def run_command(argv: Sequence[str], *, timeout_s: float, max_output_bytes: int = 1 << 20) -> CommandResult:
    """Run a program given as a list of words; nothing is interpreted by a shell.

    Its environment holds the search path and the C locale alone. When its time is over, or the caller is cancelled,
    it is killed with all that it started.

    Raises:
        CommandMissing: It is not installed.
        InvalidInput: A word has a NUL, is too long, or there are too many.
    """
    path = _check_words(argv)
    loop = asyncio.get_running_loop()
    began = loop.time()
    process = await asyncio.create_subprocess_exec(
        path,
        *argv[1:],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": SEARCH_PATH, "LC_ALL": "C", "LANG": "C"},
        start_new_session=True,
    )
    timed_out = False
    reading: list[asyncio.Task[bool]] = []
    out, err = bytearray(), bytearray()
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            reading = [
                group.create_task(_read(process.stdout, out, max_output_bytes)),
                group.create_task(_read(process.stderr, err, max_output_bytes)),
            ]
            group.create_task(_wait(process))
    except TimeoutError:
        timed_out = True
    finally:
        await _kill(process)
    return CommandResult(
        returncode=process.returncode if process.returncode is not None else -signal.SIGKILL,
        stdout=out.decode("utf-8", "replace"),
        stderr=err.decode("utf-8", "replace"),
        timed_out=timed_out,
        truncated=any(task.done() and not task.cancelled() and task.result() for task in reading),
        elapsed_ms=(loop.time() - began) * 1000,
    )


def _check_words(argv: Sequence[str]) -> str:
    if not argv or len(argv) > MAX_ARGUMENTS:
        raise InvalidInput(f"A command has 1 to {MAX_ARGUMENTS} words, not {len(argv)}.")
    for word in argv:
        if "\0" in word or len(word) > MAX_ARGUMENT_CHARACTERS:
            raise InvalidInput(f"{word[:80]!r} cannot be a word of a command: it has a NUL or is too long.")
    path = find_command(argv[0])
    if path is None:
        raise CommandMissing(f"`{argv[0]}` is not installed on this machine.", command=argv[0])
    return path


async def _read(stream: asyncio.StreamReader, kept: bytearray, most: int) -> bool:
    """Read to the end, keep at most so much, and tell whether there was more; a full pipe would stop the program."""
    more = False
    while chunk := await stream.read(_CHUNK):
        room = most - len(kept)
        kept += chunk[:room]
        more = more or len(chunk) > room
    return more


async def _wait(process: asyncio.subprocess.Process) -> None:
    await process.wait()


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
