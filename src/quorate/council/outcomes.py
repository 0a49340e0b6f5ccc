"""What turned out to be true, who said so, and what follows for those who voted?"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.council.evidence import Judged, check_truth, read_decision
from quorate.council.ledger import PAGE, Noted, TrustLedger
from quorate.council.quality import DecisionFigures, measure_decision
from quorate.council.trust import Source, is_member
from quorate.errors import Conflict, CorruptState, Forbidden, InvalidInput, Unavailable
from quorate.ids import check_id
from quorate.ports import Entry, KeyValue

MAX_REASON = 4_000
MAX_CORRECTIONS = 100
MAX_TRIES = 100


class Said(Struct, frozen=True, kw_only=True):
    """What somebody said was true of a decision."""

    truth: str
    """Which of the options."""
    by: str
    """The principal that said so."""
    at: float
    """When, in seconds since 1970."""
    agent: str = ""
    """The agent that said so for the principal; empty for the principal itself."""
    reason: str = ""
    utilities: dict[str, float] = {}
    """What each option would have been worth, where that is known."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What is known to have been right in a decision."""

    decision: str
    run: str
    said: tuple[Said, ...]
    """What was said of it, the last one true: what it corrects is kept."""
    is_settled: bool = False
    """Whether all who voted are trusted accordingly."""

    @property
    def truth(self) -> str:
        """What is held to be true."""
        return self.said[-1].truth


class OutcomeReport(Struct, frozen=True, kw_only=True):
    """What came of saying what was true."""

    outcome: Outcome
    figures: DecisionFigures
    noted: Noted
    is_new: bool
    """Whether it was not known before, or was something else."""


class OutcomeBook:
    """What is known to have been right in a tenant's decisions."""

    def __init__(self, values: KeyValue, prefix: str = "", *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Open it; cheap, and without I/O.

        Args:
            values: Where it is kept.
            prefix: What keys begin with, such as `trust/acme/`; empty where the values are a tenant's own already.
            clock: What is dated by.
        """
        self._values = values
        self._prefix = f"{prefix}outcome/"
        self._clock = clock

    async def find(self, decision: str) -> Outcome | None:
        """Find what is known of a decision; `None` when nothing is.

        Raises:
            CorruptState: It does not read.
        """
        return (await self._find(decision))[0]

    async def list_outcomes(self, *, after: str = "", limit: int = PAGE) -> list[Outcome]:
        """List what is known of decisions, by their ids; of those behind `after` only."""
        last = f"{self._prefix}{after}" if after else ""
        return [_read(entry) for entry in await self._values.scan(self._prefix, after=last, limit=limit)]

    async def save(self, decision: Judged, said: Said, *, corrects: bool = False) -> tuple[Outcome, bool]:
        """Keep what somebody says is true; return what is known then, and whether that is new.

        Raises:
            Conflict: Something else is known already, and this is no correction; or it was corrected too often.
            Unavailable: Others were quicker too often.
        """
        for _ in range(MAX_TRIES):
            before, revision = await self._find(decision.id)
            if before is not None and _is_same(before.said[-1], said):
                return before, False
            if before is not None and not corrects:
                last = before.said[-1]
                raise Conflict(
                    f"Of decision {decision.id!r} it is known that {last.truth!r:.200} was true, as {last.by!r} said: "
                    "say that this corrects it, and it is kept beside it.",
                    decision=decision.id,
                )
            known = before.said if before is not None else ()
            if len(known) > MAX_CORRECTIONS:
                raise Conflict(f"Decision {decision.id!r} was corrected {MAX_CORRECTIONS} times; no more is kept.")
            outcome = Outcome(decision=decision.id, run=decision.run, said=(*known, said))
            try:
                await self._put(outcome, revision)
            except Conflict:  # somebody else was quicker: what they said is looked at first
                continue
            return outcome, True
        raise Unavailable(f"What is known of decision {decision.id!r} changes too fast: others were quicker each time.")

    async def settle(self, outcome: Outcome) -> Outcome:
        """Note that all who voted are trusted accordingly, unless it was corrected meanwhile."""
        before, revision = await self._find(outcome.decision)
        if before is None or before.is_settled or before.said != outcome.said:
            return before or outcome
        settled = structs.replace(outcome, is_settled=True)
        try:
            await self._put(settled, revision)
        except Conflict:  # corrected at this very moment: whoever did it settles it
            return outcome
        return settled

    async def _find(self, decision: str) -> tuple[Outcome | None, int]:
        entry = await self._values.get(f"{self._prefix}{check_id(decision, 'decision')}")
        return (None, 0) if entry is None else (_read(entry), entry.revision)

    async def _put(self, outcome: Outcome, revision: int) -> None:
        body = msgspec.json.encode(outcome)
        await self._values.put(f"{self._prefix}{outcome.decision}", body, if_revision=revision)


async def record_outcome(
    decision: Judged,
    truth: str,
    *,
    source: Source,
    book: OutcomeBook,
    ledger: TrustLedger,
    clock: Clock = SYSTEM_CLOCK,
    reason: str = "",
    utilities: Mapping[str, float] | None = None,
    corrects: bool = False,
) -> OutcomeReport:
    """Keep what turned out to be true of a decision, and trust those who voted accordingly.

    It may be said again: what was cut off in between is then gone on with. A correction replaces what was learned.

    Args:
        decision: What was decided, as its record says.
        truth: Which of its options was right.
        source: Who says so.
        book: Where it is kept.
        ledger: Where trust is.
        clock: What it is dated by.
        reason: How that is known.
        utilities: What each option would have been worth, for regret.
        corrects: Whether it may replace what was said before.

    Raises:
        UnknownName: The truth is none of the options.
        InvalidInput: The reason is too long, or what options were worth does not hold together.
        Forbidden: An agent that voted says who was right.
        Conflict: Something else is known already, and this is no correction.
    """
    check_truth(decision, truth)
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"The reason has {len(reason)} characters: give {MAX_REASON} at most.")
    worth = dict(utilities or {})
    if stray := [name for name in worth if name not in decision.options]:
        raise InvalidInput(f"{stray[0]!r:.200} has a worth and is none of the options of {decision.id!r}.")
    measure_decision(decision, truth=truth, utilities=worth)  # what does not hold together is not kept
    if source.agent and source.agent in {vote.voter for vote in decision.votes}:
        raise Forbidden(
            f"{source.agent!r} voted in {decision.id!r} and cannot say who was right: let a person do so.",
            decision=decision.id,
        )
    said = Said(
        truth=truth, by=source.principal, agent=source.agent, at=clock.now(), reason=reason, utilities=worth
    )  # fmt: skip
    outcome, is_new = await book.save(decision, said, corrects=corrects)
    last = outcome.said[-1]
    speaker = Source(principal=last.by, agent=last.agent)
    told = read_decision(decision, last.truth, source=speaker, version=len(outcome.said) - 1)
    noted = await ledger.note(one for one in told if is_member(one.member))
    if not outcome.is_settled:
        outcome = await book.settle(outcome)
    figures = measure_decision(decision, truth=last.truth, utilities=last.utilities)
    return OutcomeReport(outcome=outcome, figures=figures, noted=noted, is_new=is_new)


def _is_same(known: Said, said: Said) -> bool:
    return (known.truth, known.utilities) == (said.truth, said.utilities)


def _read(entry: Entry) -> Outcome:
    try:
        return msgspec.json.decode(entry.value, type=Outcome)
    except msgspec.DecodeError as error:
        raise CorruptState(f"What is kept under {entry.key!r} does not read: {error}") from error
