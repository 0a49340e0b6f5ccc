"""How do spans, counts and logs reach what speaks OpenTelemetry?

The only file that knows its SDK (extra `otel`); it is loaded when something is to be shown. What is sent is built here
from what was recorded, a batch at a time: nothing of the SDK runs where agents work.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, TypeVar

from msgspec import Struct
from opentelemetry.context import attach, detach
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.trace import SpanContext as OtelContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from quorate.telemetry.context import SpanContext
from quorate.telemetry.counting import CountingSink
from quorate.telemetry.otel_spans import SpanSender, find_send
from quorate.telemetry.shipping import LogLine, LogShip
from quorate.telemetry.spans import Span
from quorate.telemetry.tally import Bars, Point, Series, Tally
from quorate.telemetry.watcher import Batch

SCOPE = "quorate"
BATCH = 512
"""How many spans or lines are sent at a time."""
_NANOSECONDS = 1_000_000_000
_logger = logging.getLogger("quorate.telemetry")

T = TypeVar("T")
WireProtocol = Literal["http/protobuf", "grpc"]


class Receiver(Struct, frozen=True, kw_only=True):
    """Where spans, counts and logs are sent by OTLP."""

    endpoint: str
    """Such as `http://127.0.0.1:4318`; signals' own paths are added for HTTP."""
    protocol: WireProtocol = "http/protobuf"
    headers: dict[str, str] = {}
    timeout_s: float = 5.0
    interval_s: float = 15.0
    """How often counts are sent."""


class LogExporter(Protocol):
    """Sends lines of the log."""

    def send(self, lines: Sequence[LogLine], resource: Resource, scope: InstrumentationScope) -> bool:
        """Send lines, and say whether they were taken."""
        ...

    def shutdown(self) -> None:
        """Close what is open."""
        ...


class CountExporter(Protocol):
    """Sends counts, as the SDK's exporters do."""

    def export(self, metrics_data: MetricsData) -> MetricExportResult:
        """Send counts, and say whether they were taken."""
        ...

    def shutdown(self) -> None:
        """Close what is open."""
        ...


class Exporters(Struct, kw_only=True):
    """Where what is shown goes."""

    spans: list[SpanExporter] = []
    metrics: list[CountExporter] = []
    logs: list[LogExporter] = []


class OtelSink:
    """Counts what ended, and sends it.

    Args:
        counting: What counts.
        tally: Where it is counted.
        exporters: Where it is sent.
        resource: What this process is.
        version: Of this package.
        interval_s: How often counts are sent.
        monotonic: Time that never goes back.
    """

    def __init__(
        self,
        counting: CountingSink,
        tally: Tally,
        exporters: Exporters,
        *,
        resource: Resource,
        version: str,
        interval_s: float = 15.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counting = counting
        self.logs: LogShip | None = None
        """Lines of the log that wait to be sent."""
        self._tally = tally
        self._exporters = exporters
        self._resource = resource
        self._scope = InstrumentationScope(SCOPE, version)
        self._senders = [(exporter, self._build_sender(exporter)) for exporter in exporters.spans]
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._next = monotonic() + interval_s

    def show(self, batch: Batch) -> None:
        """Count what ended, and send what is shown."""
        self.counting.show(batch)
        if batch.kept:
            self._send_spans(batch.kept)
        self._send_logs()
        if self._exporters.metrics and self._monotonic() >= self._next:
            self._next = self._monotonic() + self._interval_s
            self._send_metrics()

    def close(self) -> None:
        """Send what is left."""
        self.counting.close()
        self._send_logs()
        self._send_metrics()
        for exporter in (*self._exporters.spans, *self._exporters.metrics, *self._exporters.logs):
            exporter.shutdown()

    @contextmanager
    def enter(self, context: SpanContext) -> Generator[None]:
        """Let what OpenTelemetry traces in a block stand under a span of ours."""
        token = attach(set_span_in_context(NonRecordingSpan(_convert_context(context))))
        try:
            yield
        finally:
            detach(token)

    def find_trace(self) -> str:
        """Find the `traceparent` of the span that the program around us is in; empty where it is in none."""
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        return carrier.get("traceparent", "")

    def _build_sender(self, exporter: SpanExporter) -> SpanSender | None:
        send = find_send(exporter)
        return None if send is None else SpanSender(send, resource=self._resource, scope=self._scope)

    def _send_spans(self, spans: Sequence[Span]) -> None:
        for exporter, sender in self._senders:
            if sender is not None:
                self._send(spans, sender.send, True, "spans")
            else:
                self._send(list(self._convert(spans)), exporter.export, SpanExportResult.SUCCESS, "spans")

    def _send(self, items: Sequence[T], export: Callable[[Sequence[T]], object], taken: object, what: str) -> None:
        """Send items, a batch at a time; one that is not taken ends it, as the next would have to wait as long."""
        for first in range(0, len(items), BATCH):
            if export(items[first : first + BATCH]) != taken:
                lost = len(items) - first
                self.counting.meters.count_dropped(lost)
                _logger.warning("%d %s could not be sent.", lost, what)
                return

    def _send_logs(self) -> None:
        if self.logs is None:
            return
        lines, lost = self.logs.take()
        self.counting.meters.count_dropped(lost)
        for exporter in self._exporters.logs:
            self._send(lines, lambda some, to=exporter: to.send(some, self._resource, self._scope), True, "lines")

    def _send_metrics(self) -> None:
        if not self._exporters.metrics:
            return
        data = self._convert_metrics()
        for exporter in self._exporters.metrics:
            if exporter.export(data) is not MetricExportResult.SUCCESS:
                _logger.warning("Counts could not be sent; the next ones hold them, too.")

    def _convert(self, spans: Sequence[Span]) -> Iterator[ReadableSpan]:
        above: SpanContext | None = None
        parent: OtelContext | None = None
        for span in spans:
            if span.parent is not above:  # those that stand side by side have the same one
                above = span.parent
                parent = None if above is None else _convert_context(above, is_remote=span.kind in REMOTE)
            yield ReadableSpan(
                name=span.name,
                context=_convert_context(span.context),
                parent=parent,
                resource=self._resource,
                attributes=span.attributes,
                events=[Event(mark.name, timestamp=round(mark.time * _NANOSECONDS)) for mark in span.marks],
                kind=_KINDS.get(span.kind, SpanKind.INTERNAL),
                status=Status(StatusCode.ERROR, span.error) if span.error else _FINE,
                start_time=round(span.began * _NANOSECONDS),
                end_time=round(max(span.began, span.ended) * _NANOSECONDS),
                instrumentation_scope=self._scope,
            )

    def _convert_metrics(self) -> MetricsData:
        began, now = round(self._tally.began * _NANOSECONDS), time.time_ns()
        metrics = [convert_series(series, began=began, now=now) for series in self._tally.read()]
        return MetricsData([ResourceMetrics(self._resource, [ScopeMetrics(self._scope, metrics, "")], "")])


_KINDS = {"model": SpanKind.CLIENT, "request": SpanKind.SERVER}
REMOTE = ("run", "request")
"""What may be asked for from elsewhere."""
_FINE = Status()


def _convert_context(context: SpanContext, *, is_remote: bool = False) -> OtelContext:
    # What is shown was chosen here, whatever was drawn at first.
    return OtelContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=is_remote, trace_flags=TraceFlags(1)
    )


