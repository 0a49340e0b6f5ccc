"""What is tidied up when a session ends, and what becomes of a tidying that fails or is cut off?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, structs

from quorate.clock import Clock
from quorate.errors import describe_error
from quorate.state.sessions.records import Records
from quorate.state.sessions.session import Cleaned, Session

CLAIM_S = 60.0
"""How long whoever cleans up is left alone beyond what its hooks may take."""


class CleanupHook(Struct, frozen=True, kw_only=True):
    """What is to be done once a session has ended: give something back, tell somebody.

    It is run once for each session, and again only where nobody knows whether it was: at least once, so it should do
    no harm when repeated. An error is recorded and keeps no other hook from running.
    """

    name: str
    """What it is recorded by; the same in every process."""
    clean: Callable[[Session], Awaitable[None]]
    timeout_s: float = 30.0


def find_pending(session: Session, hooks: Sequence[CleanupHook], *, retry: bool = False) -> list[CleanupHook]:
    """Find the hooks that a session still owes; with `retry`, also those that failed."""
    if not session.is_ended:
        return []
    return [hook for hook in hooks if hook.name not in session.cleaned or (retry and session.cleaned[hook.name].error)]


def claim(session: Session, hooks: Sequence[CleanupHook], *, now: float) -> Session:
    """Note in a record that whoever stores it runs the hooks."""
    return (
        structs.replace(session, cleaning=now + CLAIM_S + sum(hook.timeout_s for hook in hooks)) if hooks else session
    )


async def run_hooks(
    records: Records, session: Session, hooks: Sequence[CleanupHook], *, clock: Clock, retry: bool = False
) -> Session:
    """Run what a session still owes, one after the other, and record each before the next."""
    for hook in find_pending(session, hooks, retry=retry):
        outcome = Cleaned(error=await _run(hook, session), at=clock.now())

        def note(record: Session, name: str = hook.name, outcome: Cleaned = outcome) -> Session:
            return structs.replace(record, cleaned={**record.cleaned, name: outcome})

        session = await records.change(session.tenant, session.id, note)
    if session.cleaning:
        return await records.change(session.tenant, session.id, lambda record: structs.replace(record, cleaning=0.0))
    return session


async def _run(hook: CleanupHook, session: Session) -> str:
    limit = asyncio.timeout(hook.timeout_s)
    try:
        async with limit:
            await hook.clean(session)
    except Exception as error:  # a hook is anybody's code, and the others must run all the same
        return f"it took longer than {hook.timeout_s:g} s" if limit.expired() else describe_error(error)
    return ""
