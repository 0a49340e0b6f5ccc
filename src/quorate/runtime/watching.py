"""How is what happens in a process shown to those who operate it, as its settings say?"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, structs

from quorate.addresses import is_loopback_name
from quorate.agent.traced import Traced
from quorate.errors import Forbidden, InvalidInput, MissingExtra, QuorateError
from quorate.events import AnyEvent
from quorate.models.facts import load_facts
from quorate.ports import Log, Store, Toolset
from quorate.settings import Settings
from quorate.settings.values import TelemetrySettings
from quorate.state.around import LogAround
from quorate.telemetry.context import SpanContext, parse_traceparent
from quorate.telemetry.counting import CountingSink
from quorate.telemetry.describe import Describer
from quorate.telemetry.logs import JsonFormatter
from quorate.telemetry.meters import Meters
from quorate.telemetry.names import Names, load_names
from quorate.telemetry.objectives import load_objectives
from quorate.telemetry.place import get_place
from quorate.telemetry.requests import RequestPlace, RequestRecord, open_place
from quorate.telemetry.sampling import Sampling
from quorate.telemetry.shipping import LogShip
from quorate.telemetry.spans import Span
from quorate.telemetry.tally import Tally
from quorate.telemetry.watcher import Watcher, open_watcher
from quorate.tools.threads import ThreadPool

if TYPE_CHECKING:
    from quorate.models.observed import CallRecord
    from quorate.telemetry.otel import OtelSink
    from quorate.telemetry.prometheus import TallyCollector

SCRAPE_S = 2.0
"""How long a scrape waits for what has just happened to be counted."""
SCOPE = "quorate"


class Watched(LogAround):
    """A log of which a watcher hears what is appended to it."""

    def __init__(self, inner: Log, watcher: Watcher) -> None:
        super().__init__(inner)
        self._watcher = watcher

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events, and let the watcher have them."""
        await self.inner.append(run, events, expected=expected)
        self._watcher.note(events)


class Listener(Protocol):
    """Somebody who listens to the bus."""

    @property
    def dropped(self) -> int:
        """How many events gave way."""
        ...


class Shown(Struct, frozen=True, kw_only=True):
    """What happens is shown with."""

    watcher: Watcher
    sink: CountingSink | OtelSink
    meters: Meters
    tally: Tally
    describer: Describer
    sampling: Sampling
    facts: Mapping[str, str] = {}
    """What this process is."""
    has_traces: bool = False
    """Whether traces are shown to anybody."""


