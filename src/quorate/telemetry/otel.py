"""How do spans and counts reach what speaks OpenTelemetry?

The only file that knows its SDK (extra `otel`); it is loaded when something is to be shown.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Literal

from msgspec import Struct
from opentelemetry.context import attach, detach
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.trace import SpanContext as OtelContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.registry import Collector

from quorate.errors import Unavailable
from quorate.telemetry.context import SpanContext
from quorate.telemetry.meters import Instrument, Labels, Meters
from quorate.telemetry.names import MetricRule, Names
from quorate.telemetry.spans import Span

SCOPE = "quorate"
BATCH = 512
"""How many spans are sent at a time."""
_NANOSECONDS = 1_000_000_000
_logger = logging.getLogger("quorate.telemetry")

Protocol = Literal["http/protobuf", "grpc"]


class Receiver(Struct, frozen=True, kw_only=True):
    """Where spans and counts are sent by OTLP."""

    endpoint: str
    """Such as `http://127.0.0.1:4318`; signals' own paths are added for HTTP."""
    protocol: Protocol = "http/protobuf"
    headers: dict[str, str] = {}
    timeout_s: float = 5.0
    interval_s: float = 15.0
    """How often counts are sent."""


class OtelSink:
    """Shows spans to exporters, and counts them.

    Args:
        exporters: Where spans go.
        meters: What is counted.
        provider: Whose readers give counts to others.
        resource: What this process is.
        version: Of this package.
    """

    def __init__(
        self,
        exporters: Sequence[SpanExporter],
        meters: Meters,
        *,
        provider: MeterProvider,
        resource: Resource,
        version: str,
    ) -> None:
        self.on_close: Callable[[], None] | None = None
        """What else is to be closed."""
        self._exporters = exporters
        self._meters = meters
        self._provider = provider
        self._resource = resource
        self._scope = InstrumentationScope(SCOPE, version)

    def show(self, spans: Sequence[Span], kept: Sequence[Span], *, dropped: int = 0) -> None:
        """Count what ended, and send what is shown."""
        self._meters.count(spans)
        self._meters.count_dropped(dropped)
        shown = [self._convert(span) for span in kept]
        for exporter in self._exporters:
            self._send(exporter, shown)

    def _send(self, exporter: SpanExporter, spans: Sequence[ReadableSpan]) -> None:
        """Send spans, a batch at a time; one that is not taken ends it, as the next would have to wait as long."""
        for first in range(0, len(spans), BATCH):
            if exporter.export(spans[first : first + BATCH]) is not SpanExportResult.SUCCESS:
                lost = len(spans) - first
                self._meters.count_dropped(lost)
                _logger.warning("%d spans could not be sent.", lost)
                return

    def close(self) -> None:
        """Send what is left."""
        if self.on_close is not None:
            self.on_close()
        for exporter in self._exporters:
            exporter.shutdown()
        self._provider.shutdown()

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

    def _convert(self, span: Span) -> ReadableSpan:
        parent = None if span.parent is None else _convert_context(span.parent, is_remote=span.kind == "run")
        return ReadableSpan(
            name=span.name,
            context=_convert_context(span.context),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(mark.name, timestamp=round(mark.time * _NANOSECONDS)) for mark in span.marks],
            kind=_find_kind(span),
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=round(span.began * _NANOSECONDS),
            end_time=round((span.began + span.duration_s) * _NANOSECONDS),
            instrumentation_scope=self._scope,
        )


def _convert_context(context: SpanContext, *, is_remote: bool = False) -> OtelContext:
    # What is shown was chosen here, whatever was drawn at first.
    return OtelContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=is_remote, trace_flags=TraceFlags(1)
    )


def _find_kind(span: Span) -> SpanKind:
    if span.kind == "model":
        return SpanKind.CLIENT
    return SpanKind.SERVER if span.kind == "run" and span.parent is not None else SpanKind.INTERNAL


class _Counter:
    def __init__(self, provider: MeterProvider, rule: MetricRule) -> None:
        meter = provider.get_meter(SCOPE)
        self._add = meter.create_counter(rule.name, unit=rule.unit, description=rule.description).add

    def record(self, value: float, labels: Labels) -> None:
        self._add(value, labels)


class _Histogram:
    def __init__(self, provider: MeterProvider, rule: MetricRule) -> None:
        meter = provider.get_meter(SCOPE)
        self._record = meter.create_histogram(rule.name, unit=rule.unit, description=rule.description).record

    def record(self, value: float, labels: Labels) -> None:
        self._record(value, labels)


