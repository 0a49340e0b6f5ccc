"""Which decisions were made, and do they hold?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from quorate.agent.procedure.outcome import read_text
from quorate.council.decision import VOTES, Decision, Verification, fold, verify_decision
from quorate.council.motion import Motion, write_motion
from quorate.council.registrar import DECIDER, MAX_KEPT, OPEN, ROOM, Entry, Opening, find_entry, list_entries
from quorate.errors import CorruptState, InvalidInput, NotFound
from quorate.events import AnyEvent, RunCreated, ToolFinished, ToolStarted
from quorate.ids import check_id
from quorate.runtime.handle import RunHandle
from quorate.runtime.runtime import Runtime
from quorate.state.confined import ConfinedValues


class Decisions:
    """The decisions of a tenant: an index of them, and the logs of the runs that made them, which are the truth.

    Args:
        runtime: Whose tenant's decisions, and where their runs are.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._values = ConfinedValues(runtime.store.values, f"{ROOM}/{check_id(runtime.tenant, 'tenant')}/")

    async def submit(self, motion: Motion, *, model: str | None = None, start: bool = True) -> RunHandle:
        """Put a motion to the vote, as a run like any other.

        Args:
            motion: What is decided, by whom and how.
            model: The model of the agents that vote; each one's own when not given.
            start: Whether to begin at once, or leave it to a worker.
        """
        return await self._runtime.submit(write_motion(motion), agent=DECIDER, model=model, start=start)

    async def list_entries(self, *, after: str = "", limit: int = 100) -> list[Entry]:
        """List what is known of decisions, the oldest first.

        Args:
            after: The id behind which to begin.
            limit: How many at most.
        """
        return await list_entries(self._values, after=after, limit=limit)

    async def get(self, decision: str) -> Decision:
        """Read the record of a decision from the log of its run.

        Raises:
            NotFound: There is no such decision, for this tenant.
            CorruptState: Its log does not verify.
        """
        return _build_record(decision, *await self._read(decision))

    async def verify(self, decision: str) -> Verification:
        """Take the ballots of a decision again, count them again, and compare all that was noted, in the index too.

        Raises:
            NotFound: There is no such decision, for this tenant.
            CorruptState: Its log does not verify.
        """
        entry, events = await self._read(decision)
        if not any(isinstance(event, VOTES) and event.decision == decision for event in events):
            told = "nothing was put to the vote yet, or ever"
            return Verification(decision=decision, winner=None, faults=(told,))
        verified = verify_decision(events, decision, seal=self._runtime.seal)
        try:
            faults = _compare(entry, _build_record(decision, entry, events), _read_opening(entry, events))
        except (CorruptState, InvalidInput) as error:
            faults = [] if error.message in verified.faults else [error.message]
        return structs.replace(verified, faults=(*verified.faults, *faults))

    async def _read(self, decision: str) -> tuple[Entry, list[AnyEvent]]:
        entry = await find_entry(self._values, check_id(decision, "decision"))
        events = [] if entry is None else await self._runtime.log.read(entry.run)
        created = events[0] if events else None
        if entry is None or not isinstance(created, RunCreated) or created.tenant != self._runtime.tenant:
            raise _build_missing(decision)
        return entry, events


class _Opened(Struct, frozen=True):
    """What the log says of how a decision was opened."""

    decision: str
    question: str
    rule: str
    opened: float = 0.0


def _read_opening(entry: Entry, events: Sequence[AnyEvent]) -> _Opened:
    """Read how a decision was opened, from the step that told the index.

    Raises:
        CorruptState: There is no such step.
    """
    found = None
    for event in events:
        if event.key != entry.key:
            continue
        try:
            if isinstance(event, ToolStarted) and event.call.name == OPEN:
                found = msgspec.json.decode(event.call.arguments, type=_Opened)
            elif isinstance(event, ToolFinished) and found is not None:
                opening = msgspec.json.decode(read_text(event.result), type=Opening)
                return structs.replace(found, opened=opening.opened)
        except msgspec.DecodeError as error:
            raise CorruptState(f"Run {event.run!r}: event {event.seq} opens no decision: {error}") from error
    if found is not None:
        return structs.replace(found, opened=entry.opened)
    raise CorruptState(f"The index says that a decision was opened at {entry.key!r:.200}, where the log has none.")


def _build_record(decision: str, entry: Entry, events: Sequence[AnyEvent]) -> Decision:
    noted = [event for event in events if isinstance(event, VOTES) and event.decision == decision]
    found = fold(noted) if noted else None
    if found is not None and found.rounds:
        return found
    opening = _read_opening(entry, events)  # nothing was put to the vote yet, or ever
    if found is not None:
        return structs.replace(found, question=opening.question)
    return Decision(id=decision, run=entry.run, question=opening.question, options=(), opened=opening.opened)


def _compare(entry: Entry, record: Decision, opening: _Opened) -> list[str]:
    """Compare what the index says with what the log says."""
    told = (record.id, entry.id, entry.run, entry.question, entry.rule, entry.opened)
    if told != (opening.decision, record.id, record.run, opening.question[:MAX_KEPT], opening.rule, opening.opened):
        return ["the index says something else than the log of how it was opened"]
    if (entry.winner, entry.by, entry.digest, entry.closed) == (record.winner, record.by, record.digest, record.closed):
        return []
    if not entry.by:
        return ["the index was not told how it ended: resume its run"]
    return [f"the index says that {entry.winner!r:.80} won, with the digest {entry.digest or '(none)'}"]


def _build_missing(decision: str) -> NotFound:
    return NotFound(f"There is no decision {decision!r:.80}: list them with `quorate decisions list`.")
