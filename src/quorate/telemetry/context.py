"""Of which trace is a run, and which span of it is a step?

Both are worked out from the record and never drawn: whoever goes on with a run in another process, a year later too,
names the same spans.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from msgspec import Struct

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_OURS = re.compile(r"[a-z]+-([0-9a-f]{32})", re.ASCII)
_SAMPLED = 0x01
_NOTHING = "0"


class SpanContext(Struct, frozen=True, gc=False):
    """Where something belongs: a span of a trace, as W3C Trace Context names them."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    is_sampled: bool = True

    @property
    def traceparent(self) -> str:
        """The header that carries it (W3C Trace Context, section 3.2)."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


def parse_traceparent(header: str) -> SpanContext | None:
    """Read a `traceparent` header; `None` when it is not one, as its receiver must then begin a trace of its own.

    Later versions of the header are read as far as this one goes (W3C Trace Context, section 3.2.4).
    """
    found = _TRACEPARENT.fullmatch(header.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest) or not trace_id.strip(_NOTHING) or not span_id.strip(_NOTHING):
        return None
    return SpanContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def derive_trace_id(run: str) -> str:
    """Work out the trace of a run that nobody's trace asked for: the digits of its id, which are random enough."""
    ours = _OURS.fullmatch(run)
    return ours[1] if ours is not None else blake2b(run.encode(), digest_size=16).hexdigest()


def derive_span_id(run: str, key: str = "", lost: str = "") -> str:
    """Work out the span of a step of a run, or of the run itself.

    An attempt that was lost in the middle of a step is told apart by its token, `lost`.
    """
    return blake2b(f"{run}\0{key}\0{lost}".encode(), digest_size=8).hexdigest()


def find_context(run: str, trace: str = "") -> SpanContext:
    """Find where a run belongs.

    Args:
        run: Its id.
        trace: The `traceparent` of whoever asked for it, if there is one.
    """
    asked = parse_traceparent(trace) if trace else None
    if asked is None:
        return SpanContext(derive_trace_id(run), derive_span_id(run))
    return SpanContext(asked.trace_id, derive_span_id(run), asked.is_sampled)
