"""What do callers send and read about sessions?"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from quorate.messages import AnyPart, Message, Usage
from quorate.server.views import RunView, Word, view_run
from quorate.state.sessions import (
    DeletedSession,
    Session,
    SessionLimits,
    SessionStatus,
    SessionUsage,
    TimelineEntry,
)

Title = Annotated[str, Meta(max_length=200, examples=["Slow shop"])]
Tags = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=100)]
Metadata = Annotated[dict[Word, object], Meta(max_length=1000)]
Shares = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...], Meta(max_length=100)]
SessionId = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$", examples=["shop"])]
Count = Annotated[int, Meta(ge=1, le=10**12)]
Amount = Annotated[float, Meta(gt=0, le=1e12)]


class SessionBounds(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The bounds of a session; what is left out is not bounded."""

    max_runs: Count | None = None
    max_concurrent_runs: Count | None = None
    """How many may be queued or running at once."""
    max_cost_usd: Amount | None = None
    """No turn is begun once so much was spent."""
    max_idle_s: Amount | None = None
    """How long it may stand still before it expires."""
    max_age_s: Amount | None = None
    """How long after its creation it expires."""


class SessionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session to begin."""

    id: SessionId | None = None
    """Made up when not given."""
    title: Title = ""
    tags: Tags = ()
    metadata: Metadata = {}
    """Facts about it: 16 KiB at most, and no secrets."""
    limits: SessionBounds = SessionBounds()
    shared_with: Shares = ()
    """Which principals may also read it, take turns in it and fork it."""


class SessionPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change in a session: each thing that is given is replaced as a whole, all else stays."""

    title: Title | None = None
    tags: Tags | None = None
    metadata: Metadata | None = None
    limits: SessionBounds | None = None
    shared_with: Shares | None = None


class ForkRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a session is gone on from in a new one."""

    run: Word | None = None
    """One of its runs; the last one when not given."""
    seq: Annotated[int, Meta(ge=0, le=10**12)] = 0
    """The last event of the run that belongs to both; 0 for the last one there is."""
    id: SessionId | None = None
    """Of the new session; made up when not given."""
    title: Title | None = None
    """Of the new session; that of the old one when not given."""


class PruneRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do with sessions that ended long ago; what has expired is ended in every case."""

    archive_after_s: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    """Archive what ended so many seconds ago."""
    delete_after_s: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    """Delete what ended so many seconds ago, with its runs."""
    max_deleted: Annotated[int, Meta(ge=1, le=1000)] = 100
    """How many to delete in this request."""


class OriginView(Struct, frozen=True, kw_only=True):
    """Where a forked session goes on from."""

    session: str
    run: str
    seq: int


class SessionView(Struct, frozen=True, tag_field="object", tag="session", kw_only=True, omit_defaults=True):
    """A session, as it stands."""

    id: str
    status: SessionStatus
    owner: str
    title: str = ""
    tags: tuple[str, ...] = ()
    metadata: dict[str, object] = {}
    shared_with: tuple[str, ...] = ()
    limits: SessionBounds = SessionBounds()
    created: float
    updated: float
    expires: float | None = None
    """Wall time from which on it takes no turns."""
    ended: float | None = None
    reason: str = ""
    """Why it was suspended or ended."""
    parent: OriginView | None = None
    last_run: str = ""
    failed_cleanups: tuple[str, ...] = ()
    """Which cleanups went wrong when it ended; mending it tries them again."""
    recovered: tuple[str, ...] = ()
    """What was mended in it, in words."""


class SessionRunView(Struct, frozen=True, tag_field="object", tag="session.run", kw_only=True, omit_defaults=True):
    """One run of a session, and where it stands in the conversation."""

    run: RunView
    previous: str = ""
    """The run that it goes on from."""
    previous_seq: int = 0
    """Up to which event of it."""
    beside: tuple[str, ...] = ()
    """Other runs that go on from the same one: the conversation forks there."""


class MessageView(Struct, frozen=True, tag_field="object", tag="message", kw_only=True):
    """Something that was said in a session."""

    place: int
    """The first thing said is 1."""
    role: Literal["user", "assistant", "tool"]
    parts: tuple[AnyPart, ...]


class SessionUsageView(Struct, frozen=True, tag_field="object", tag="session.usage", kw_only=True, omit_defaults=True):
    """What all runs of a session have used, and whether it takes another turn."""

    runs: int
    open: int
    """How many of them are queued or running."""
    usage: Usage
    cost_usd: float | None = None
    """Absent where the cost of one is not known."""
    refusal: str | None = None
    """Why it takes no turn now; absent where it takes one."""


class SessionDeleted(Struct, frozen=True, tag_field="object", tag="session.deleted", kw_only=True):
    """What went with a session."""

    id: str
    runs: tuple[str, ...]
    failed_cleanups: tuple[str, ...] = ()


class SessionsPruned(Struct, frozen=True, tag_field="object", tag="sessions.pruned", kw_only=True):
    """What became of old sessions."""

    changed: tuple[str, ...]
    """Ended or archived."""
    deleted: tuple[str, ...]
    kept: dict[str, str]
    """Why others were not deleted, by id."""
    more: bool
    """Whether more are old enough to be deleted than one request deletes: send it again."""


class SessionsMended(Struct, frozen=True, tag_field="object", tag="sessions.mended", kw_only=True):
    """What was mended in sessions."""

    looked_at: int
    mended: dict[str, tuple[str, ...]]
    """What was ever mended in a session, by id."""


def read_limits(bounds: SessionBounds) -> SessionLimits:
    """Read the limits of a session."""
    return SessionLimits(**structs.asdict(bounds))


def view_session(record: Session) -> SessionView:
    """Build what a caller reads of a session."""
    parent = record.parent
    return SessionView(
        id=record.id,
        status=record.status,
        owner=record.principal,
        title=record.title,
        tags=record.tags,
        metadata=record.metadata,
        shared_with=record.shared_with,
        limits=SessionBounds(**{name: getattr(record.limits, name) for name in SessionBounds.__struct_fields__}),
        created=record.created,
        updated=record.updated,
        expires=record.expires,
        ended=record.ended,
        reason=record.reason,
        parent=None if parent is None else OriginView(session=parent.session, run=parent.run, seq=parent.seq),
        last_run=record.last_run,
        failed_cleanups=list_failed(record),
        recovered=record.recovered,
    )


def view_entry(entry: TimelineEntry) -> SessionRunView:
    """Build what a caller reads of a run of a session."""
    return SessionRunView(
        run=view_run(entry.run), previous=entry.previous, previous_seq=entry.previous_seq, beside=entry.beside
    )


def view_message(message: Message, place: int) -> MessageView:
    """Build what a caller reads of something that was said."""
    return MessageView(place=place, role=message.role, parts=message.parts)


def view_usage(usage: SessionUsage, refusal: str | None) -> SessionUsageView:
    """Build what a caller reads of what a session has used."""
    return SessionUsageView(
        runs=usage.runs, open=usage.open, usage=usage.usage, cost_usd=usage.cost_usd, refusal=refusal
    )


def view_deleted(deleted: DeletedSession) -> SessionDeleted:
    """Build what a caller reads of a session that was deleted."""
    return SessionDeleted(id=deleted.session, runs=deleted.runs, failed_cleanups=list_failed(deleted))


def list_failed(record: Session | DeletedSession) -> tuple[str, ...]:
    """List the cleanups that went wrong; what they said is for the operator."""
    return tuple(sorted(name for name, cleaned in record.cleaned.items() if cleaned.error))
