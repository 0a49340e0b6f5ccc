"""Is a place in a trace read, written and worked out as W3C Trace Context says?"""

import pytest

from quorate.ids import new_id
from quorate.telemetry.context import SpanContext, derive_span_id, derive_trace_id, find_context, parse_traceparent

ASKED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_header_is_read_and_written() -> None:
    """The example of W3C Trace Context, section 3.2.3."""
    context = parse_traceparent(ASKED)
    assert context is not None
    assert context == SpanContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert context.traceparent == ASKED
    assert parse_traceparent(ASKED[:-1] + "0") == SpanContext(context.trace_id, context.span_id, is_sampled=False)
    assert parse_traceparent(f"cc{ASKED[2:]}-of-the-future") == context


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        ASKED.upper(),
        f"ff{ASKED[2:]}",
        f"{ASKED}-more",
        ASKED.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        ASKED.replace("00f067aa0ba902b7", "0" * 16),
        ASKED.replace("4", "x"),
        f"{ASKED}\n00-",
        "00-" + "9" * 100_000,
    ],
)
def test_what_is_no_header_is_none(header: str) -> None:
    assert parse_traceparent(header) is None


def test_the_trace_of_a_run_is_in_its_id() -> None:
    run = new_id("run")
    assert derive_trace_id(run) == run.removeprefix("run-")
    assert len(derive_trace_id("nightly")) == 32
    assert derive_trace_id("nightly") == derive_trace_id("nightly") != derive_trace_id("weekly")


def test_every_step_is_a_span_and_so_is_every_lost_attempt_at_it() -> None:
    spans = {derive_span_id(run, key, attempt) for run in "ab" for key in ("", "1/model") for attempt in ("", "try-1")}
    assert len(spans) == 8
    assert all(len(span) == 16 for span in spans)


def test_a_run_belongs_to_the_trace_that_asked_for_it() -> None:
    own, asked = find_context("run-1"), find_context("run-1", ASKED)
    assert asked.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736" != own.trace_id
    assert asked.span_id == own.span_id
    assert find_context("run-1", "nonsense") == own
    assert not find_context("run-1", ASKED[:-1] + "0").is_sampled
