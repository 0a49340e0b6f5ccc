"""What does another program answer, or why does it not?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from quorate.tools.process import CommandMissing, CommandResult

MAX_REASON_CHARS = 500


class Run(Protocol):
    """What runs a program; `run_command`, or what a test or another machine puts in its place."""

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float, max_output_bytes: int = 1 << 20
    ) -> CommandResult:
        """Run it to its end, or to the end of its time.

        Raises:
            CommandMissing: It is not installed.
        """
        ...


class Answer(Struct, frozen=True, kw_only=True):
    """What a program printed, or why it did not."""

    output: str = ""
    warnings: str = ""
    """What it wrote beside its output."""
    reason: str = ""
    """Why there is no answer; empty when there is one."""


async def ask(run: Run, argv: Sequence[str], *, timeout_s: float, max_output_bytes: int) -> Answer:
    """Run a program and tell apart an answer, a refusal in its own words, silence, and its absence."""
    try:
        result = await run(argv, timeout_s=timeout_s, max_output_bytes=max_output_bytes)
    except CommandMissing as error:
        return Answer(reason=error.message)
    if result.timed_out:
        return Answer(reason=f"`{argv[0]}` did not answer within {timeout_s:g} s.")
    if result.returncode != 0:
        said = " ".join((result.stderr or result.stdout).split())[:MAX_REASON_CHARS]
        return Answer(reason=said or f"`{argv[0]}` ended with {result.returncode}.")
    return Answer(output=result.stdout, warnings=result.stderr)
