"""What does `quorate costs` do?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from quorate.cli.console import say_all, say_json
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, read_word
from quorate.cli.quantities import read_time, show_count
from quorate.cli.words import align, clean_line
from quorate.errors import InvalidInput
from quorate.models.cost import NANO
from quorate.models.costs import PARTS, CostLine, CostReport, Part, build_line, build_report
from quorate.models.ledger import Booked, Ledger
from quorate.models.reconcile import Comparison, compare
from quorate.runtime import Runtime


def add_commands(app: typer.Typer) -> None:
    """Add the commands about costs."""
    group = typer.Typer(
        help="Show what was spent by tenant, agent, model, principal and day, and check it against the logs.",
        rich_markup_mode=None,
        invoke_without_command=True,
    )
    group.callback()(show_costs)
    group.command("verify")(verify_costs)
    app.add_typer(group, name="costs")


def show_costs(
    context: typer.Context,
    *,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="PART", help="tenant, agent, model, principal or day; can be repeated."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From a day on (UTC), such as 2026-01-31 or 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to and with a day (UTC).")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only those of a tenant.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="Only those of an agent.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only those to a model.")] = None,
    json: Json = False,
) -> None:
    """Show what was spent, by model when nothing else is said."""
    if context.invoked_subcommand is not None:
        return
    parts = read_parts(by or ["model"])
    days = _read_days(since, until)

    async def work(runtime: Runtime) -> list[Booked]:
        ledger = Ledger(runtime.store.values, clock=runtime.clock)
        found = ledger.read(since=days[0] or "", until=days[1] or "9999", tenant=tenant)
        return [one async for one in found if agent in (None, one.agent) and model in (None, one.model)]

    report = build_report(run_with_runtime(work), parts, since=days[0], until=days[1])
    if json:
        say_json(report)
        return
    say_all(render_report(report, parts))


def verify_costs(*, json: Json = False) -> int:
    """Check that every reply in every log is booked; exit code 1 when one is not."""

    async def work(runtime: Runtime) -> Comparison:
        return await compare(Ledger(runtime.store.values, clock=runtime.clock), runtime.store.log)

    found = run_with_runtime(work)
    if json:
        say_json(build_check(found))
    else:
        say_all(render_comparison(found))
    return 1 if found.gaps else 0


def render_report(report: CostReport, parts: Sequence[Part]) -> list[str]:
    """Write what was spent in columns, and below it what a reader may miss."""
    if not report.lines:
        return ["Nothing was spent: no call to a provider is booked for these days."]
    heads = (*parts, "calls", "input", "output", "cost")
    rows = [heads, *(_write_line(line, [str(getattr(line, part) or "-") for part in parts]) for line in report.lines)]
    rows.append(_write_line(report.total, ["total", *[""] * (len(parts) - 1)]))
    notes: list[str] = []
    if report.total.cut_calls:
        notes.append(
            f"{show_count(report.total.cut_calls, 'call')} gave no reply and may have cost "
            f"{_show_usd(report.total.cut_cost_usd)} more, by our own count."
        )
    if report.total.unpriced_calls:
        notes.append(
            f"{show_count(report.total.unpriced_calls, 'call')} went to models whose price nobody knows and are not in "
            "the cost: add the price to the gateway file."
        )
    return [*align(rows), *notes]


def build_check(found: Comparison) -> dict[str, object]:
    """Write what came of comparing book and logs as a document."""
    return {
        "runs": found.runs,
        "log": build_line(found.log),
        "book": build_line(found.book),
        "outside": build_line(found.outside),
        "gaps": [
            {"tenant": gap.tenant, "model": gap.model, "log": build_line(gap.log), "book": build_line(gap.book)}
            for gap in found.gaps
        ],
    }


def render_comparison(found: Comparison) -> list[str]:
    """Write what came of comparing book and logs."""
    lines = align(
        [
            (
                "logs",
                show_count(found.runs, "run"),
                show_count(found.log.calls, "call"),
                _show_usd(found.log.usd / NANO),
            ),
            ("book", "of runs", show_count(found.book.calls, "call"), _show_usd(found.book.usd / NANO)),
            ("", "outside", show_count(found.outside.calls, "call"), _show_usd(found.outside.usd / NANO)),
        ]
    )
    if not found.gaps:
        return [*lines, "Every reply in a log is booked."]
    missing = [
        f"{clean_line(gap.tenant)} {clean_line(gap.model)}: the logs have {gap.log.calls} calls for "
        f"{_show_usd(gap.log.usd / NANO)}, the book has {gap.book.calls} for {_show_usd(gap.book.usd / NANO)}"
        for gap in found.gaps
    ]
    return [*lines, "The book lacks replies that are in logs:", *missing]


def read_parts(words: Sequence[str]) -> list[Part]:
    """Read what costs are added up by, each once.

    Raises:
        UnknownName: One is none of them.
    """
    parts: list[Part] = []
    for word in words:
        part = read_word("part", word, PARTS)
        if part is not None and part not in parts:
            parts.append(part)
    return parts


def _write_line(line: CostLine, names: Sequence[str]) -> tuple[str, ...]:
    cells = (f"{line.calls:,}", f"{line.input_tokens:,}", f"{line.output_tokens:,}", _show_usd(line.cost_usd))
    return (*(clean_line(name, most=60) for name in names), *cells)


def _show_usd(usd: float) -> str:
    """Write dollars so that cents of cents can be seen, as single calls cost so little."""
    return f"${usd:,.6f}" if usd < 1 else f"${usd:,.2f}"


def _read_days(since: str | None, until: str | None) -> tuple[str | None, str | None]:
    now = datetime.now(UTC).timestamp()

    def read(text: str | None) -> str | None:
        if text is None:
            return None
        return datetime.fromtimestamp(read_time(text, now=now, ahead=False), UTC).strftime("%Y-%m-%d")

    first, last = read(since), read(until)
    if first is not None and last is not None and last < first:
        raise InvalidInput(f"`--until` {last} lies before `--since` {first}.")
    return first, last
