"""How do spans become what OTLP sends, at a tenth of what the SDK's own encoder takes?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as WireStatus
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from quorate.telemetry.describe import Value
from quorate.telemetry.spans import Span

_NANOSECONDS = 1_000_000_000
_HERE, _ELSEWHERE = 0x100, 0x300
"""The flags of a span whose parent is in this process, or may be in another one."""
_KINDS = {"model": WireSpan.SPAN_KIND_CLIENT, "request": WireSpan.SPAN_KIND_SERVER}
_REMOTE = ("run", "request")
_ANY = SpanContext(1, 1, is_remote=False)
"""The place of a span that is never sent."""


class _Told(Protocol):
    """What came of sending."""

    @property
    def success(self) -> bool: ...


Send = Callable[[bytes], _Told]


class SpanSender:
    """Sends spans by the transport of an exporter, with its retries and deadlines.

    Args:
        send: The exporter's transport.
        resource: What this process is.
        scope: Who made the spans.
    """

    def __init__(self, send: Send, *, resource: Resource, scope: InstrumentationScope) -> None:
        self._send = send
        # The SDK says how resources and scopes are written; both are the same every time.
        bare = ReadableSpan(name="", resource=resource, instrumentation_scope=scope, context=_ANY)
        self._frame = _build_frame(bare)

    def send(self, spans: Sequence[Span]) -> bool:
        """Send spans, and say whether they were taken."""
        request = ExportTraceServiceRequest()
        request.CopyFrom(self._frame)
        target = request.resource_spans[0].scope_spans[0]
        for span in spans:
            add_span(target, span)
        return self._send(request.SerializeToString()).success


def find_send(exporter: SpanExporter) -> Send | None:
    """Find the transport of an exporter that takes what is encoded already; `None` where it has none.

    The SDK does not promise that there is one: without it, spans go through its own encoder.
    """
    send: object = getattr(getattr(exporter, "_client", None), "export", None)
    return cast("Send", send) if callable(send) else None


def add_span(target: ScopeSpans, span: Span) -> None:
    """Write a span."""
    above, context = span.parent, span.context
    wire = target.spans.add(
        trace_id=bytes.fromhex(context.trace_id),
        span_id=bytes.fromhex(context.span_id),
        parent_span_id=b"" if above is None else bytes.fromhex(above.span_id),
        name=span.name,
        kind=_KINDS.get(span.kind, WireSpan.SPAN_KIND_INTERNAL),
        start_time_unix_nano=round(span.began * _NANOSECONDS),
        end_time_unix_nano=round(max(span.began, span.ended) * _NANOSECONDS),
        flags=_ELSEWHERE if above is not None and span.kind in _REMOTE else _HERE,
    )
    add = wire.attributes.add
    for name, value in span.attributes.items():
        pair = add(key=name)
        try:
            _write(pair, value)
        except ValueError:  # half a character, or a number beyond 64 bits: what somebody made up costs no other span
            pair.value.string_value = str(value).encode("utf-8", "backslashreplace").decode()
    for mark in span.marks:
        wire.events.add(name=mark.name, time_unix_nano=round(mark.time * _NANOSECONDS))
    if span.error:
        wire.status.code = WireStatus.STATUS_CODE_ERROR
        wire.status.message = span.error


def _write(pair: KeyValue, value: Value) -> None:
    kind = type(value)
    if kind is str:
        pair.value.string_value = cast("str", value)
    elif kind is bool:
        pair.value.bool_value = cast("bool", value)
    elif kind is int:
        pair.value.int_value = cast("int", value)
    elif kind is float:
        pair.value.double_value = cast("float", value)
    else:
        values = pair.value.array_value.values
        for one in cast("tuple[str, ...]", value):
            values.add(string_value=one)


def _build_frame(bare: ReadableSpan) -> ExportTraceServiceRequest:
    frame: ExportTraceServiceRequest = encode_spans([bare])
    del frame.resource_spans[0].scope_spans[0].spans[:]
    return frame
