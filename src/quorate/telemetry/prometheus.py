"""How is what was counted scraped by Prometheus?"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from quorate.errors import Unavailable
from quorate.telemetry.prometheus_words import name_family, name_sample, spell
from quorate.telemetry.tally import Bars, Key, Point, Series, Tally

_logger = logging.getLogger("quorate.telemetry")


class TallyCollector(Collector):
    """Gives a tally to `prometheus_client`.

    Args:
        tally: What was counted.
        facts: What this process is, shown as `target_info`.
        refresh: Called before, in the thread of the scrape, so that what has just happened is counted.
    """

    def __init__(
        self, tally: Tally, *, facts: Mapping[str, str] | None = None, refresh: Callable[[], None] = lambda: None
    ) -> None:
        self._tally = tally
        self._facts = {spell(name): value for name, value in (facts or {}).items()}
        self._refresh = refresh

    def collect(self) -> Iterable[Metric]:
        """Give everything as it stands."""
        self._refresh()
        if self._facts:
            about = Metric("target", "What this process is.", "info")
            about.add_sample("target_info", self._facts, 1)
            yield about
        for series in self._tally.read():
            yield build_metric(series)


def build_metric(series: Series) -> Metric:
    """Build what Prometheus reads of one metric."""
    rule = series.rule
    name = name_family(rule)
    metric = Metric(name, rule.description, rule.kind)
    for point in series.points:
        labels = build_labels(point.labels)
        for suffix, more, value in _list_samples(point, rule.buckets):
            metric.add_sample(f"{name_sample(rule)}{suffix}", labels | more, value)
    return metric


def build_labels(key: Key) -> dict[str, str]:
    """Build labels as Prometheus spells them."""
    return {spell(name): ("true" if value else "false") if isinstance(value, bool) else str(value)
            for name, value in key}  # fmt: skip


def serve_metrics(collector: TallyCollector, *, host: str, port: int) -> Callable[[], None]:
    """Serve `/metrics` in a thread, and return what ends that.

    Raises:
        Unavailable: The port is taken.
    """
    registry = CollectorRegistry()
    registry.register(collector)
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


def render(collector: TallyCollector, accept: str = "") -> tuple[bytes, str]:
    """Write what is scraped, in the form that was asked for, and say which form that is."""
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        encode, kind = choose_encoder(accept)
    except (TypeError, ValueError):  # it asks for a version that is none
        encode, kind = choose_encoder("")
    return encode(registry), kind


def _list_samples(point: Point, bounds: tuple[float, ...]) -> Iterator[tuple[str, dict[str, str], float]]:
    if not isinstance(point.value, Bars):
        yield "", {}, point.value
        return
    seen = 0
    for bound, count in zip((*bounds, math.inf), point.value.counts, strict=True):
        seen += count
        yield "_bucket", {"le": "+Inf" if math.isinf(bound) else repr(float(bound))}, seen
    yield "_count", {}, seen
    yield "_sum", {}, point.value.sum