class Watching:
    """What a runtime does so that its runs are seen: tools know their place, and who asks for a run is found."""

    def __init__(self, shown: Shown) -> None:
        self.watcher = shown.watcher
        self._shown = shown

    @property
    def shows_traces(self) -> bool:
        """Whether traces are shown to anybody; otherwise things are counted alone."""
        return self._shown.has_traces

    def wrap(self, tools: Toolset) -> Toolset:
        """Let tools know which step they work for."""
        return Traced(tools, self._shown.sink.enter)

    def find_trace(self) -> str:
        """Find whose trace asks for something just now: that of the step under way, or of the program around."""
        place = get_place()
        return place.context.traceparent if place is not None else self._shown.sink.find_trace()

    def find_header(self) -> str:
        """Find the `traceparent` for those whom we ask; empty where traces are shown to nobody."""
        return self.find_trace() if self._shown.has_traces else ""

    def open_request(self, header: str) -> RequestPlace:
        """Give a request over HTTP its place in a trace; `header` is the `traceparent` that came with it."""
        return open_place(header, self._shown.sampling)

    def note_request(self, record: RequestRecord) -> None:
        """Take a request over HTTP that has ended."""
        self.watcher.note_request(record)

    def note_call(self, record: CallRecord) -> None:
        """Take a model call that no run made; those of runs are in their logs."""
        if not record.caller.run:
            self.watcher.note_span(partial(self._build_call, record, self.find_trace()))

    def count(self, metric: str, value: float = 1, **labels: str) -> None:
        """Count something that is neither a run nor a request, such as `count("quota_refusals", quota="tokens")`.

        Args:
            metric: What it is called in `names.toml`.
            value: How much.
            labels: What tells it apart, by what labels are called there: words of ours, never anybody else's.
        """
        self._shown.meters.count_one(metric, labels, value)

    def look(
        self, metric: str, look: Callable[[], Iterable[tuple[float, Mapping[str, str]]]]
    ) -> Callable[[], None]:  # fmt: skip
        """Let something be looked at whenever somebody reads what was counted; return what ends that.

        Args:
            metric: What it is called in `names.toml`.
            look: Gives its values, each with labels as `count` takes them; it is called in a thread.
        """
        name = self._shown.meters.name_labels
        return self._shown.tally.look(metric, lambda: [(value, name(labels)) for value, labels in look()])

    def look_at(self, listener: Listener) -> None:
        """Let it be counted what somebody who listens to the bus was too slow for."""
        self.look("events_dropped", lambda: [(listener.dropped, {})])

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """Write what was counted for a scrape, and say in which form.

        Args:
            accept: Which forms are wanted, as the header says it.

        Raises:
            MissingExtra: What writes it is not installed.
        """
        prometheus, shown = await _load_prometheus(), self._shown
        with suppress(TimeoutError):  # what was counted before is worth a scrape, whoever else is slow
            async with asyncio.timeout(SCRAPE_S):
                await self.watcher.flush()
        collector: TallyCollector = prometheus.TallyCollector(shown.tally, facts=shown.facts)
        return await asyncio.to_thread(prometheus.render, collector, accept)

    def _build_call(self, record: CallRecord, trace: str) -> Span:
        parent, say = parse_traceparent(trace), self._shown.describer
        trace_id = os.urandom(16).hex() if parent is None else parent.trace_id
        error = "" if record.outcome == "ok" else record.outcome
        attributes = say.describe_call(
            asked=record.model,
            answered=record.answered,
            provider=record.provider,
            usage=record.usage,
            cost_usd=record.cost_usd or 0.0,
            is_stream=record.is_stream,
            first_s=record.first_s,
        )
        return Span(
            kind="model",
            name=say.name("model", record.model),
            context=SpanContext(trace_id, os.urandom(8).hex(), parent is None or parent.is_sampled),
            parent=parent,
            began=record.began,
            ended=record.began + record.duration_s,
            attributes=attributes | say.describe_error(error),
            error=error,
        )


@asynccontextmanager
async def open_watching(settings: Settings, store: Store) -> AsyncGenerator[tuple[Store, Watching]]:
    """Show what happens from now on, as the settings say; what is left at the end is shown within a few seconds.

    Args:
        settings: Who is shown what.
        store: What is watched; the one that is yielded is to be used.

    Raises:
        MissingExtra: What speaks OpenTelemetry or to Prometheus is not installed.
        InvalidInput: The headers, an address or the objectives are not what they must be.
        Forbidden: Anybody could scrape from another machine.
        Unavailable: The port for scrapes is taken.
    """
    chosen = settings.telemetry
    headers, place = check_telemetry(chosen)
    if chosen.shows_traces and importlib.util.find_spec("opentelemetry.sdk") is None:
        raise MissingExtra("traces", "otel")
    names = await asyncio.to_thread(load_names)
    objectives = await asyncio.to_thread(load_objectives, chosen.objectives)
    facts = {"service.name": SCOPE, "service.version": version(SCOPE)}
    facts |= {"deployment.environment.name": settings.environment}
    tally = Tally(names)
    counting = CountingSink(Meters(names, tally), objectives)
    sink = await _open_sink(settings, names, counting, tally, headers=headers, facts=facts)
    describer = Describer(names, find_provider=_Providers().find, content=chosen.content)
    sampling = Sampling(share=chosen.share, keep_errors=chosen.keep_errors, keep_slower_s=chosen.keep_slower_s)
    threads = ThreadPool(1)

    async def find_before(run: str) -> Sequence[AnyEvent]:
        return await store.log.read(run)

    async def work(function: Callable[..., object], *args: object) -> object:
        return await threads.run(partial(function, *args))

    watcher = Watcher(
        sink, describer, find_before=find_before, sampling=sampling, interval_s=chosen.interval_s, work=work
    )  # fmt: skip
    if place is not None:
        counting.closing.append(await _serve_metrics(watcher, tally, facts, place))
    shown = Shown(
        watcher=watcher,
        sink=sink,
        meters=counting.meters,
        tally=tally,
        describer=describer,
        sampling=sampling,
        facts=facts,
        has_traces=chosen.shows_traces,
    )
    async with open_watcher(watcher):
        yield structs.replace(store, log=Watched(store.log, watcher)), Watching(shown)


