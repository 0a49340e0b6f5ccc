"""How are an evaluation and a comparison told in words?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quorate.catalog.evaluation.compare import Comparison, Difference
from quorate.catalog.evaluation.intervals import Interval
from quorate.catalog.evaluation.report import Figures, Record, Report
from quorate.cli.quantities import show_count
from quorate.cli.words import align, clean_line, show_cost, show_duration

MOST_SHOWN = 50
"""Cases that did not pass, listed one by one."""
MOST_GROUPS = 40
MARKS = {"passed": "✓", "failed": "✗", "error": "!", "skipped": "–"}


def render_report(report: Report) -> list[str]:
    """Say how an evaluation went: what did not pass, and the figures."""
    lines = [*_render_failures(report.records)]
    if report.is_partial:
        left = report.planned - len(report.records)
        lines += [
            f"It ended early: {show_count(left, 'run')} of {report.planned} are missing. Figures are of the rest."
        ]
    figures = report.figures
    rows = [("", "passed", "95 %", "score", "errors", "p50", "p95"), _render_row("all", figures)]
    rows += [_render_row(group.name, group.figures) for group in report.groups[:MOST_GROUPS]]
    lines += align(rows)
    if len(report.groups) > MOST_GROUPS:
        lines.append(f"… {len(report.groups) - MOST_GROUPS} more groups: --json shows all.")
    repeats = report.configuration.repeats
    always = f", {figures.always * 100:.1f} % of cases every time" if repeats > 1 else ""
    skipped = f", {figures.skipped} skipped" if figures.skipped else ""
    counts = f"{show_count(figures.cases, 'case')}, {show_count(figures.runs, 'run')}{skipped}{always}"
    lines += ["", f"{counts}; {show_cost(figures.cost_usd)}."]
    return [*lines, f"Evaluation {report.id}."]


def render_record(record: Record) -> str:
    """Say on one line how a case went."""
    again = "" if record.repeat == 1 else f" #{record.repeat}"
    took = show_duration(record.seconds)
    why = f"  {clean_line(record.why, most=160)}" if record.why else ""
    return f"{MARKS[record.outcome]} {record.case}{again}  {took}{why}"


def render_comparison(found: Comparison) -> list[str]:
    """Say how two evaluations of the same cases differ, and whether that may be chance."""
    rows = [
        ("", "before", "now", "difference", "95 %"),
        (
            "passed",
            f"{found.rate_before * 100:.1f} %",
            f"{found.rate_now * 100:.1f} %",
            f"{found.rate.mean * 100:+.1f} %",
            _show_share(found.rate.interval),
        ),
        ("score", "", "", f"{found.score.mean:+.3f}", _show_range(found.score, "{:+.3f}")),
        ("seconds", "", "", f"{found.seconds.mean:+.3f}", _show_range(found.seconds, "{:+.3f}")),
    ]
    if found.cost_usd is not None:
        rows.append(("US dollars", "", "", f"{found.cost_usd.mean:+.5f}", _show_range(found.cost_usd, "{:+.5f}")))
    lines = [f"{show_count(found.cases, 'case')} compared.", *align(rows)]
    for title, cases in (
        ("passes more often", found.gained),
        ("passes less often", found.lost),
        ("asks something else now", found.changed),
        ("is there only before", found.only_before),
        ("is there only now", found.only_now),
    ):
        lines += [f"  {title}: {case}" for case in cases[:MOST_SHOWN]]
        if len(cases) > MOST_SHOWN:
            lines.append(f"  … {len(cases) - MOST_SHOWN} more: --json shows all.")
    return [*lines, f"{found.verdict.capitalize()} (p = {found.p_value:.4f}, {found.test})."]


def _render_failures(records: Sequence[Record]) -> Iterator[str]:
    missed = [record for record in records if record.outcome not in ("passed", "skipped")]
    for record in missed[:MOST_SHOWN]:
        yield render_record(record)
        if record.run:
            yield f"    quorate runs show {record.run}"
    if len(missed) > MOST_SHOWN:
        yield f"… {len(missed) - MOST_SHOWN} more did not pass: --json shows all."
    if missed:
        yield ""


def _render_row(name: str, figures: Figures) -> tuple[str, ...]:
    return (
        clean_line(name, most=60),
        f"{figures.rate * 100:.1f} %",
        _show_share(figures.rate_interval),
        f"{figures.score:.3f}",
        str(figures.errors),
        show_duration(figures.seconds_p50),
        show_duration(figures.seconds_p95),
    )


def _show_share(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.low * 100:.1f} to {interval.high * 100:.1f} %"


def _show_range(difference: Difference, form: str) -> str:
    found = difference.interval
    return "–" if found is None else f"{form.format(found.low)} to {form.format(found.high)}"
