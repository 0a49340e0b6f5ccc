"""What can be done with sessions: begin, find, change, take turns in, fork, end, forget, mend?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from weakref import WeakValueDictionary

from msgspec import structs

from quorate.clock import Clock
from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.ids import PATTERN
from quorate.messages import Message
from quorate.ports import KeyValue, Log
from quorate.state.sessions import check
from quorate.state.sessions.beginning import bound, build_fork, build_new, put_new
from quorate.state.sessions.cleanup import CleanupHook
from quorate.state.sessions.ending import (
    Parts,
    delete_session,
    find_names,
    may_see,
    move,
    open_session,
    recover_session,
    sweep_session,
)
from quorate.state.sessions.listing import build_page
from quorate.state.sessions.records import MAX_TRIES, Records, build_absent
from quorate.state.sessions.recovery import find_or_rebuild, load_known, mend_pointer
from quorate.state.sessions.session import (
    NO_LIMITS,
    DeletedSession,
    Session,
    SessionLimits,
    SessionOrder,
    SessionPage,
    SessionStatus,
    SessionUsage,
    TimelineEntry,
    Turn,
)
from quorate.state.sessions.timeline import build_timeline
from quorate.state.sessions.turns import (
    build_turn,
    find_previous,
    find_refusal,
    list_session_runs,
    read_turns,
    sum_usage,
)


class SessionStore:
    """Conversations over several runs: whose they are, how they stand, and what the next run goes on from.

    Everywhere, `principal` is who asks: the owner and those a session is shared with find it, and to all others, as to
    other tenants, it is absent in the same words. `None` is whoever operates the store.
    """

    def __init__(self, values: KeyValue, log: Log, *, clock: Clock, hooks: Sequence[CleanupHook] = ()) -> None:
        """Open the sessions of a store.

        Args:
            values: Where their records are.
            log: Where their runs are.
            clock: What expiry goes by.
            hooks: What is done once a session has ended.

        Raises:
            InvalidInput: Two hooks have one name.
        """
        names = [hook.name for hook in hooks]
        if len(set(names)) < len(names):
            raise InvalidInput(f"cleanup hooks {names!r} must have different names: they are recorded by them.")
        self._records = Records(values)
        self._log = log
        self._clock = clock
        self._locks = WeakValueDictionary[tuple[str, str], asyncio.Lock]()
        self._parts = Parts(records=self._records, log=log, clock=clock, hooks=tuple(hooks))

    async def create(
        self,
        session: str | None = None,
        *,
        tenant: str,
        principal: str,
        title: str = "",
        tags: Sequence[str] = (),
        metadata: Mapping[str, object] | None = None,
        limits: SessionLimits = NO_LIMITS,
        shared_with: Sequence[str] = (),
    ) -> Session:
        """Begin a session, under an id of its own unless one is given; a first turn does so by itself, too.

        Raises:
            Conflict: There is one of that id.
            InvalidInput: Something in it is not as it must be.
        """
        record = build_new(
            tenant=tenant,
            session=session,
            principal=principal,
            now=self._clock.now(),
            title=title,
            tags=tags,
            metadata=metadata,
            limits=limits,
            shared_with=shared_with,
        )
        return await put_new(self._parts, record)

    async def get(self, session: str, *, tenant: str, principal: str | None) -> Session:
        """Return a session; one that only runs know of is built from them.

        Raises:
            NotFound: There is none, or it is not for whoever asks.
            CorruptState: Its record does not verify; `recover` builds it again.
        """
        record = await open_session(self._parts, session, tenant=tenant, principal=principal)
        mended = await mend_pointer(self._log, record)
        if mended is record:
            return record
        with contextlib.suppress(Conflict):  # it was changed meanwhile, and is mended when it is next looked at
            return await self._records.put(mended)
        return mended

    async def list_sessions(
        self,
        *,
        tenant: str,
        principal: str | None,
        status: SessionStatus | None = None,
        tag: str | None = None,
        owner: str | None = None,
        text: str | None = None,
        order: SessionOrder = "newest",
        cursor: str = "",
        limit: int = 50,
    ) -> SessionPage:
        """List the sessions that whoever asks may see and that match all that is given.

        `text` is looked for in ids, titles and tags, whatever its case.
        All records of the tenant are looked at, but with `order="id"`, which reads no more than it must.

        Raises:
            InvalidInput: `cursor` is not from a page before.
        """
        sought = (text or "").casefold()

        def is_wanted(record: Session) -> bool:
            return (
                may_see(record, principal)
                and status in (None, record.status)
                and (tag is None or tag in record.tags)
                and owner in (None, record.principal)
                and any(sought in words.casefold() for words in (record.id, record.title, *record.tags))
            )

        return await build_page(self._records, tenant, is_wanted, order=order, cursor=cursor, limit=limit)

    async def update(
        self,
        session: str,
        *,
        tenant: str,
        principal: str | None,
        title: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, object] | None = None,
        limits: SessionLimits | None = None,
        shared_with: Sequence[str] | None = None,
        if_revision: int | None = None,
    ) -> Session:
        """Change what is given, each as a whole; with `if_revision`, only over that very revision.

        Raises:
            NotFound: There is no such session.
            Forbidden: It is shared with whoever asks, who does not own it.
            Conflict: Somebody else changed it.
            InvalidInput: Something is not as it must be.
        """
        given = {
            "title": None if title is None else check.check_title(title),
            "tags": None if tags is None else check.check_tags(tags),
            "metadata": None if metadata is None else check.check_metadata(metadata),
            "shared_with": None if shared_with is None else check.check_shares(shared_with),
        }
        await open_session(self._parts, session, tenant=tenant, principal=principal, owns=True)

        def change(record: Session) -> Session:
            changed = structs.replace(
                record,
                updated=self._clock.now(),
                **{name: value for name, value in given.items() if value is not None},
            )
            return changed if limits is None else bound(changed, limits)

        return await self._records.change(tenant, session, change, if_revision=if_revision)

    async def suspend(
        self,
        session: str,
        *,
        tenant: str,
        principal: str | None,
        reason: str = "",
        if_revision: int | None = None,
    ) -> Session:
        """Let a session take no turns until it is resumed; runs under way go on. Raises what `complete` raises."""
        record = await open_session(self._parts, session, tenant=tenant, principal=principal, owns=True)
        return await move(self._parts, record, "suspended", reason=reason, if_revision=if_revision)

    async def resume(
        self,
        session: str,
        *,
        tenant: str,
        principal: str | None,
        reason: str = "",
        if_revision: int | None = None,
    ) -> Session:
        """Let a suspended session take turns again. Raises what `complete` raises."""
        record = await open_session(self._parts, session, tenant=tenant, principal=principal, owns=True)
        return await move(self._parts, record, "active", reason=reason, if_revision=if_revision)

    async def complete(
        self,
        session: str,
        *,
        tenant: str,
        principal: str | None,
        reason: str = "",
        if_revision: int | None = None,
    ) -> Session:
        """End a session whose work is done, and clean up; runs under way go on.

        With `if_revision`, only over that very revision.

        Raises:
            NotFound: There is no such session.
            Forbidden: It is shared with whoever asks, who does not own it.
            Conflict: It does not stand so that this may follow, or somebody else changed it.
        """
        record = await open_session(self._parts, session, tenant=tenant, principal=principal, owns=True)
        return await move(self._parts, record, "completed", reason=reason, if_revision=if_revision)

    async def fail(
        self,
        session: str,
        *,
        tenant: str,
        principal: str | None,
        reason: str = "",
        if_revision: int | None = None,
    ) -> Session:
        """End a session that came to nothing. Raises what `complete` raises."""
        record = await open_session(self._parts, session, tenant=tenant, principal=principal, owns=True)
        return await move(self._parts, record, "failed", reason=reason, if_revision=if_revision)

    async def archive(
        self,
        session: str,
        *,
        tenant: str,
        principal: str | None,
        reason: str = "",
        if_revision: int | None = None,
    ) -> Session:
        """Put a session away for good, ended before or not. Raises what `complete` raises."""
        record = await open_session(self._parts, session, tenant=tenant, principal=principal, owns=True)
        return await move(self._parts, record, "archived", reason=reason, if_revision=if_revision)

    async def delete(
        self, session: str, *, tenant: str, principal: str | None, if_revision: int | None = None
    ) -> DeletedSession:
        """Clean up after a session and forget it, its runs and all that was said in them.

        When this is cut off, doing it again does the rest. With `if_revision`, only that very revision.

        Raises:
            NotFound: There is no such session.
            Forbidden: It is shared with whoever asks, who does not own it.
            Conflict: Runs of it are under way, or other sessions go on from them.
        """
        record = await open_session(self._parts, session, tenant=tenant, principal=principal, owns=True)
        return await delete_session(self._parts, record, if_revision=if_revision)

    async def begin_turn(self, session: str, *, tenant: str, principal: str, run: str = "") -> Turn:
        """Say where a session's next run goes on from; the first turn of a new id creates the session.

        Nothing has to be told when the run is recorded or ends: the log says so. Of two turns that begin at once both
        may go on from the same run, so that the conversation forks; with `max_concurrent_runs=1` the second is refused.

        Args:
            session: Which session.
            tenant: Whose it is.
            principal: Who takes the turn.
            run: The id under which the run will be recorded; the turn counts against the limits until it is.

        Raises:
            NotFound: It is another's.
            Conflict: It takes no turns, for the reason that is said.
        """
        turn = await self._try_turn(session, tenant=tenant, principal=principal, run=run)
        if turn is not None:
            return turn
        # Those of this process who want the same session now come one after the other, however many they are.
        async with self._locks.setdefault((tenant, session), asyncio.Lock()):
            for _ in range(MAX_TRIES):
                turn = await self._try_turn(session, tenant=tenant, principal=principal, run=run, again=True)
                if turn is not None:
                    return turn
        raise Conflict(f"Session {session!r} was changed by others {MAX_TRIES} times meanwhile: try again.")

    async def _try_turn(
        self, session: str, *, tenant: str, principal: str, run: str, again: bool = False
    ) -> Turn | None:
        """Begin a turn, or return `None` when somebody else was quicker."""
        record = await find_or_rebuild(self._records, self._log, tenant=tenant, session=session)
        if record is None:
            with contextlib.suppress(Conflict):
                await self.create(session, tenant=tenant, principal=principal)
            return None
        if not may_see(record, principal):
            raise build_absent(session)
        runs = await read_turns(self._log, record)
        if record.last_run not in {summary.run for summary in runs}:
            record = await mend_pointer(self._log, record)
        previous = await find_previous(self._log, record, runs)
        after, turn = build_turn(record, runs, previous=previous, run=run, now=self._clock.now())
        try:
            await self._records.put(after)
        except Conflict:
            # Without holds the record is a hint, and whoever was quicker has left one like it.
            return turn if again and not after.holds else None
        return turn

    async def finish_turn(self, turn: Turn, *, tenant: str) -> None:
        """Note that a turn's run has ended; without it, the next turn finds out from the log."""

        def change(record: Session) -> Session:
            holds = tuple(hold for hold in record.holds if hold.run != turn.run)
            return structs.replace(record, active=self._clock.now(), last_run=turn.run, holds=holds)

        if await self._log.last(turn.run):
            await self._records.change(tenant, turn.session, change)

    async def find_refusal(self, session: str, *, tenant: str, principal: str | None) -> str | None:
        """Say why a session would take no turn now, or `None`. Raises what `get` raises."""
        record = await open_session(self._parts, session, tenant=tenant, principal=principal)
        return find_refusal(record, await read_turns(self._log, record), now=self._clock.now())

    async def history(self, session: str, *, tenant: str, principal: str | None) -> list[Message]:
        """Return what was said: what the next turn knows.

        Raises:
            NotFound: There is no such session, or a run of its conversation is gone.
            CorruptState: The conversation does not verify.
        """
        record = await open_session(self._parts, session, tenant=tenant, principal=principal)
        return await load_known(self._log, record, await read_turns(self._log, record))

    async def timeline(self, session: str, *, tenant: str, principal: str | None) -> list[TimelineEntry]:
        """Return the runs of a session, oldest first, and how they go on from each other. Raises what `get` raises."""
        record = await open_session(self._parts, session, tenant=tenant, principal=principal)
        return await build_timeline(self._log, record)

    async def usage(self, session: str, *, tenant: str, principal: str | None) -> SessionUsage:
        """Sum what the runs of a session have used. Raises what `get` raises."""
        record = await open_session(self._parts, session, tenant=tenant, principal=principal)
        return sum_usage([summary async for summary in list_session_runs(self._log, record)])

    async def fork(
        self,
        session: str,
        run: str,
        *,
        tenant: str,
        principal: str | None,
        seq: int = 0,
        name: str | None = None,
        title: str | None = None,
    ) -> Session:
        """Begin a session whose first turn goes on from an event of a run of this one, which stays as it is.

        Args:
            session: Which session.
            run: One of its runs.
            tenant: Whose it is.
            principal: Who forks it, and owns the new one.
            seq: The last event that belongs to both; 0 for the last one there is.
            name: The id of the new session.
            title: The title of the new session; that of this one when not given.

        Raises:
            NotFound: There is no such session, or no such run in it.
            InvalidInput: The run has no such event.
            Conflict: There is a session `name`.
        """
        record = await open_session(self._parts, session, tenant=tenant, principal=principal)
        fork = await build_fork(self._parts, record, run, seq=seq, principal=principal, name=name, title=title)
        return await put_new(self._parts, fork)

    async def sweep(self, *, tenant: str, archive_after_s: float | None = None) -> list[Session]:
        """End what has expired, clean up what was left, and return what was changed.

        Args:
            tenant: Whose sessions.
            archive_after_s: How long after their end sessions are archived; never when not given.
        """
        changed: list[Session] = []
        async for _, record in self._records.scan(tenant):
            if record is None:
                continue
            with contextlib.suppress(Conflict, NotFound):  # somebody changed or deleted it meanwhile
                after = await sweep_session(self._parts, record, archive_after_s=archive_after_s)
                if after.revision != record.revision:
                    changed.append(after)
        return changed

    async def recover(self, session: str, *, tenant: str, principal: str | None) -> Session:
        """Mend a session: its record, its pointer, a conversation of which runs are gone, cleanups that failed.

        What was done is told in `recovered`; where nothing was wrong, nothing is changed.

        Raises:
            NotFound: There is neither a record nor a run of it, or it is not for whoever asks.
            Forbidden: It is shared with whoever asks, who does not own it.
        """
        return await recover_session(self._parts, session, tenant=tenant, principal=principal)

    async def recover_all(self, *, tenant: str) -> AsyncIterator[Session]:
        """Mend every session of a tenant, also those that only runs know of; yield each one that was looked at."""
        for session in await find_names(self._parts, tenant=tenant):
            if PATTERN.fullmatch(session):
                yield await self.recover(session, tenant=tenant, principal=None)
