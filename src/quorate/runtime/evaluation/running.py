"""How are all cases gone through, a few at a time, and what is kept when somebody stops it?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterator, Sequence
from typing import Protocol

from msgspec import Struct, structs

from quorate.agent.result import RunResult
from quorate.catalog.evaluation.answer import Answer
from quorate.catalog.evaluation.case import Case, Judged
from quorate.catalog.evaluation.grade import Judgement, average, grade
from quorate.catalog.evaluation.report import Outcome, Record, build_digest, build_question
from quorate.catalog.route import NoRoute
from quorate.errors import QuorateError
from quorate.runtime.evaluation.asking import find_asked
from quorate.runtime.evaluation.beginning import begin_run, was_let_go
from quorate.runtime.evaluation.judging import Judge
from quorate.runtime.evaluation.places import FindAgent, Furnish, build_models, open_place
from quorate.runtime.evaluation.reading import is_outside, read_answer, read_failure
from quorate.runtime.evaluation.scripts import NAME as SCRIPTED
from quorate.runtime.handle import RunHandle
from quorate.runtime.runtime import Runtime
from quorate.settings import cap_limits

MOST_WHY = 300
"""Characters of the line that says why a case did not pass."""


class Note(Protocol):
    """Is told of each record as it is there."""

    async def __call__(self, record: Record, /) -> None:
        """Take a record."""
        ...


class Options(Struct, frozen=True, kw_only=True):
    """How cases are gone through."""

    id: str
    """The evaluation's: runs of the same evaluation, case and repeat are the same run, however often it is begun."""
    model: str | None = None
    """Given to all agents instead of their own; `scripted` only where there is a script."""
    repeats: int = 1
    concurrency: int = 4
    """How many cases are under way at once."""
    furnish: Furnish | None = None
    """Gives what finds agents for one case alone; without it, cases that bring files cannot be gone through."""
    offers: dict[str, str] = {}
    """What else there is, by what cases call it."""


