"""What is a session, what may become of it, and what is known of its runs?"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from quorate.events import RunSummary
from quorate.messages import Usage

SessionStatus = Literal["active", "suspended", "completed", "failed", "archived"]
"""How a session stands; only an active one takes turns, and the last three are ends."""

SessionOrder = Literal["newest", "oldest", "updated", "id"]
"""How sessions are listed: by birth, youngest or oldest first; by what was changed last; or by id."""

ENDED: tuple[SessionStatus, ...] = ("completed", "failed", "archived")

TRANSITIONS: Mapping[SessionStatus, tuple[SessionStatus, ...]] = MappingProxyType(
    {
        "active": ("suspended", "completed", "failed", "archived"),
        "suspended": ("active", "completed", "failed", "archived"),
        "completed": ("archived",),
        "failed": ("archived",),
        "archived": (),
    }
)
"""What may follow what; whoever wants to go on from an end forks it."""


class SessionLimits(Struct, frozen=True, kw_only=True, gc=False):
    """The bounds of a session; `None` is none."""

    max_runs: int | None = None
    max_concurrent_runs: int | None = None
    """How many may be queued or running at once; those that rest do not count."""
    max_cost_usd: float | None = None
    """A turn is refused once so much was spent; what is under way goes on."""
    max_idle_s: float | None = None
    """How long it may stand still before it expires; a suspended one may stand still."""
    max_age_s: float | None = None
    """How long after its creation it expires."""


NO_LIMITS = SessionLimits()


class Origin(Struct, frozen=True, kw_only=True, gc=False):
    """Where a forked session goes on from."""

    session: str
    run: str
    seq: int
    """The last event of that run that belongs to the fork, too."""


class Hold(Struct, frozen=True, kw_only=True, gc=False):
    """A turn that was begun and whose run is not in the log yet."""

    run: str
    since: float
    named: bool = True
    """Whether `run` is the id that the run will have."""


class Cleaned(Struct, frozen=True, kw_only=True, gc=False):
    """That a cleanup hook was run when the session had ended."""

    at: float
    error: str = ""
    """What went wrong, if anything."""


class Session(Struct, frozen=True, kw_only=True, gc=False):
    """A conversation over several runs: whose it is, how it stands, what it may use.

    What was said is in the logs of its runs; this record can be lost without losing any of it.
    """

    id: str
    tenant: str
    principal: str
    """Who owns it."""
    status: SessionStatus = "active"
    title: str = ""
    tags: tuple[str, ...] = ()
    metadata: dict[str, object] = {}
    shared_with: tuple[str, ...] = ()
    """Who else may read it, take turns in it and fork it."""
    limits: SessionLimits = SessionLimits()
    created: float
    updated: float
    active: float
    """When it was last created, resumed or used, as far as this record knows; see `max_idle_s`."""
    expires: float | None = None
    """Wall time from which on it takes no turns."""
    ended: float | None = None
    reason: str = ""
    """Why it was suspended or ended."""
    parent: Origin | None = None
    last_run: str = ""
    """The last run of the conversation when a turn was last begun: a hint; the log is the truth."""
    cut: str = ""
    """The youngest of the runs that turns do not go on from any more, because what was said before them is lost."""
    holds: tuple[Hold, ...] = ()
    cleaned: dict[str, Cleaned] = {}
    """Which cleanup hooks were run since it ended, by name."""
    cleaning: float = 0.0
    """Until when somebody is taken to be running the others."""
    recovered: tuple[str, ...] = ()
    """What was mended in it, in words."""
    revision: int = 0
    """The revision of its record; see `update`."""

    @property
    def is_ended(self) -> bool:
        """Whether nothing more can happen in it."""
        return self.status in ENDED


class Turn(Struct, frozen=True, kw_only=True, gc=False):
    """Where the next run of a session goes on from."""

    session: str
    run: str
    """The id that is held for the run; it counts against the session's limits as soon as it is recorded under it."""
    previous: str = ""
    """The last run of the conversation that has ended or rests; empty when this is the first."""
    previous_seq: int = 0
    """Up to which event of it."""


class TimelineEntry(Struct, frozen=True, kw_only=True, gc=False):
    """One run of a session, and where it stands in the conversation."""

    run: RunSummary
    previous: str
    previous_seq: int
    beside: tuple[str, ...]
    """Other runs of the session that go on from the same one: the conversation forks there."""


class SessionUsage(Struct, frozen=True, kw_only=True, gc=False):
    """What all runs of a session have used."""

    runs: int
    open: int
    """How many of them are queued or running; what those use is known when they rest."""
    usage: Usage
    cost_usd: float | None
    """US dollars; `None` when the cost of one is not known."""


class SessionPage(Struct, frozen=True, kw_only=True, gc=False):
    """Some sessions, and where the next ones begin."""

    sessions: tuple[Session, ...]
    cursor: str
    """What to pass to get the next page; empty when there is none."""
    corrupt: tuple[str, ...] = ()
    """Ids whose record cannot be read: `recover` builds them again from the log."""


class DeletedSession(Struct, frozen=True, kw_only=True, gc=False):
    """What went with a session."""

    session: str
    runs: tuple[str, ...]
    cleaned: dict[str, Cleaned]