def convert_series(series: Series, *, began: int, now: int) -> Metric:
    """Build what exporters send of one metric; times are in nanoseconds."""
    rule = series.rule
    data: Histogram | Gauge | Sum
    if rule.kind == "histogram":
        bars = [
            _convert_bars(point, point.value, rule.buckets, began=began, now=now)
            for point in series.points
            if isinstance(point.value, Bars)
        ]
        data = Histogram(bars, AggregationTemporality.CUMULATIVE)
    else:
        numbers = [
            NumberDataPoint(dict(point.labels), began, now, point.value)
            for point in series.points
            if not isinstance(point.value, Bars)
        ]
        is_gauge = rule.kind == "gauge"
        data = Gauge(numbers) if is_gauge else Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Metric(rule.name, rule.description, rule.unit, data)


def _convert_bars(point: Point, bars: Bars, bounds: tuple[float, ...], *, began: int, now: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=dict(point.labels),
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=bars.count,
        sum=bars.sum,
        bucket_counts=bars.counts,
        explicit_bounds=bounds,
        min=bars.least,
        max=bars.most,
    )


def build_sink(
    counting: CountingSink,
    tally: Tally,
    *,
    version: str,
    exporters: Exporters | None = None,
    facts: dict[str, str] | None = None,
    interval_s: float = 15.0,
) -> OtelSink:
    """Build what counts and sends what ended.

    Args:
        counting: What counts.
        tally: Where it is counted.
        version: Of this package.
        exporters: Where it is sent.
        facts: More about this process, such as `deployment.environment.name`; `OTEL_RESOURCE_ATTRIBUTES` and
            `OTEL_SERVICE_NAME` add to them.
        interval_s: How often counts are sent.
    """
    resource = Resource.create({"service.name": SCOPE, "service.version": version, **(facts or {})})
    return OtelSink(
        counting, tally, exporters or Exporters(), resource=resource, version=version, interval_s=interval_s
    )  # fmt: skip


def open_receiver(receiver: Receiver, *, logs: bool = False) -> Exporters:
    """Open the way to a receiver; nothing is sent yet.

    Args:
        receiver: Where it is.
        logs: Whether lines of the log are sent, too.
    """
    endpoint, headers, timeout_s = receiver.endpoint.rstrip("/"), dict(receiver.headers), receiver.timeout_s
    found = Exporters()
    if receiver.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans

        is_plain = endpoint.startswith("http://")
        found.spans.append(GrpcSpans(endpoint, insecure=is_plain, headers=headers, timeout=timeout_s))
        found.metrics.append(GrpcMetrics(endpoint, insecure=is_plain, headers=headers, timeout=timeout_s))
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans

        found.spans.append(HttpSpans(f"{endpoint}/v1/traces", headers=headers, timeout=timeout_s))
        found.metrics.append(HttpMetrics(f"{endpoint}/v1/metrics", headers=headers, timeout=timeout_s))
    if logs:
        from quorate.telemetry.otel_logs import open_log_exporter  # the SDK's part for logs is no stable one yet

        found.logs.append(open_log_exporter(endpoint, protocol=receiver.protocol, headers=headers, timeout_s=timeout_s))
    return found


def open_console() -> SpanExporter:
    """Open standard error for spans, a line of JSON each, for development."""
    return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n")
