"""Which traces are shown, where showing all of them would cost too much?"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from quorate.telemetry.context import SpanContext
from quorate.telemetry.spans import Span

_RANGE = 1 << 64


class Sampling(Struct, frozen=True, kw_only=True):
    """Which traces are shown.

    The share is drawn when a run begins, by its trace's id, so that all processes draw alike (head sampling). The
    other rules look at a run once it has ended (tail sampling), for which its spans are kept until then.
    """

    share: float = 1.0
    """The share of all traces, 0 to 1. Who asks from outside has drawn already, and that counts."""
    keep_errors: bool = True
    """Whether runs that failed are shown though they were not drawn."""
    keep_slower_s: float | None = None
    """From how many seconds on a run is shown though it was not drawn."""

    def is_drawn(self, context: SpanContext, *, is_asked: bool) -> bool:
        """Whether a trace is shown whatever becomes of it (OpenTelemetry's `TraceIdRatioBased`).

        Args:
            context: The run's place.
            is_asked: Whether another system's trace asked for the run.
        """
        if is_asked:
            return context.is_sampled
        return int(context.trace_id[16:], 16) < self.share * _RANGE

    @property
    def has_tail(self) -> bool:
        """Whether the end of a run may change what is shown of it."""
        return self.keep_errors or self.keep_slower_s is not None

    def is_kept(self, spans: Iterable[Span]) -> bool:
        """Whether an ended run that was not drawn is shown all the same."""
        for span in spans:
            if span.kind != "run":
                continue
            if self.keep_errors and span.error and span.error != "cancelled":
                return True
            if self.keep_slower_s is not None and span.duration_s >= self.keep_slower_s:
                return True
        return False
