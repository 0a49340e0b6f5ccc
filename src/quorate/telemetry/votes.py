"""How long did it take until something was decided, and how much did those who voted agree?"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from quorate.events import AnyEvent, VoteCast, VoteClosed, VoteDecided, VoteOpened

MAX_VOTES = 1_000
"""How many decisions of one run are open at once."""
VOTES = (VoteOpened, VoteCast, VoteClosed, VoteDecided)
"""Events of decisions."""
OUTCOMES = frozenset({"vote", "arbiter", "person", "none"})
"""What can have decided; `none` where nothing did."""


ABSTAINS = '"abstains":true'
"""What the ballot of somebody has who is for nothing; other ballots say it only inside of quotes."""


class Vote(Struct, frozen=True, gc=False):
    """How something was decided."""

    seconds: float
    """From the opening of the first ballot, the time not counted that the run waited for people."""
    outcome: str
    """What decided it."""
    turnout: float | None = None
    """The share of the roll that was present, 0 to 1."""
    agreement: float | None = None
    """The share of the weight of those who voted that was for what won; nothing where no vote decided."""


class _Open(Struct):
    since: float
    """When it was opened, on a clock that stands still while the run rests."""
    weights: dict[str, float]
    cast: set[str]
    counted: VoteClosed | None = None


class VoteReader:
    """Reads how things were decided from the events of one run, in order, as they come."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def add(self, event: AnyEvent, *, rested_s: float = 0.0) -> Iterator[Vote]:
        """Take the next event, and yield what is known with it.

        Args:
            event: What happened.
            rested_s: How long the run has rested until then, in all.
        """
        time = event.time - rested_s
        if isinstance(event, VoteOpened):
            self._begin(event, time)
        elif isinstance(event, VoteCast):
            vote = self._open.get(event.decision or event.key)
            if vote is not None and ABSTAINS not in event.ballot:
                vote.cast.add(event.voter)
        elif isinstance(event, VoteClosed):
            if not event.decision:  # a ballot that is all there is
                yield from self._end(event.key, event, "vote" if event.winner is not None else "none", time)
            elif event.decision in self._open:
                self._open[event.decision].counted = event
        elif isinstance(event, VoteDecided):
            vote = self._open.get(event.decision)
            outcome = event.by if event.by in OUTCOMES else "none"
            yield from self._end(event.decision, vote.counted if vote is not None else None, outcome, time)

    def _begin(self, event: VoteOpened, time: float) -> None:
        place = event.decision or event.key
        before = self._open.get(place)
        if before is None and len(self._open) >= MAX_VOTES:
            return
        weights = dict(zip(event.roll, event.weights or (1.0,) * len(event.roll), strict=False))
        # Another ballot of the same decision: it has taken as long, and only the last one counts.
        self._open[place] = _Open(before.since if before is not None else time, weights, set())

    def _end(self, place: str, closed: VoteClosed | None, outcome: str, time: float) -> Iterator[Vote]:
        vote = self._open.pop(place, None)
        if vote is None:
            return
        agreement: float | None = None
        if closed is not None and closed.winner is not None and outcome == "vote":
            total = sum(vote.weights.get(voter, 0.0) for voter in vote.cast)
            against = sum(vote.weights.get(voter, 0.0) for voter in vote.cast.intersection(closed.dissent))
            agreement = (total - against) / total if total > 0 else None
        turnout = closed.turnout if closed is not None else None
        yield Vote(max(0.0, time - vote.since), outcome, turnout, agreement)
