"""Does what happens in runs reach real receivers, as it happened?"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.telemetry.receivers import Received, grpc_receiver, http_receiver, read_attributes

from quorate import Agent, ScriptedModel, tool
from quorate.agent.run import RunOptions
from quorate.assembly import open_runtime
from quorate.errors import InvalidInput
from quorate.events import AnyEvent
from quorate.models.scripted import call
from quorate.security.secrets import Secret
from quorate.settings import Settings
from quorate.settings.values import OpenAISettings, TelemetrySettings
from quorate.telemetry.context import SpanContext
from quorate.telemetry.counting import CountingSink
from quorate.telemetry.describe import Describer
from quorate.telemetry.logs import JsonFormatter
from quorate.telemetry.meters import Meters
from quorate.telemetry.names import load_names
from quorate.telemetry.objectives import load_objectives
from quorate.telemetry.otel import OtelSink, Receiver, build_sink, open_receiver
from quorate.telemetry.otel_spans import SpanSender
from quorate.telemetry.place import enter_place, find_run_place
from quorate.telemetry.prometheus import TallyCollector, render
from quorate.telemetry.sampling import Sampling
from quorate.telemetry.shipping import LogShip
from quorate.telemetry.spans import Mark, Span
from quorate.telemetry.tally import Tally
from quorate.telemetry.watcher import Watcher, open_watcher

NAMES = load_names()


@tool(effect="idempotent")
async def probe(port: int) -> str:
    """Try to connect."""
    if port == 1:
        raise InvalidInput("port 1 is a secret")
    return f"port {port} refuses connections"


def build_agent(*, fails: bool = False) -> Agent:
    script: list[object] = [[call("probe", port=8080), call("probe", port=1)]]
    return Agent("net", model=ScriptedModel([*script, *([] if fails else ["Port 8080 is closed."])]), tools=[probe])


async def never(seconds: float) -> None:
    await asyncio.Event().wait()


def build_watcher(sink: OtelSink, sampling: Sampling | None = None) -> Watcher:
    async def find_before(run: str) -> list[AnyEvent]:
        return []

    describer = Describer(NAMES, find_provider=lambda model: "test", content=False)
    return Watcher(sink, describer, find_before=find_before, sampling=sampling or Sampling(), sleep=never)


async def run_agent(watcher: Watcher, agent: Agent) -> str:
    """Do a run that is watched, and return its id."""

    def note(event: AnyEvent) -> None:
        watcher.note([event])

    try:
        result = await agent.run("Is it up?", options=RunOptions(listeners=(note,)))
    except Exception as error:
        return str(getattr(error, "run", ""))
    return result.events[0].run


async def send(received: Received, *, protocol: str) -> str:
    receiver = Receiver(endpoint=received.url, protocol=protocol, headers={"x-key": "k"})  # type: ignore[arg-type]
    sink, _ = open_sink(receiver, logs=True)
    logger = logging.Logger("shop")
    logger.addHandler(ship := LogShip(JsonFormatter(secrets=["hunter2"])))
    sink.logs = ship
    async with open_watcher(build_watcher(sink)) as watcher:
        run = await run_agent(watcher, build_agent())
        with enter_place(find_run_place(run)):
            logger.warning("sold %s", "hunter2", extra={"order": 7})
        return run


def check(received: Received, run: str) -> None:
    spans = {span.name: span for span in received.spans}
    assert sorted(span.name for span in received.spans) == [
        "chat scripted", "chat scripted", "execute_tool probe", "execute_tool probe", "invoke_agent net",
    ]  # fmt: skip
    root = spans["invoke_agent net"]
    assert root.trace_id.hex() == run.removeprefix("run-")
    assert not root.parent_span_id
    assert {span.parent_span_id for span in received.spans if span is not root} == {root.span_id}
    assert all(root.start_time_unix_nano <= span.start_time_unix_nano for span in received.spans)
    assert all(span.end_time_unix_nano <= root.end_time_unix_nano for span in received.spans)
    failed = [span for span in received.spans if span.status.code == 2]
    assert [(span.name, span.status.message) for span in failed] == [("execute_tool probe", "invalid_input")]
    assert read_attributes(root.attributes)["gen_ai.agent.name"] == "net"
    resource = read_attributes(received.traces[0].resource_spans[0].resource.attributes)
    assert resource["service.name"] == "quorate"
    assert "secret" not in str(received.traces)
    [runs] = received.find_points("quorate.runs")
    assert runs.as_int or runs.as_double == 1
    assert sum(point.count for point in received.find_points("gen_ai.execute_tool.duration")) == 2
    assert sum(point.count for point in received.find_points("gen_ai.client.operation.duration")) == 2
    [line] = received.logs
    assert (line.body.string_value, line.severity_text) == ("sold ********", "WARNING")
    assert (line.trace_id, line.span_id) == (root.trace_id, root.span_id)
    assert read_attributes(line.attributes) == {"order": 7, "quorate.logger": "shop", "quorate.run.id": run}


async def test_traces_and_counts_reach_a_receiver_over_http() -> None:
    """Right parents, right counts, an error is an error. part of rows A8 and A9"""
    async with http_receiver() as received:
        run = await send(received, protocol="http/protobuf")
        check(received, run)
        assert all(headers["x-key"] == "k" for headers in received.headers)


async def test_traces_and_counts_reach_a_receiver_over_grpc() -> None:
    """part of rows A8 and A9"""
    with grpc_receiver() as received:
        check(received, await send(received, protocol="grpc"))


async def test_what_is_logged_in_a_runtime_reaches_a_receiver(tmp_path: Path) -> None:
    """With the trace of its step, without secrets, and only for as long as the runtime is open. part of row A10"""

    @tool(effect="idempotent")
    async def sell() -> str:
        """Sell something."""
        logging.getLogger("shop").warning("sold for %s", "hunter2-secret")
        return "sold"

    agent = Agent("shop", model=ScriptedModel([call("sell"), "Done."]), tools=[sell])
    before = list(logging.getLogger().handlers)
    async with http_receiver() as received:
        telemetry = TelemetrySettings(endpoint=received.url, logs=True, headers=Secret("x-key=hunter2-secret"))
        secret = OpenAISettings(api_key=Secret("hunter2-secret"))
        settings = Settings(database=str(tmp_path / "q.db"), telemetry=telemetry, openai=secret)
        async with open_runtime(settings, agents=[agent]) as runtime:
            handle = await runtime.submit("Sell.", agent="shop")
            await handle.wait()
        [line] = [line for line in received.logs if "sold" in line.body.string_value]
        [done] = [span for span in received.spans if span.name == "execute_tool sell"]
    assert (line.trace_id, line.span_id) == (done.trace_id, done.span_id)
    assert "hunter2" not in str(received.lines)
    assert logging.getLogger().handlers == before


def test_spans_are_written_as_the_sdk_writes_them() -> None:
    """The same bytes mean the same, whatever stands in attributes; what no span can hold costs none."""
    context, parent = SpanContext("a" * 32, "b" * 16), SpanContext("a" * 32, "c" * 16)
    attributes: dict[str, Any] = {"s": "é", "i": 5, "f": 0.5, "b": True, "t": ("x", "y")}
    marks = (Mark("run.waiting", 1.25),)
    spans = [
        Span(
            kind="run",
            name="r",
            context=context,
            parent=parent,
            began=1.0,
            ended=2.0,
            attributes=attributes,
            marks=marks,
        ),
        Span(kind="model", name="m", context=parent, parent=None, began=3.0, ended=2.0, attributes={}, error="lost"),
    ]
    sent: list[bytes] = []
    sink, _ = open_sink(Receiver(endpoint="http://127.0.0.1:9"))
    sender = SpanSender(lambda data: Taken(sent.append(data)), resource=sink._resource, scope=sink._scope)
    assert sender.send(spans)
    ours, theirs = ExportTraceServiceRequest.FromString(sent[0]), encode_spans(list(sink._convert(spans)))
    for one in theirs.resource_spans[0].scope_spans[0].spans:
        if not one.status.code:
            one.ClearField("status")
    assert ours == theirs
    odd: dict[str, Any] = {"half": "\ud800", "huge": 1 << 70, "fine": 1}
    assert sender.send([Span(kind="tool", name="t", context=context, parent=None, began=1, ended=1, attributes=odd)])
    [span] = ExportTraceServiceRequest.FromString(sent[1]).resource_spans[0].scope_spans[0].spans
    assert read_attributes(span.attributes) == {"half": "\\ud800", "huge": str(1 << 70), "fine": 1}


class Taken:
    def __init__(self, _: None) -> None:
        self.success = True


async def test_a_receiver_that_is_away_costs_runs_nothing() -> None:
    """The run ends as ever, what could not be sent is counted, and the end of the program is not held up."""
    async with http_receiver() as received:
        received.status = 400
        sink, tally = open_sink(Receiver(endpoint=received.url, timeout_s=1))
        async with open_watcher(build_watcher(sink)) as watcher:
            assert await run_agent(watcher, build_agent())
            await watcher.flush()
            assert read_counts(tally)["quorate_telemetry_dropped_total"] == 5
        assert not received.traces


async def test_a_scrape_tells_what_happened() -> None:
    """Counts equal what happened, though only some traces are shown; no label holds anybody's words. row: A9"""
    async with http_receiver() as received:
        sink, tally = open_sink(Receiver(endpoint=received.url))
        async with open_watcher(build_watcher(sink, Sampling(share=0.0, keep_errors=False))) as watcher:
            for _ in range(3):
                await run_agent(watcher, build_agent())
            await run_agent(watcher, build_agent(fails=True))
            invented = Agent("net", model=ScriptedModel([call("my_name_is_bob", x=1), "No."]), tools=[probe])
            await run_agent(watcher, invented)
            await watcher.flush()
            counts = read_counts(tally)
            text = render(TallyCollector(tally))[0].decode()
        assert counts["quorate_runs_total completed"] == 4
        assert counts["quorate_runs_total failed"] == 1
        assert counts["gen_ai_execute_tool_duration_seconds_count probe"] == 4
        assert counts["gen_ai_execute_tool_duration_seconds_count probe invalid_input"] == 4
        assert counts["gen_ai_execute_tool_duration_seconds_count other invalid_input"] == 1
        assert counts["quorate_objective_events_total availability good"] == 4
        assert counts["quorate_objective_events_total availability bad"] == 1
        assert "bob" not in text
        assert "secret" not in text
        assert not received.traces
        assert received.find_points("quorate.runs")


