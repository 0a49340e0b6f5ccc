"""How is what happens in a process shown to those who operate it, as its settings say?"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from msgspec import structs

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
from quorate.telemetry.describe import Describer
from quorate.telemetry.names import load_names
from quorate.telemetry.place import get_place
from quorate.telemetry.sampling import Sampling
from quorate.telemetry.spans import Span
from quorate.telemetry.watcher import Watcher, open_watcher
from quorate.tools.threads import ThreadPool

if TYPE_CHECKING:
    from quorate.models.observed import CallRecord
    from quorate.telemetry.otel import OtelSink

SCRAPE_S = 2.0
"""How long a scrape waits for what has just happened to be counted."""


class Watched(LogAround):
    """A log of which a watcher hears what is appended to it."""

    def __init__(self, inner: Log, watcher: Watcher) -> None:
        super().__init__(inner)
        self._watcher = watcher

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events, and let the watcher have them."""
        await self.inner.append(run, events, expected=expected)
        self._watcher.note(events)


class Watching:
    """What a runtime does so that its runs are seen: tools know their place, and who asks for a run is found."""

    def __init__(self, watcher: Watcher, sink: OtelSink, describer: Describer) -> None:
        self.watcher = watcher
        self._sink = sink
        self._describer = describer

    def wrap(self, tools: Toolset) -> Toolset:
        """Let tools know which step they work for."""
        return Traced(tools, self._sink.enter)

    def find_trace(self) -> str:
        """Find whose trace asks for something just now: that of the step under way, or of the program around."""
        place = get_place()
        return place.context.traceparent if place is not None else self._sink.find_trace()

    def note_call(self, record: CallRecord) -> None:
        """Take a model call that no run made; those of runs are in their logs."""
        if record.caller.run:
            return
        parent = parse_traceparent(self.find_trace())
        own = SpanContext(os.urandom(16).hex() if parent is None else parent.trace_id, os.urandom(8).hex())
        error = "" if record.outcome == "ok" else record.outcome
        say = self._describer
        attributes = say.describe_call(
            asked=record.model,
            answered=record.answered,
            provider=record.provider,
            usage=record.usage,
            cost_usd=record.cost_usd or 0.0,
        )
        self.watcher.note_span(
            Span(
                kind="model",
                name=say.name("model", record.model),
                context=own,
                parent=parent,
                began=record.began,
                ended=record.began + record.duration_s,
                attributes=attributes | say.describe_error(error),
                error=error,
            )
        )


@asynccontextmanager
async def open_watching(settings: Settings, store: Store) -> AsyncGenerator[tuple[Store, Watching]]:
    """Show what happens from now on, as the settings say; what is left at the end is shown within a few seconds.

    Args:
        settings: Who is shown what.
        store: What is watched; the one that is yielded is to be used.

    Raises:
        MissingExtra: What speaks OpenTelemetry is not installed.
        InvalidInput: The headers or an address are not what they must be.
        Forbidden: Anybody could scrape from another machine.
        Unavailable: The port for scrapes is taken.
    """
    chosen = settings.telemetry
    headers, place = check_telemetry(chosen)
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        raise MissingExtra("traces and metrics", "otel")
    otel = await asyncio.to_thread(importlib.import_module, "quorate.telemetry.otel")
    names = await asyncio.to_thread(load_names)
    loop = asyncio.get_running_loop()

    async def find_before(run: str) -> Sequence[AnyEvent]:
        return await store.log.read(run)

    def refresh() -> None:
        flushing = asyncio.run_coroutine_threadsafe(watcher.flush(), loop)
        try:
            flushing.result(SCRAPE_S)
        except (TimeoutError, CancelledError):  # what was counted before is worth a scrape, whoever else is slow
            flushing.cancel()

    receiver = None
    if chosen.endpoint:
        receiver = otel.Receiver(endpoint=chosen.endpoint, protocol=chosen.protocol, headers=headers)
    facts = {"deployment.environment.name": settings.environment}
    sink: OtelSink = await asyncio.to_thread(
        otel.open_sink,
        names,
        receiver=receiver,
        console=chosen.console,
        metrics=place,
        refresh=refresh,
        facts=facts,
    )
    describer = Describer(names, find_provider=_Providers().find, content=chosen.content)
    sampling = Sampling(share=chosen.share, keep_errors=chosen.keep_errors, keep_slower_s=chosen.keep_slower_s)
    threads = ThreadPool(1)

    async def work(function: Callable[..., object], *args: object) -> object:
        return await threads.run(partial(function, *args))

    watcher = Watcher(
        sink, describer, find_before=find_before, sampling=sampling, interval_s=chosen.interval_s, work=work
    )  # fmt: skip
    async with open_watcher(watcher):
        yield structs.replace(store, log=Watched(store.log, watcher)), Watching(watcher, sink, describer)


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
