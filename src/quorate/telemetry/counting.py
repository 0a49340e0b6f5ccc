"""How is what ended counted, where nothing is shown as traces?"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from quorate.telemetry.context import SpanContext
from quorate.telemetry.meters import Meters
from quorate.telemetry.objectives import Objectives, judge
from quorate.telemetry.watcher import Batch


class CountingSink:
    """Counts, and shows nothing.

    Args:
        meters: What is counted.
        objectives: What is promised; each promise is counted as kept or broken.
    """

    def __init__(self, meters: Meters, objectives: Objectives) -> None:
        self.meters = meters
        self.closing: list[Callable[[], None]] = []
        """What else is to be closed."""
        self._objectives = objectives.objective
        meters.open_objectives(self._objectives)

    def show(self, batch: Batch) -> None:
        """Count what ended."""
        meters, objectives = self.meters, self._objectives
        meters.count(batch.spans)
        meters.count_requests(batch.requests)
        meters.count_judged(one for fact in batch.facts for one in judge(objectives, fact))
        for fact in batch.facts:
            if fact.vote is not None:
                meters.count_votes(fact.agent, fact.vote)
        meters.count_dropped(batch.dropped)

    def close(self) -> None:
        """Close what is open."""
        for close in self.closing:
            close()

    @contextmanager
    def enter(self, context: SpanContext) -> Generator[None]:
        """Do nothing: nobody else traces here."""
        yield

    def find_trace(self) -> str:
        """Find nothing: nobody else traces here."""
        return ""
