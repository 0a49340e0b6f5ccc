"""Which tools let an agent find out from logs what happened?"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from quorate.tools.builtin.files.pattern import PatternKind
from quorate.tools.builtin.infra.ask import Run
from quorate.tools.builtin.logs.access import AccessReport, sum_up_access
from quorate.tools.builtin.logs.journal import JournalReport, read_journal
from quorate.tools.builtin.logs.line import Level
from quorate.tools.builtin.logs.report import LogReport, read_report
from quorate.tools.builtin.logs.search import LogMatches, search_entries
from quorate.tools.define import Tool, tool
from quorate.tools.process import run_command
from quorate.tools.workspace import Workspace

__all__ = ["log_tools"]

Path = Annotated[str, Meta(max_length=4096, description="A log in the workspace, such as `logs/app.log`, or `.gz`.")]
Pattern = Annotated[str, Meta(min_length=1, max_length=500, description="What to look for.")]
Unit = Annotated[
    str, Meta(pattern=r"^(?:[A-Za-z0-9_][A-Za-z0-9@._:-]{0,199})?$", description="A unit such as `nginx.service`.")
]
Most = Annotated[int, Meta(ge=1, le=100, description="How many templates and stack traces to report.")]


def log_tools(workspace: Workspace, *, run: Run = run_command) -> list[Tool[..., Any]]:
    """Build the tools over the logs in one workspace, and over the journal of this machine."""

    @tool(effect="idempotent", timeout_s=60)
    def analyze_log(path: Path, most: Most = 10) -> LogReport:
        """Sum up a log of any size: levels, rates, bursts, gaps, kinds of messages, stack traces."""
        return read_report(workspace, path, most=most, seconds=50)

    @tool(effect="idempotent", timeout_s=30)
    def search_log(
        path: Path,
        pattern: Pattern,
        *,
        kind: PatternKind = "text",
        level: Level | None = None,
        ignore_case: bool = False,
        max_matches: Annotated[int, Meta(ge=1, le=500)] = 50,
    ) -> LogMatches:
        """Find the lines of a log that match, with their numbers, times and levels.

        Args:
            kind: `text` as it is written, `words` in that order with `*` between, or `regex` without look-around.
            level: Only lines of this level.
        """
        return search_entries(
            workspace,
            path,
            pattern=pattern,
            kind=kind,
            ignore_case=ignore_case,
            level=level,
            max_matches=max_matches,
            seconds=25,
        )

    @tool(effect="idempotent", timeout_s=40)
    async def analyze_journal(
        unit: Unit = "",
        minutes: Annotated[int, Meta(ge=1, le=10_080)] = 60,
        *,
        max_entries: Annotated[int, Meta(ge=1, le=20_000)] = 5000,
        most: Most = 10,
    ) -> JournalReport:
        """Sum up the newest entries of the systemd journal; says `unavailable` where there is none."""
        return await read_journal(run, unit=unit, minutes=minutes, max_entries=max_entries, most=most)

    @tool(effect="idempotent", timeout_s=60)
    def analyze_access_log(
        path: Path, slow_ms: Annotated[float, Meta(gt=0, le=3_600_000)] = 1000.0, *, most: Most = 10
    ) -> AccessReport:
        """Sum up a web server's access log: rates, status codes, times, slow requests, paths, clients, attacks.

        Args:
            slow_ms: From how many milliseconds on a request is slow.
        """
        return sum_up_access(workspace, path, slow_ms=slow_ms, most=most)

    return [analyze_log, search_log, analyze_journal, analyze_access_log]