def build_sink(
    names: Names,
    *,
    version: str,
    exporters: Sequence[SpanExporter] = (),
    readers: Sequence[MetricReader] = (),
    facts: dict[str, str] | None = None,
) -> OtelSink:
    """Build what shows spans to exporters and counts to readers.

    Args:
        names: What is called how.
        version: Of this package.
        exporters: Where spans go.
        readers: Who reads counts.
        facts: More about this process, such as `deployment.environment.name`; `OTEL_RESOURCE_ATTRIBUTES` and
            `OTEL_SERVICE_NAME` add to them.
    """
    resource = Resource.create({"service.name": SCOPE, "service.version": version, **(facts or {})})
    views = [
        View(instrument_name=rule.name, aggregation=ExplicitBucketHistogramAggregation(rule.buckets))
        for rule in names.metric.values()
        if rule.kind == "histogram"
    ]
    provider = MeterProvider(metric_readers=readers, resource=resource, views=views, shutdown_on_exit=False)
    instruments: dict[str, Instrument] = {
        name: (_Counter if rule.kind == "counter" else _Histogram)(provider, rule)
        for name, rule in names.metric.items()
    }
    return OtelSink(exporters, Meters(names, instruments), provider=provider, resource=resource, version=version)


def open_receiver(receiver: Receiver) -> tuple[SpanExporter, MetricReader]:
    """Open the way to a receiver; nothing is sent yet."""
    endpoint, headers, timeout_s = receiver.endpoint.rstrip("/"), dict(receiver.headers), receiver.timeout_s
    if receiver.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans

        is_plain = endpoint.startswith("http://")
        spans: SpanExporter = GrpcSpans(endpoint, insecure=is_plain, headers=headers, timeout=timeout_s)
        metrics = GrpcMetrics(endpoint, insecure=is_plain, headers=headers, timeout=timeout_s)
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans

        spans = HttpSpans(f"{endpoint}/v1/traces", headers=headers, timeout=timeout_s)
        metrics = HttpMetrics(f"{endpoint}/v1/metrics", headers=headers, timeout=timeout_s)
    reader = PeriodicExportingMetricReader(
        metrics, export_interval_millis=receiver.interval_s * 1000, export_timeout_millis=timeout_s * 1000
    )
    return spans, reader


def open_console() -> SpanExporter:
    """Open standard error for spans, a line of JSON each, for development."""
    return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n")


class _Fresh(Collector):
    """Nothing to scrape itself; it lets what has just happened be counted first."""

    def __init__(self, refresh: Callable[[], None]) -> None:
        self._refresh = refresh

    def collect(self) -> Iterable[Metric]:
        self._refresh()
        return ()


def open_prometheus(registry: CollectorRegistry, refresh: Callable[[], None] = lambda: None) -> MetricReader:
    """Let a registry show what is counted.

    Args:
        registry: What is scraped.
        refresh: Called before each scrape, in its thread, so that what has just happened is counted.
    """
    registry.register(_Fresh(refresh))
    return PrometheusMetricReader(registry=registry)


def open_sink(
    names: Names,
    *,
    receiver: Receiver | None = None,
    console: bool = False,
    metrics: tuple[str, int] | None = None,
    refresh: Callable[[], None] = lambda: None,
    facts: dict[str, str] | None = None,
) -> OtelSink:
    """Open everything that is shown spans and counts.

    Args:
        names: What is called how.
        receiver: Where to send by OTLP.
        console: Whether spans are printed.
        metrics: The host and port at which Prometheus may scrape `/metrics`; port 0 for any that is free.
        refresh: Called before each scrape, in its thread.
        facts: More about this process.

    Raises:
        Unavailable: The port is taken.
    """
    exporters, readers, close = list[SpanExporter](), list[MetricReader](), None
    if metrics is not None:
        registry = CollectorRegistry()
        readers.append(open_prometheus(registry, refresh))
        close = serve_metrics(registry, host=metrics[0], port=metrics[1])
    if receiver is not None:
        spans, reader = open_receiver(receiver)
        exporters.append(spans)
        readers.append(reader)
    if console:
        exporters.append(open_console())
    sink = build_sink(names, version=version(SCOPE), exporters=exporters, readers=readers, facts=facts)
    sink.on_close = close
    return sink


def serve_metrics(registry: CollectorRegistry, *, host: str, port: int) -> Callable[[], None]:
    """Serve `/metrics` for Prometheus in a thread, and return what ends that.

    Raises:
        Unavailable: The port is taken.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise Unavailable(f"Nothing can be scraped at {host}:{port}: {error.strerror}. Choose another port.") from error
    _logger.info("Scrapes are answered at http://%s:%d/metrics.", host, server.server_port)

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close
