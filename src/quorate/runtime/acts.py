"""What is noted of every act that changes something, and of every one that was refused?"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import BlockedByPolicy, Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from quorate.state.audit import AuditTrail
from quorate.state.patience import insist

REFUSALS = (BlockedByPolicy, Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated)
"""Errors that say no; others say that something broke."""


@asynccontextmanager
async def noted(
    audit: AuditTrail,
    action: str,
    *,
    principal: str,
    object: str,
    reason: str = "",
    clock: Clock = SYSTEM_CLOCK,
    max_wait_s: float = 0.0,
) -> AsyncGenerator[dict[str, str]]:
    """Add a row to the audit trail when the block is done, or was refused; the block may add facts.

    The act is recorded in a run's log before the row is written, with whoever did it: a row that a crash prevents
    loses nothing but its place in the chain. What was done is noted as soon as the store is there, since whoever was
    told that it failed would do it again.

    Raises:
        Unavailable: The trail cannot be written, for `max_wait_s` where the act was done.
    """
    facts: dict[str, str] = {}
    try:
        yield facts
    except REFUSALS as refusal:
        await audit.append(
            action, principal=principal, object=object, outcome="refused", reason=refusal.code, facts=facts
        )
        raise
    await insist(
        lambda: audit.append(action, principal=principal, object=object, reason=reason, facts=facts),
        clock=clock,
        max_wait_s=max_wait_s,
    )