async def _open_sink(
    settings: Settings,
    names: Names,
    counting: CountingSink,
    tally: Tally,
    *,
    headers: dict[str, str],
    facts: dict[str, str],
) -> CountingSink | OtelSink:
    """Open what is shown what ends; the SDK is loaded only where something is sent."""
    chosen = settings.telemetry
    if not chosen.shows_traces:
        return counting
    otel = await asyncio.to_thread(importlib.import_module, "quorate.telemetry.otel")
    exporters = otel.Exporters()
    if chosen.endpoint:
        receiver = otel.Receiver(endpoint=chosen.endpoint, protocol=chosen.protocol, headers=headers)
        exporters = await asyncio.to_thread(otel.open_receiver, receiver, logs=chosen.logs)
    if chosen.console:
        exporters.spans.append(otel.open_console())
    build = partial(otel.build_sink, counting, tally, version=version(SCOPE), exporters=exporters, facts=facts)
    sink: OtelSink = await asyncio.to_thread(build)
    if chosen.endpoint and chosen.logs:
        ship = sink.logs = LogShip(JsonFormatter(secrets=settings.list_secret_texts))
        logging.getLogger().addHandler(ship)
        counting.closing.append(lambda: logging.getLogger().removeHandler(ship))
    return sink


async def _load_prometheus() -> ModuleType:
    if importlib.util.find_spec("prometheus_client") is None:
        raise MissingExtra("scrapes by Prometheus", "otel")
    return await asyncio.to_thread(importlib.import_module, "quorate.telemetry.prometheus")


async def _serve_metrics(
    watcher: Watcher, tally: Tally, facts: Mapping[str, str], place: tuple[str, int]
) -> Callable[[], None]:
    """Let Prometheus scrape at a port of its own, and return what ends that."""
    loop = asyncio.get_running_loop()

    def refresh() -> None:
        flushing = asyncio.run_coroutine_threadsafe(watcher.flush(), loop)
        try:
            flushing.result(SCRAPE_S)
        except (TimeoutError, CancelledError):  # what was counted before is worth a scrape, whoever else is slow
            flushing.cancel()

    prometheus = await _load_prometheus()
    collector = prometheus.TallyCollector(tally, facts=facts, refresh=refresh)
    close: Callable[[], None] = await asyncio.to_thread(
        prometheus.serve_metrics, collector, host=place[0], port=place[1]
    )
    return close


def check_telemetry(chosen: TelemetrySettings) -> tuple[dict[str, str], tuple[str, int] | None]:
    """Return the receiver's headers, and where scrapes come in.

    Raises:
        InvalidInput: They are not what they must be; no header's value is shown.
        Forbidden: Anybody could scrape from another machine.
    """
    if chosen.endpoint and not chosen.endpoint.startswith(("http://", "https://")):
        raise InvalidInput(
            f"`telemetry.endpoint` is {chosen.endpoint!r}: begin it with `http://` or `https://`, such as "
            "`http://127.0.0.1:4318`."
        )
    headers: dict[str, str] = {}
    for pair in chosen.headers.reveal().split(",") if chosen.headers is not None else ():
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not f"{name}{value}".isprintable():
            raise InvalidInput("`telemetry.headers` is not a list such as `name=value,name=value`.")
        headers[name.strip().lower()] = value.strip()
    if not chosen.metrics:
        return headers, None
    host, colon, port = chosen.metrics.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise InvalidInput(f"`telemetry.metrics` is {chosen.metrics!r}: write a host and a port, `127.0.0.1:9464`.")
    if not is_loopback_name(host.strip("[]")):
        raise Forbidden(
            f"`telemetry.metrics` is {chosen.metrics!r}, which other machines could read without being asked who they "
            "are: use a loopback address, and let an agent on this machine scrape it, or send by `telemetry.endpoint`."
        )
    return headers, (host.strip("[]"), int(port))


class _Providers:
    """The providers of models, as OpenTelemetry spells them."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def find(self, model: str) -> str:
        prefix, colon, _ = model.partition(":")
        if not colon:
            return ""
        if prefix not in self._known:
            try:
                self._known[prefix] = load_facts(prefix).find_provider(prefix).otel
            except QuorateError:
                self._known[prefix] = prefix.replace("-", "_")
        return self._known[prefix]
