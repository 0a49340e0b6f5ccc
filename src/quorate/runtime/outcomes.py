"""What turned out to be true of decisions, how good were they, and what follows for those who took part?"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from quorate.council.decision import verify_decision
from quorate.council.evidence import Judged, find_judged, read_feedback, read_tasks
from quorate.council.ledger import ROOM, Noted, TrustLedger, add_noted
from quorate.council.outcomes import Outcome, OutcomeBook, OutcomeReport, record_outcome
from quorate.council.quality import Known, QualityReport, list_measures, measure_quality
from quorate.council.registrar import ROOM as DECISIONS
from quorate.council.registrar import find_entry
from quorate.council.trust import Source
from quorate.errors import Conflict, CorruptState, NotFound
from quorate.events import ENDINGS
from quorate.ids import check_id
from quorate.models.feedback import FeedbackStore
from quorate.runtime.control import read_run
from quorate.runtime.runtime import Runtime
from quorate.state.confined import ConfinedValues

ENDED = ("completed", "failed", "cancelled", "incomplete")
MOST_MEASURED = 1_000
"""Of how many decisions it is said at once how good they were."""


class Outcomes:
    """What became of a tenant's decisions and runs, and the trust that follows from it.

    Args:
        runtime: Whose tenant's.
    """

    def __init__(self, runtime: Runtime) -> None:
        place = f"{ROOM}/{check_id(runtime.tenant, 'tenant')}/"
        values, rules = runtime.store.values, runtime.settings.trust.build_rules()
        self.ledger = TrustLedger(values, place, rules=rules, clock=runtime.clock)
        """How far members are trusted."""
        self.book = OutcomeBook(values, place)
        """What is known of decisions."""
        self._decisions = ConfinedValues(values, f"{DECISIONS}/{runtime.tenant}/")
        self._runtime = runtime

    async def record(
        self,
        decision: str,
        truth: str,
        *,
        source: Source,
        reason: str = "",
        utilities: Mapping[str, float] | None = None,
        corrects: bool = False,
    ) -> OutcomeReport:
        """Keep what turned out to be true of a decision, trust its voters accordingly, and show how good it was.

        Args:
            decision: Its id.
            truth: Which of its options was right.
            source: Who says so.
            reason: How that is known.
            utilities: What each option would have been worth, for regret.
            corrects: Whether it may replace what was said before.

        Raises:
            NotFound: There is no such decision, for this tenant.
            CorruptState: Its record does not hold, so that nothing can be learned from it.
            Conflict: It is still open, or something else is known already and this is no correction.
            UnknownName: The truth is none of its options.
            Forbidden: An agent that voted says who was right.
        """
        judged = await self._judge(decision, is_verifying=True)
        report = await record_outcome(
            judged,
            truth,
            source=source,
            book=self.book,
            ledger=self.ledger,
            clock=self._runtime.clock,
            reason=reason,
            utilities=utilities,
            corrects=corrects,
        )
        if report.is_new and self._runtime.watching is not None:
            for measure, value in list_measures(report.figures):
                self._runtime.watching.count("decision_quality", value, measure=measure)
        return report

    async def find(self, decision: str) -> Outcome | None:
        """Find what is known to have been right in a decision; `None` when nothing is."""
        return await self.book.find(decision)

    async def measure(self, *, most: int = MOST_MEASURED) -> QualityReport:
        """Say how good decisions were of which the truth is known; those whose run is gone are left out.

        Args:
            most: How many to look at, by their ids.
        """
        known, after = list[Known](), ""
        while len(known) < most and (page := await self.book.list_outcomes(after=after)):
            after = page[-1].decision
            for one in page[: most - len(known)]:
                try:
                    judged = await self._judge(one.decision)
                except NotFound:
                    continue
                known.append(Known(decision=judged, truth=one.truth, utilities=one.said[-1].utilities))
        return measure_quality(known)

    async def learn(self, run: str, *, topic: str = "") -> Noted:
        """Learn from how those ended to whom a run delegated, and from feedback on it; it may be learned from again.

        Args:
            run: Its id.
            topic: What it was about.

        Raises:
            NotFound: There is no such run, for this tenant.
            Conflict: It has not ended.
        """
        head, events = await read_run(self._runtime.log, run, tenant=self._runtime.tenant)
        if not isinstance(events[-1], ENDINGS):
            raise Conflict(f"Run {run!r} has not ended: learn from it when it has.", run=run)
        told = read_tasks(events, topic=topic)
        feedback = FeedbackStore(self._runtime.store.values, clock=self._runtime.clock)
        async for said in feedback.iterate(self._runtime.tenant, run=run):
            found = read_feedback(said, head)
            if found is not None:
                told.append(found)
        return await self.ledger.note(told)

    async def learn_last(self, number: int, *, topic: str = "") -> Noted:
        """Learn from those that have ended of the runs to which something happened last; a schedule may do it.

        Args:
            number: How many runs to look at.
            topic: What they were about.
        """
        found = await self._runtime.log.list_runs(tenant=self._runtime.tenant, order="updated", limit=number)
        noted = Noted()
        for summary in found:
            if summary.status in ENDED:
                with suppress(NotFound):  # it was erased meanwhile
                    noted = add_noted(noted, await self.learn(summary.run, topic=topic))
        return noted

    async def _judge(self, decision: str, *, is_verifying: bool = False) -> Judged:
        entry = await find_entry(self._decisions, check_id(decision, "decision"))
        try:
            _, events = await read_run(
                self._runtime.log, "" if entry is None else entry.run, tenant=self._runtime.tenant
            )
        except NotFound:
            raise NotFound(
                f"There is no decision {decision!r}: list them with `quorate decisions list`.", decision=decision
            ) from None
        judged = find_judged(events, decision)
        if is_verifying:
            verified = verify_decision(events, decision, seal=self._runtime.seal)
            if not verified.holds:
                raise CorruptState(
                    f"The record of decision {decision!r} does not hold, so nothing is learned from it: "
                    f"{'; '.join(verified.faults)[:500]}.",
                    decision=decision,
                )
        return judged
