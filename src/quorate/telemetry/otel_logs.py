"""How are lines of the log sent by OTLP?"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from quorate.telemetry.names import Names, load_names
from quorate.telemetry.shipping import LogLine

_NANOSECONDS = 1_000_000_000
_LEVELS = ((50, SeverityNumber.FATAL), (40, SeverityNumber.ERROR), (30, SeverityNumber.WARN), (20, SeverityNumber.INFO))
_OWN = frozenset({"time", "level", "message", "trace_id", "span_id"})
"""What has places of its own in a record."""


class OtlpLogs:
    """Sends lines of the log by OTLP.

    Args:
        exporter: What speaks it.
        names: What attributes are called.
    """

    def __init__(self, exporter: LogRecordExporter, names: Names) -> None:
        self._exporter = exporter
        attribute = names.attribute
        self._names = {"logger": attribute["logger"], "error": attribute["stack"], "run": attribute["run"],
                       "key": attribute["key"], "request_id": attribute["request_id"]}  # fmt: skip

    def send(self, lines: Sequence[LogLine], resource: Resource, scope: InstrumentationScope) -> bool:
        """Send lines, and say whether they were taken."""
        records = [ReadableLogRecord(self._convert(line), resource, scope) for line in lines]
        return self._exporter.export(records) is LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close what is open."""
        self._exporter.shutdown()

    def _convert(self, line: LogLine) -> LogRecord:
        facts, trace = line.facts, str(line.facts.get("trace_id", ""))
        more: dict[str, str | int | float | bool] = {
            self._names.get(name, name): value
            for name, value in facts.items()
            if name not in _OWN and isinstance(value, str | int | float | bool) and value != ""
        }
        return LogRecord(
            timestamp=round(line.time * _NANOSECONDS),
            observed_timestamp=round(line.time * _NANOSECONDS),
            context=_build_context(trace, str(facts["span_id"])) if trace else Context(),
            severity_text=line.word,
            severity_number=next((number for least, number in _LEVELS if line.level >= least), SeverityNumber.DEBUG),
            body=str(facts.get("message", "")),
            attributes=more,
        )


def _build_context(trace_id: str, span_id: str) -> Context:
    place = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(place), Context())


def open_log_exporter(endpoint: str, *, protocol: str, headers: dict[str, str], timeout_s: float) -> OtlpLogs:
    """Open the way of lines to a receiver; nothing is sent yet."""
    exporter: LogRecordExporter
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs

        is_plain = endpoint.startswith("http://")
        exporter = GrpcLogs(endpoint, insecure=is_plain, headers=headers, timeout=timeout_s)
    else:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs

        exporter = HttpLogs(f"{endpoint}/v1/logs", headers=headers, timeout=timeout_s)
    return OtlpLogs(exporter, load_names())
