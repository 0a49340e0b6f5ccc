"""How does a replay write its log, checked against the recorded one event by event?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from quorate.agent.journal import Journal
from quorate.agent.replay.stage import Stage
from quorate.clock import Clock
from quorate.errors import Fenced, Nondeterministic
from quorate.events import AnyEvent, ModelRequested

Watch = Callable[[AnyEvent], Awaitable[None]]
"""Waits after an event as long as whoever looks at it likes."""


class ReplayJournal(Journal):
    """The log of an attempt that is played again, in memory.

    What the run writes gets the recorded time and attempt token, and must then be the recorded event, byte for byte.
    """

    __slots__ = ("_fresh", "_shown", "_stage", "_watch")

    def __init__(self, run: str, stage: Stage, *, clock: Clock, watch: Watch | None = None) -> None:
        super().__init__(run, None, clock=clock, attempt="")
        self._stage = stage
        self._watch = watch
        self._shown = 0
        self._fresh: list[AnyEvent] = []

    def begin(self) -> None:
        """Find out what comes first in the attempt."""
        self._stage.settle()

    def take_given(self) -> None:
        """Take over what came from outside since the last event."""
        given, self._stage.given = self._stage.given, []
        for event in given:
            if event.key:
                self._remember(event)
            self._add(event)

    def write(self, kind: Callable[..., AnyEvent], key: str = "", **facts: object) -> AnyEvent:
        """Write an event where the recording has it; what differs ends the replay at its next commit."""
        stage = self._stage
        expected = stage.next
        if self.broken is not None or expected is None:
            if self.broken is None:
                self.stop()
            return kind(run=self.run, seq=self.position + 1, time=0.0, key=key, attempt=self.attempt, **facts)
        if isinstance(expected, ModelRequested) and kind is ModelRequested:
            facts["digest"] = _match(expected.digest, str(facts.get("digest", "")))
        event = kind(run=self.run, seq=expected.seq, time=expected.time, key=key, attempt=expected.attempt, **facts)
        if not stage.check(event):
            assert stage.divergence is not None
            self.broken = Nondeterministic(stage.divergence.describe(), key=key)
            return event
        self.take_given()
        self._add(event)
        stage.advance()
        return event

    async def approach(self, key: str) -> None:
        """Wait until a step of a procedure is the next that was recorded.

        Raises:
            Nondeterministic: The replay has left the recording.
        """
        if self.broken is None:
            await self._stage.wait_step(key)
        if self.broken is not None:
            raise self.broken

    async def commit(self, branch: str = "", *, joins: bool = False) -> None:
        """Wait until whoever commits is the one who goes on.

        Raises:
            Nondeterministic: The replay has left the recording.
            Fenced: The recorded attempt did no more.
        """
        fresh, self._fresh = self._fresh, []
        if self._watch is not None:
            await self._show(fresh, self._watch)
        if self.broken is None:
            await self._stage.wait_turn(fresh[-1] if fresh else None)
        if self.broken is not None:
            raise self.broken

    async def _show(self, fresh: list[AnyEvent], watch: Watch) -> None:
        self._stage.running.clear()
        self._shown += 1
        try:
            for event in fresh:
                await watch(event)
        finally:
            self._shown -= 1
            if not self._shown:
                self._stage.running.set()

    def find(self, key: str) -> AnyEvent | None:
        """Find what earlier attempts recorded for a step; a delegate asks before it begins, and is noted."""
        stage = self._stage
        if key.endswith("/"):
            known = {id(scope) for scope in stage.scopes.values()}
            for scope in stage.scope.list_inner():
                if id(scope) not in known:
                    stage.scopes[key] = stage.scope.calm(scope)
                    stage.warn(key)
        return super().find(key)

    def stop(self) -> None:
        """Write nothing more: the recorded attempt died here."""
        self.broken = self.broken or Fenced(f"The recorded attempt at run {self.run!r} did no more.")

    def _add(self, event: AnyEvent) -> None:
        self._fresh.append(event)
        self._publish((event,))
        self._seq = self.position


def _match(recorded: str, asked: str) -> str:
    """Return what a model is asked as far as the recording tells: older ones tell nothing, scrubbed ones not all."""
    return recorded if not recorded or asked.startswith(f"{recorded}.") else asked
