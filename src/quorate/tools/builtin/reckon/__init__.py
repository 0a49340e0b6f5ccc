"""Which tools let an agent reckon with numbers, times, versions, patterns and texts instead of guessing?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.tools.builtin.reckon import arithmetic, numbers, patterns, text, times, versions
from quorate.tools.define import AnyTool, tool
from quorate.tools.workspace import Workspace

__all__ = ["reckon_tools"]

Version = Annotated[str, Meta(min_length=1, max_length=100)]
Day = Annotated[str, Meta(min_length=8, max_length=40, description="A day or time such as `2026-01-31`.")]


def reckon_tools(workspace: Workspace, *, clock: Clock = SYSTEM_CLOCK) -> list[AnyTool]:
    """Build the tools that reckon; all but `measure_text` work on what they are given alone."""
    return [*_number_tools(), *_time_tools(clock), *_text_tools(workspace)]


def _number_tools() -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=5)
    def calculate(expression: Annotated[str, Meta(min_length=1, max_length=500)]) -> arithmetic.Calculation:
        """Reckon an expression exactly: `+ - * / // % **`, parentheses, roots, logarithms, rounding.

        Args:
            expression: Such as `(1499 * 1.21) / 12`.
        """
        return arithmetic.calculate(expression)

    @tool(effect="idempotent", timeout_s=10)
    def summarize_numbers(
        numbers_in_order: Annotated[list[float | None], Meta(min_length=1, max_length=50_000)],
    ) -> numbers.Summary:
        """Sum up numbers: mean, median, spread, percentiles, outliers, and whether they rise or fall.

        Args:
            numbers_in_order: The numbers in their order; `null` for one that is missing.
        """
        return numbers.summarize_numbers(numbers_in_order)

    @tool(effect="idempotent", timeout_s=5)
    def compare_versions(
        versions_found: Annotated[list[Version], Meta(min_length=1, max_length=2000)],
        constraint: Annotated[str, Meta(max_length=200)] = "",
    ) -> versions.VersionReport:
        """Put versions in order, find the latest, those that fit a constraint, and steps that were left out.

        Args:
            versions_found: Such as `["1.2.0", "1.10.0-rc.1"]`.
            constraint: Such as `^1.2`, `~=1.4` or `>=1.0,<2.0`.
        """
        return versions.compare_versions(versions_found, constraint)

    return [calculate, summarize_numbers, compare_versions]


def _time_tools(clock: Clock) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=10)
    def next_runs(
        schedule: Annotated[str, Meta(min_length=1, max_length=200)],
        timezone: Annotated[str, Meta(min_length=1, max_length=60)] = "UTC",
        *,
        count: Annotated[int, Meta(ge=1, le=100)] = 5,
        start: Annotated[str, Meta(max_length=40)] = "",
    ) -> times.NextRuns:
        """List when a cron schedule fires next by the clock of a time zone, and say it in words.

        Args:
            schedule: Five fields such as `30 2 * * 1-5`, or a word such as `@daily`.
            timezone: Such as `Europe/Amsterdam`.
            start: From when on; now, when it is empty.
        """
        begin = times.read_time(start) if start else datetime.fromtimestamp(clock.now(), UTC)
        return times.find_next_runs(schedule, timezone=timezone, count=count, start=begin)

    @tool(effect="idempotent", timeout_s=5)
    def count_days(start: Day, end: Day) -> times.DaySpan:
        """Count the days, weekdays, weeks and months from one day to another."""
        return times.count_days(start, end)

    return [next_runs, count_days]


def _text_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=10)
    def check_regex(
        pattern: Annotated[str, Meta(min_length=1, max_length=1000)],
        samples: Annotated[list[Annotated[str, Meta(max_length=2000)]], Meta(max_length=50)] = [],  # noqa: B006
    ) -> patterns.RegexReport:
        """Find out whether a regular expression can run for ever on some text, and which samples it matches.

        Args:
            pattern: In Python's syntax.
            samples: Texts to look for a match in.
        """
        return patterns.check_regex(pattern, samples)

    @tool(effect="idempotent", timeout_s=15)
    def measure_text(
        path: Annotated[str, Meta(min_length=1, max_length=4096, description="A text file in the workspace.")],
    ) -> text.TextReport:
        """Measure a text: words, sentences, reading time, longest sentence, most frequent words, repetitions."""
        return text.measure_text(workspace, path)

    return [check_regex, measure_text]
