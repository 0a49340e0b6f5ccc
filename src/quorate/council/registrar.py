"""Who opens a decision, vouches for its ballots, closes it and files it, so that all of it is recorded once?

These are tools of the council alone. What depends on time, on a secret or on what is kept elsewhere (trust, the index
of decisions) comes in through them, and is in the log from then on. The index is told last, of what is in the log for
good: it never knows of an end that the log does not have.
"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from quorate.agent.artifacts import ARTIFACTS_TAG
from quorate.council.ask_voter import AskVoter
from quorate.council.decision import DecidedBy, digest_ending
from quorate.council.earned import ReadWeights
from quorate.council.signing import Seal
from quorate.errors import Conflict, CorruptState
from quorate.ports import KeyValue, RunContext, Toolset
from quorate.tools.define import AnyTool, tool

OPEN, SIGN, CLOSE, FILE = "open_decision", "sign_ballot", "close_decision", "file_decision"
DECIDER = "decide"
"""The agent that puts motions to the vote, unless a file has its name."""
ROOM = "decision"
"""Under which room it is kept which decisions there are."""
MAX_KEPT = 2_000
"""How many characters of a question are kept in the index."""
_encode = msgspec.json.Encoder().encode


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a decision without reading the log of its run."""

    id: str
    run: str
    key: str = ""
    """Where in the log it is noted."""
    question: str
    rule: str = ""
    opened: float
    closed: float | None = None
    by: DecidedBy = ""
    winner: str | None = None
    digest: str = ""


class Opening(Struct, frozen=True, kw_only=True):
    """What is fixed when a decision is opened, beside its terms."""

    opened: float
    decision: str = ""
    """Which decision was opened: a copy of its run has the same opening, and is another run."""
    weights: dict[str, float] = {}
    seed: int = 0
    """What chance goes by where the plan names nothing: drawn here, so that nobody can work it out before."""
    is_sealed: bool = False
    """Whether the council has a secret by which it vouches for this decision."""


class Closing(Struct, frozen=True, kw_only=True):
    """What is fixed when a decision is closed."""

    closed: float
    digest: str
    seal: str = ""


Name = Annotated[str, Meta(max_length=2_000)]


def build_registrar(seal: Seal | None, read_weights: ReadWeights | None) -> list[AnyTool | Toolset]:
    """Build the tools of a council.

    Args:
        seal: What it vouches by, if it has a secret.
        read_weights: Reads how much voters are trusted, where votes weigh that.
    """

    # What it gives is read by the council and not by a model: it is never kept elsewhere, however long.
    @tool(effect="idempotent", name=OPEN, tags=(ARTIFACTS_TAG,))
    async def open_decision(
        context: RunContext[object],
        decision: Name,
        question: str,
        rule: Name,
        voters: Annotated[list[Name], Meta(max_length=10_000)],
        topic: Name,
    ) -> Opening:
        """Open a decision."""
        weights = await read_weights(context, voters, topic) if read_weights is not None else {}
        entry = Entry(
            id=decision,
            run=context.run,
            key=context.key,
            question=question[:MAX_KEPT],
            rule=rule,
            opened=context.clock.now(),
        )
        kept = await _begin(context, entry)
        seed = int.from_bytes(os.urandom(6), "big")
        return Opening(decision=decision, opened=kept.opened, weights=weights, seed=seed, is_sealed=seal is not None)

    @tool(effect="idempotent", name=SIGN)
    def sign_ballot(digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]) -> str:
        """Vouch for a ballot."""
        return seal.sign(digest) if seal is not None else ""

    @tool(effect="idempotent", name=CLOSE)
    def close_decision(
        context: RunContext[object],
        decision: Name,
        noted: str,
        winner: Name | None,
        by: DecidedBy,
        why: str,
        rounds: int,
    ) -> Closing:
        """Close a decision."""
        closed = context.clock.now()
        digest = digest_ending(noted, decision=decision, winner=winner, by=by, why=why, rounds=rounds, closed=closed)
        return Closing(closed=closed, digest=digest, seal=seal.sign(digest) if seal is not None else "")

    @tool(effect="idempotent", name=FILE)
    async def file_decision(
        context: RunContext[object],
        decision: Name,
        winner: Name | None,
        by: DecidedBy,
        closed: float,
        digest: str,
        ending: str,
    ) -> str:
        """File a decision that was closed."""
        del ending  # it is for whoever verifies the log, where the call is recorded
        known = None if context.services is None else await find_entry(context.open_values(ROOM), decision)
        if known is not None and known.run == context.run:  # it may have been erased meanwhile
            filed = msgspec.structs.replace(known, closed=closed, by=by, winner=winner, digest=digest)
            await context.open_values(ROOM).put(decision, _encode(filed))
        return "filed"

    return [open_decision, sign_ballot, close_decision, file_decision, AskVoter()]


async def list_entries(values: KeyValue, *, after: str = "", limit: int = 100) -> list[Entry]:
    """List the decisions of a tenant, the oldest first.

    Args:
        values: What the room keeps for the tenant.
        after: The id behind which to begin.
        limit: How many at most.

    Raises:
        CorruptState: What is kept of one is no entry.
    """
    found = await values.scan("", after=after, limit=limit)
    return [_read(one.key, one.value) for one in found]


async def find_entry(values: KeyValue, decision: str) -> Entry | None:
    """Find what is known of a decision; `None` where there is none of that id.

    Raises:
        CorruptState: What is kept there is no entry.
    """
    found = await values.get(decision)
    return None if found is None else _read(decision, found.value)


async def _begin(context: RunContext[object], entry: Entry) -> Entry:
    """Keep that a decision was opened, unless it is known: a chair that is late changes nothing any more."""
    if context.services is None:
        return entry
    values = context.open_values(ROOM)
    try:
        await values.put(entry.id, _encode(entry), if_revision=0)
    except Conflict:
        return await find_entry(values, entry.id) or entry
    return entry


def _read(decision: str, value: bytes) -> Entry:
    try:
        return msgspec.json.decode(value, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptState(f"The entry of decision {decision!r:.80} cannot be read: {error}") from error


async def read_decided(context: RunContext[object], decision: str) -> str | None:
    """Read in a sentence what a decision of the tenant decided; `None` where there is no such one, or it is open.

    Raises:
        Unavailable: The run was not submitted to a runtime, so that no decisions are kept.
    """
    entry = await find_entry(context.open_values(ROOM), decision)
    return None if entry is None or entry.winner is None else f"{entry.question}\nDecided: {entry.winner}"