@pytest.mark.parametrize(
    ("sampling", "shown"),
    [
        (Sampling(), {"completed", "failed"}),
        (Sampling(share=0.0), {"failed"}),
        (Sampling(share=0.0, keep_errors=False), set[str]()),
        (Sampling(share=0.0, keep_errors=False, keep_slower_s=0.0), {"completed", "failed"}),
        (Sampling(share=0.0, keep_errors=False, keep_slower_s=60.0), set[str]()),
    ],
)
async def test_which_traces_are_shown_is_chosen(sampling: Sampling, shown: set[str]) -> None:
    """A trace is shown as a whole or not at all."""
    async with http_receiver() as received:
        sink, _ = open_sink(Receiver(endpoint=received.url))
        async with open_watcher(build_watcher(sink, sampling)) as watcher:
            await run_agent(watcher, build_agent())
            await watcher.flush()
            await run_agent(watcher, build_agent(fails=True))
        roots = [span for span in received.spans if span.name == "invoke_agent net"]
        assert {read_attributes(root.attributes)["quorate.outcome"] for root in roots} == shown
        sizes = {sum(span.trace_id == root.trace_id for span in received.spans) for root in roots}
        assert sizes <= {5}


def open_sink(receiver: Receiver, *, logs: bool = False) -> tuple[OtelSink, Tally]:
    tally = Tally(NAMES)
    counting = CountingSink(Meters(NAMES, tally), load_objectives())
    return build_sink(counting, tally, version="1", exporters=open_receiver(receiver, logs=logs)), tally


def read_counts(tally: Tally) -> dict[str, float]:
    """What a scrape shows, by name and the labels that matter here."""
    counts: dict[str, float] = {}
    wanted = ("quorate_outcome", "gen_ai_tool_name", "error_type", "quorate_objective", "quorate_result")
    for family in text_string_to_metric_families(render(TallyCollector(tally))[0].decode()):
        for sample in family.samples:
            if "le" not in sample.labels:
                labels = [sample.labels[name] for name in wanted if sample.labels.get(name)]
                counts[" ".join([sample.name, *labels])] = sample.value
    return counts
