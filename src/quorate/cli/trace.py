"""What does `quorate runs trace` do?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from quorate.cli.console import say, say_all, say_json
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, RunId
from quorate.cli.words import align, clean_line, show_duration
from quorate.errors import NotFound
from quorate.events import AnyEvent
from quorate.runtime import Runtime
from quorate.telemetry.describe import Describer
from quorate.telemetry.names import load_names
from quorate.telemetry.spans import Span, build_spans

MOST_WIDE = 60
BAR = 24
"""How many columns the time of a run takes."""


def add_trace_command(group: typer.Typer) -> None:
    """Add `runs trace` to the commands about runs."""
    group.command("trace")(trace_run)


def trace_run(
    run: RunId,
    *,
    content: Annotated[
        bool, typer.Option("--content", help="With --json: also what people, models and tools said.")
    ] = False,
    json: Json = False,
) -> None:
    """Show where a run's time went: its spans, one under the other, worked out from the record."""

    async def work(runtime: Runtime) -> list[AnyEvent]:
        await runtime.show(run)  # whoever's it is
        return await runtime.log.read(run)

    spans = build_spans(run_with_runtime(work), Describer(load_names(), content=content))
    if json:
        say_json(spans)
        return
    if not spans:
        raise NotFound(f"Nothing has ended yet in run {run!r}: look again later.", run=run)
    say(f"Trace {spans[0].context.trace_id}")
    say_all(render_spans(spans))


def render_spans(spans: Sequence[Span]) -> list[str]:
    """Draw spans as a tree, each with its time, when it was within the whole, and how it failed if it did."""
    began, ended = min(span.began for span in spans), max(span.ended for span in spans)
    known = {span.context.span_id for span in spans}
    under: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.began):
        above = span.parent.span_id if span.parent is not None and span.parent.span_id in known else ""
        under.setdefault(above, []).append(span)
    rows: list[tuple[str, ...]] = []

    def add(above: str, depth: int) -> None:
        for span in under.get(above, ()):
            name = f"{'  ' * depth}{clean_line(span.name, most=MOST_WIDE)}"
            bar = _draw(span, began=began, ended=ended)
            rows.append((name, show_duration(span.duration_s), bar, span.error))
            add(span.context.span_id, depth + 1)

    add("", 0)
    return align(rows)


def _draw(span: Span, *, began: float, ended: float) -> str:
    """Draw when a span was, as a piece of the whole."""
    scale = BAR / max(ended - began, 1e-9)
    first = min(BAR - 1, int((span.began - began) * scale))
    width = max(1, min(BAR - first, round(span.duration_s * scale)))
    return f"{' ' * first}{'━' * width}".ljust(BAR)