class Evaluation:
    """Goes through cases, each time of each as a recorded run.

    Args:
        runtime: What runs are made by.
        options: How.
        judge: Who scores answers where cases want that.
        note: Is told of each record.
    """

    def __init__(self, runtime: Runtime, options: Options, *, judge: Judge | None = None, note: Note | None = None):
        self._runtime = runtime
        self._options = options
        self._judge = judge
        self.note = note
        """Is told of each record."""
        self._stopping = asyncio.Event()
        self._live: dict[RunHandle, bool] = {}
        """Runs under way, and whether they can be gone on with later."""
        self.records: list[Record] = []
        """What is there so far."""

    async def run(self, cases: Sequence[Case], *, known: Collection[Record] = ()) -> tuple[Record, ...]:
        """Go through all cases, as often as each is to be repeated, and return the records; fewer when it was stopped.

        Args:
            cases: What is asked.
            known: Records of before: what they tell is not run again.
        """
        digests = {case.id: build_digest(case) for case in cases}
        repeats = self._options.repeats
        self.records = [
            record for record in known if record.repeat <= repeats and digests.get(record.case) == record.digest
        ]
        done = {(record.case, record.repeat) for record in self.records}
        work = iter(
            [(case, number) for number in range(1, repeats + 1) for case in cases if (case.id, number) not in done]
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, self._options.concurrency)):
                group.create_task(self._work(work, digests))
        return tuple(self.records)

    def stop(self) -> None:
        """Begin no more cases, and let go of those under way; what can be gone on with, is next time."""
        self._stopping.set()
        for handle in list(self._live):
            self._let_go(handle)

    async def _work(self, work: Iterator[tuple[Case, int]], digests: dict[str, str]) -> None:
        for case, repeat in work:
            if self._stopping.is_set():
                return
            record = await self._go_through(case, repeat, digests[case.id])
            if record is not None:
                self.records.append(record)
                if self.note is not None:
                    await self.note(record)

    async def _go_through(self, case: Case, repeat: int, digest: str) -> Record | None:
        """Go through a case once; `None` when it was let go of before its end."""
        base = Record(
            case=case.id,
            digest=digest,
            question=build_question(case),
            repeat=repeat,
            outcome="error",
            kind=case.kind,
            agent=case.agent,
            tags=case.tags,
        )
        fixture = case.fixture
        try:
            if fixture is None:
                key = f"eval/{self._options.id}/{case.id}/{repeat}/{digest[:16]}"
                models = build_models(case) if self._options.model == SCRIPTED else {}
                furnish = self._options.furnish
                find = furnish(None, models) if furnish is not None and models else self._runtime.find_agent
                return await self._ask(case, base, key=key, find=find)
            missing = [name for name in fixture.needs if name not in self._options.offers]
            if missing:
                return structs.replace(base, outcome="skipped", why=f"it needs {', '.join(missing)}")
            if self._options.furnish is None:
                return structs.replace(base, why="it brings files of its own, and nothing furnishes a place for them")
            async with open_place(case, fixture, furnish=self._options.furnish, offers=self._options.offers) as place:
                return await self._ask(place.case, base, key=None, find=place.find)
        except QuorateError as error:
            return structs.replace(base, why=_shorten(error.message))
        except OSError as error:
            return structs.replace(base, why=f"its place cannot be made: {error.strerror}")

    async def _ask(self, case: Case, base: Record, *, key: str | None, find: FindAgent) -> Record | None:
        """Go through a case in its place.

        Args:
            case: What is asked.
            base: What its record begins with.
            key: What its run is found again by; none where its place is gone with this process.
            find: Finds agents.
        """
        try:
            handle = await self._begin(case, base.repeat, key=key, find=find)
        except NoRoute as error:
            return await self._build(base, case, Answer(agent="", status="failed", reason=error.message), {})
        self._live[handle] = key is not None
        try:
            if self._stopping.is_set():
                self._let_go(handle)
            answer, failure = await self._wait(handle, case)
        finally:
            self._live.pop(handle, None)
        if answer is None or (self._stopping.is_set() and answer.status == "cancelled"):
            return None
        agent = case.agent or ("" if case.kind == "route" else handle.agent)
        found = structs.replace(base, run=handle.id, agent=agent)
        if failure is not None and is_outside(failure):
            return structs.replace(found, status=answer.status, seconds=answer.seconds, why=_shorten(failure.message))
        judgements = await self._ask_judges(case, answer, key or handle.id)
        return None if judgements is None else await self._build(found, case, answer, judgements)

    def _let_go(self, handle: RunHandle) -> None:
        """Let a run rest that can be gone on with, and stop one whose place will be gone."""
        if self._live[handle]:
            handle.release()
        else:
            handle.cancel("The evaluation was stopped.")

    async def _begin(self, case: Case, repeat: int, *, key: str | None, find: FindAgent) -> RunHandle:
        runtime, model = self._runtime, self._options.model
        if model == SCRIPTED and not (case.script or case.scripts):
            model = None
        asked = find_asked(runtime.catalog, case, find=lambda name: find(name, model))
        limits = None if case.limits is None else cap_limits(case.limits, runtime.settings.limits)
        return await begin_run(
            runtime,
            case.request,
            agent=asked,
            limits=limits,
            key=key,
            labels={"evaluation": self._options.id, "case": case.id, "repeat": str(repeat)},
        )

    async def _wait(self, handle: RunHandle, case: Case) -> tuple[Answer | None, QuorateError | None]:
        try:
            result: RunResult[object] = await handle.wait()
        except QuorateError as error:
            events = await self._runtime.log.read(handle.id)
            return read_failure(events, error, handle.agent, kind=case.kind), error
        if not result.events or was_let_go(result.events[-1]):
            return None, None
        return read_answer(result, handle.agent, kind=case.kind), None

    async def _ask_judges(self, case: Case, answer: Answer, key: str) -> dict[int, Judgement] | None:
        """Ask a judge for each expectation that wants one; `None` when it was stopped before all had answered."""
        judge = self._judge
        if judge is None or not answer.is_whole:
            return {}
        wanted = [(number, one) for number, one in enumerate(case.expects) if isinstance(one, Judged)]
        found: dict[int, Judgement] = {}
        for number, one in wanted:
            async with asyncio.TaskGroup() as group:
                judging = group.create_task(_as_task(judge(case, one, answer, f"{key}/judge/{number}")))
                stopping = group.create_task(self._stopping.wait())
                await asyncio.wait({judging, stopping}, return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                judging.cancel()  # its run is let go of with the runtime, and gone on with next time
            if judging.cancelled():
                return None
            found[number] = judging.result()
        return found

    async def _build(self, base: Record, case: Case, answer: Answer, judgements: dict[int, Judgement]) -> Record:
        grades = await asyncio.to_thread(grade, case, answer, judgements)  # long answers take a while
        failed = [one for one in grades if not one.passed]
        unjudged = [one for number, one in enumerate(grades) if number in judgements and judgements[number].error]
        outcome: Outcome = "passed" if bool(failed) == case.refused else "failed"
        if failed and len(unjudged) == len(failed):
            outcome = "error"  # nobody knows: everything else holds
        why = "; ".join(dict.fromkeys(f"{one.grader}: {one.why}" for one in failed))
        if case.refused:
            why = "" if failed else "an answer that is wrong on purpose was taken for a right one"
        costs = [answer.cost_usd, *(one.cost_usd for one in judgements.values() if not one.error)]
        known = [cost for cost in costs if cost is not None]
        return structs.replace(
            base,
            outcome=outcome,
            status=answer.status,
            score=float(outcome == "passed") if case.refused else average(grades),
            grades=grades,
            seconds=answer.seconds,
            tokens=answer.tokens,
            cost_usd=sum(known) if len(known) == len(costs) else None,
            why=_shorten(why),
        )


async def _as_task(work: Awaitable[Judgement]) -> Judgement:
    return await work


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MOST_WHY else f"{line[: MOST_WHY - 1]}…"
