"""What is told over a bus of an event in a run's log: facts for filters and counters, and nobody's words or name?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalDecided,
    RunCreated,
    RunFailed,
    RunIncomplete,
    RunWaiting,
    get_status,
)

MOST_KEYS = 32
LONGEST = 256
"""How many characters of a word are told: whatever somebody wrote into a log, a broker takes it."""


class RunFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event about a run tells; what was asked and answered, and by whom, is read from its log.

    A bus may keep it for longer than a log that was erased.
    """

    agent: str = ""
    session: str | None = None
    status: str = ""
    """The run's status from then on, where the event changes it."""
    reason: str = ""
    """Why it rests: `approval`, `input`, `timer`, `interrupted` or `parked`."""
    keys: tuple[str, ...] = ()
    """Under which keys answers are awaited; the first of them where there are many."""
    wakes: float | None = None
    code: str = ""
    """The error's code, where it failed."""
    limit: str = ""
    """Which limit was met first."""
    approved: bool | None = None
    tokens: int = 0
    cost_usd: float | None = None


class Beginning(Struct, frozen=True, kw_only=True):
    """What is known of a run since it was created."""

    agent: str = ""
    session: str | None = None


def build_beginning(event: AnyEvent | None) -> Beginning:
    """Build what a run's first event tells of it; nothing where that is not known."""
    if not isinstance(event, RunCreated):
        return Beginning()
    return Beginning(agent=event.agent, session=event.session)


def bound_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """Cut keys to what is told of them."""
    return tuple(key[:LONGEST] for key in keys[:MOST_KEYS])


def build_facts(event: AnyEvent, beginning: Beginning) -> RunFacts:
    """Build what is told of an event."""
    facts = RunFacts(
        agent=beginning.agent[:LONGEST],
        session=beginning.session and beginning.session[:LONGEST],
        status=get_status(event) or "",
    )
    if isinstance(event, (*ENDINGS, RunWaiting)):
        facts = structs.replace(facts, tokens=event.usage.total_tokens, cost_usd=event.cost_usd)
    if isinstance(event, RunWaiting):
        return structs.replace(facts, reason=event.reason, keys=bound_keys(event.keys), wakes=event.wakes)
    if isinstance(event, RunFailed):
        return structs.replace(facts, code=event.code[:LONGEST])
    if isinstance(event, RunIncomplete):
        return structs.replace(facts, limit=event.limit[:LONGEST])
    if isinstance(event, ApprovalDecided):
        return structs.replace(facts, approved=event.approved)
    return facts
