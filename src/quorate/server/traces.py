"""Where did the time of a run go, and what was recorded of it, as files for other programs?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from litestar import Response, get
from litestar.params import FromPath, QueryParameter
from litestar.router import Router
from msgspec import Struct

from quorate.events import AnyEvent
from quorate.ids import PATTERN
from quorate.runtime.control import read_run
from quorate.server.access import need
from quorate.server.asked import Asked, find_runtime
from quorate.server.session_rights import guard_run
from quorate.server.transfers import Download
from quorate.state.archive import stream_runs
from quorate.telemetry.describe import Describer
from quorate.telemetry.names import load_names
from quorate.telemetry.spans import Kind, Span, build_spans

LINES = "application/x-ndjson"


class MarkView(Struct, frozen=True, kw_only=True):
    """A moment of a span."""

    name: str
    time: float


class SpanView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that took time and has ended."""

    id: str
    """16 hexadecimal digits."""
    parent: str = ""
    """The id of the span above it."""
    kind: Kind
    name: str
    began: float
    ended: float
    attributes: dict[str, str | int | float | bool | tuple[str, ...]] = {}
    error: str = ""
    """The code of the error it ended with; empty where it went well."""
    marks: tuple[MarkView, ...] = ()


class TraceView(Struct, frozen=True, kw_only=True, tag_field="object", tag="trace"):
    """The spans of a run, in the order in which they ended."""

    run: str
    trace_id: str
    """32 hexadecimal digits; empty while nothing has ended."""
    spans: list[SpanView]


@get("/runs/{run_id:str}/trace", opt=need("runs", "read"), summary="Show where the time of a run went")
async def show_trace(
    request: Asked,
    run_id: FromPath[str],
    content: Annotated[bool, QueryParameter(description="Also what people, models and tools said.")] = False,
) -> TraceView:
    """Show the spans of a run as far as they have ended, worked out from its record.

    They are the very ones that are exported to OpenTelemetry, whether or not they were.
    """
    runtime = find_runtime(request)
    _, events = await read_run(runtime.log, run_id, tenant=runtime.tenant)
    spans = await asyncio.to_thread(_build, events, content)  # a long log takes longer than others should wait
    trace = spans[0].context.trace_id if spans else ""
    return TraceView(run=run_id, trace_id=trace, spans=[view_span(span) for span in spans])


@get(
    "/runs/{run_id:str}/export",
    opt=need("runs", "read"),
    summary="Export a run",
    media_type=LINES,
)
async def export_run(request: Asked, run_id: FromPath[str]) -> Response[bytes]:
    """Export a run with all its events, as lines of JSON that `quorate runs import` reads.

    Its last line says what its events come to, so that half of an export is not taken for all of it.
    """
    runtime = find_runtime(request)
    await runtime.show(run_id)
    name = run_id if PATTERN.fullmatch(run_id) else "run"  # one that was imported may be called anything
    headers = {"Content-Disposition": f'attachment; filename="{name}.ndjson"'}
    return Download(
        stream_runs(runtime.log, [run_id], tenant=runtime.tenant), request, headers=headers, media_type=LINES
    )


def view_span(span: Span) -> SpanView:
    """Show a span."""
    return SpanView(
        id=span.context.span_id,
        parent=span.parent.span_id if span.parent is not None else "",
        kind=span.kind,
        name=span.name,
        began=span.began,
        ended=span.ended,
        attributes=dict(span.attributes),
        error=span.error,
        marks=tuple(MarkView(name=mark.name, time=mark.time) for mark in span.marks),
    )


def _build(events: Sequence[AnyEvent], content: bool) -> list[Span]:
    return list(build_spans(events, Describer(load_names(), content=content)))


def build_router() -> Router:
    """Build the routes about traces and exports."""
    return Router("/v1", route_handlers=[show_trace, export_run], tags=["runs"], guards=[guard_run])
