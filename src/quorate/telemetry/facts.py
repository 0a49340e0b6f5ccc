"""What in a run's record is a promise kept or broken: how it ended, how long it took, when it began, how it voted?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from quorate.events import (
    ENDINGS,
    AnyEvent,
    RunCancelled,
    RunCreated,
    RunFailed,
    RunResumed,
    RunStarted,
    RunWaiting,
)
from quorate.telemetry.votes import VOTES, Vote, VoteReader

Kind = Literal["outcome", "duration", "start", "vote"]
WAITING = "waiting"
"""The error of what has not happened yet."""


class Fact(Struct, frozen=True, gc=False):
    """Something that has ended and that somebody may have promised something about."""

    kind: Kind
    agent: str
    seconds: float
    error: str = ""
    """The code of the error it ended with; empty where it went well."""
    vote: Vote | None = None
    """How something was decided, where it is about that."""


FACTUAL = frozenset({RunCreated, RunStarted, RunWaiting, RunResumed, *VOTES, *ENDINGS})
"""Events that say something of that kind; all others need not be read."""


class FactReader:
    """Reads the facts of one run from its events, in order, as they come."""

    __slots__ = ("_agent", "_created", "_has_begun", "_has_ended", "_rested_s", "_rests_since", "_votes")

    def __init__(self) -> None:
        self._agent = ""
        self._created = 0.0
        self._has_begun = False
        self._has_ended = False
        self._rests_since: float | None = None
        self._rested_s = 0.0
        self._votes = VoteReader()

    def add(self, event: AnyEvent) -> Iterator[Fact]:
        """Take the next event, and yield what is known with it."""
        if isinstance(event, RunCreated):
            self._agent, self._created = event.agent, event.time
        elif isinstance(event, RunStarted):
            yield from self._begin(event.time)
        elif isinstance(event, RunWaiting):
            # Whoever waits for an answer, a time or a person is not served slowly; a run that lost its process is.
            self._rests_since = event.time if event.reason not in ("interrupted",) else None
        elif isinstance(event, RunResumed):
            yield from self._begin(event.time)
            self._stop_resting(event.time)
        elif isinstance(event, VOTES):
            for vote in self._votes.add(event, rested_s=self._rested_s):
                yield Fact("vote", self._agent, vote.seconds, vote=vote)
        elif isinstance(event, ENDINGS):
            yield from self._end(event)

    def wait(self, now: float) -> Iterator[Fact]:
        """Yield what has not happened yet, though somebody waits for it."""
        if self._created and not self._has_begun and not self._has_ended:
            yield Fact("start", self._agent, max(0.0, now - self._created), WAITING)

    def _begin(self, time: float) -> Iterator[Fact]:
        if not self._has_begun:
            self._has_begun = True
            yield Fact("start", self._agent, max(0.0, time - self._created))

    def _stop_resting(self, time: float) -> None:
        if self._rests_since is not None:
            self._rested_s += max(0.0, time - self._rests_since)
            self._rests_since = None

    def _end(self, event: AnyEvent) -> Iterator[Fact]:
        self._has_ended = True
        if isinstance(event, RunCancelled):
            return  # whoever stops a run is served by that
        self._stop_resting(event.time)
        error = event.code if isinstance(event, RunFailed) else ""
        seconds = max(0.0, event.time - self._created - self._rested_s)
        if not self._has_begun:
            yield Fact("start", self._agent, seconds, error or "never_began")
        yield Fact("outcome", self._agent, seconds, error)
        yield Fact("duration", self._agent, seconds, error)


def read_facts(events: Iterable[AnyEvent], *, now: float | None = None) -> Iterator[Fact]:
    """Read the facts of a whole log; with the time, also what somebody waits for."""
    reader = FactReader()
    for event in events:
        yield from reader.add(event)
    if now is not None:
        yield from reader.wait(now)
