"""How are the steps of a workflow made, in the order that follows from what they need?

What is done next is worked out from what is recorded alone (`plan`); a workflow that is begun again is given what was
recorded, plans the same, and goes on behind it.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from typing import cast

import msgspec

from quorate.agent.delegate import STOPS
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.together import build_waiting, side_by_side
from quorate.agent.procedure.work import Work
from quorate.errors import Cancelled, Incomplete, InvalidInput, QuorateError, TooLarge, Waiting
from quorate.orchestration.workflow.plan import find_failure, list_needs, plan_moves, view_report
from quorate.orchestration.workflow.spec import Step, StepReport, Workflow, WorkflowReport
from quorate.orchestration.workflow.values import Expressions

Tasks = dict[str, asyncio.Task[None]]
"""Steps that are being made, by id."""
MAX_SCALAR = 40
_SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")


class StepFailed(QuorateError):
    """A step failed that a workflow cannot do without."""

    code = "step_failed"


class Prepared:
    """A workflow that was checked, with what all its runs share.

    Args:
        workflow: The graph.
        tools: The tools by which agents and nested workflows are called, by their own names.
    """

    def __init__(self, workflow: Workflow, *, tools: Mapping[str, str]) -> None:
        self.workflow = workflow
        self.tools = tools
        self.expressions = Expressions()
        self.needs = {step.id: list_needs(step) for step in workflow.steps}
        self.places = {step.id: place for place, step in enumerate(workflow.steps)}
        self.followers: dict[str, list[Step]] = {step.id: [] for step in workflow.steps}
        """Which steps need each one."""
        for step in workflow.steps:
            for name in self.needs[step.id]:
                self.followers[name].append(step)


class WorkflowRun:
    """A workflow while it is run once.

    Args:
        prepared: The graph.
        work: Makes its steps.
        inputs: What it was given, checked.
    """

    def __init__(self, prepared: Prepared, work: Work, inputs: Mapping[str, object]) -> None:
        self.workflow = workflow = prepared.workflow
        self.reports: dict[str, StepReport] = {}
        self._work = work
        self._inputs = inputs
        self._tools = prepared.tools
        self._expressions = prepared.expressions
        self._prepared = prepared
        self._left = {step.id: step for step in workflow.steps}
        """Steps that neither have ended nor are being made."""
        self._open = {name: len(needs) for name, needs in prepared.needs.items()}
        """How many of the steps that it needs have not ended, for each."""
        self._ready = [step for step in workflow.steps if not prepared.needs[step.id]]
        """Those among the left whose needs have all ended."""
        self._done: list[tuple[Step, StepReport | Waiting]] = []
        """What came of steps and was not looked at yet, in the order in which they ended."""
        self._changed = asyncio.Event()
        self._failed: str | None = None
        self._steps: dict[str, object] = {}
        self._room = asyncio.Semaphore(workflow.at_once)
        self._made = 0
        self._order: list[tuple[float, int, Step]] = []
        """Steps that succeeded, with their place in the record."""
        self._ended: dict[str, float] = {}
        """Where in the record the last thing of a step is that an earlier attempt made."""

    async def run(self) -> WorkflowReport:
        """Make all steps that are to be made.

        Raises:
            StepFailed: One failed that is required; what was done is taken back as far as the steps say how.
            Waiting: Somebody must answer first.
        """
        held = await self._make_all()
        if held:
            raise build_waiting([held[step.id] for step in self.workflow.steps if step.id in held])
        if self._failed is not None:
            raise await self._undo_all(f"Step `{self._failed}`", self._failed, self.reports[self._failed])
        try:
            output = self._build_output()
        except QuorateError as error:
            raise await self._undo_all("The output", "output", _fail(error)) from error
        bad = any(report.is_bad for report in self.reports.values())
        return WorkflowReport(
            workflow=self.workflow.name,
            version=self.workflow.version,
            status="partially_completed" if bad else "completed",
            output=output,
            steps={
                step.id: StepReport(status=report.status, reason=report.reason, code=report.code, tries=report.tries)
                for step in self.workflow.steps
                if (report := self.reports.get(step.id)) is not None
            },
        )

    async def _make_all(self) -> dict[str, Waiting]:
        """Make steps until none is left that can be made; return those that wait for somebody, by id."""
        held: dict[str, Waiting] = {}
        tasks: Tasks = {}
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    begin = self._choose_first(await self._settle_ready())
                    if len(begin) == 1 and not tasks:  # as in a chain: a task for it would cost more than it does
                        await self._carry(begin[0])
                    else:
                        tasks |= {step.id: group.create_task(self._carry(step)) for step in begin}
                        if tasks:
                            await self._changed.wait()
                        elif not await self._drop(held):
                            return held
                    self._take_done(tasks, held)
                    if self._failed is not None and tasks and self.workflow.on_failure == "fail_fast":
                        await self._stop(tasks, held)
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None

    def _choose_first(self, begin: list[Step]) -> list[Step]:
        """Choose what is begun of what may be: what is recorded comes first, as what follows from it may be to stop."""
        recorded = [step for step in begin if self._is_recorded(step)] if self._work.is_resumed else []
        if not recorded or len(recorded) == len(begin):
            return begin
        self._ready = [step for step in begin if step not in recorded]
        self._left |= {step.id: step for step in self._ready}
        return recorded

    def _is_recorded(self, step: Step) -> bool:
        """Whether an earlier attempt has made a step, so that nothing of it is left to do."""
        for number in range(1, step.retries + 2):
            settled = self._work.find_settled(step.id, attempt=number)
            if settled is None or not settled.result.is_error:
                return settled is not None
        return True

    async def _drop(self, held: dict[str, Waiting]) -> bool:
        """Give up steps that wait for somebody where another one failed; say whether there were any."""
        if self._failed is None or self.workflow.on_failure != "fail_fast":
            return False
        dropped = [step for step in self.workflow.steps if step.id in held and step.join != "ended"]
        for step in dropped:
            del held[step.id]
            await self._end_early(step)
        return bool(dropped)

    async def _end_early(self, step: Step) -> None:
        reason = f"it was stopped, as `{self._failed}` failed"
        outcome = await self._work.abandon(step.id, reason)
        stopped = StepReport(status="failed", reason=reason, code=Cancelled.code)
        self._note(step, stopped if outcome is None else _read(step, outcome, tries=1))

    def _take_done(self, tasks: Tasks, held: dict[str, Waiting]) -> None:
        """Note what came of steps, in the order of the record."""
        self._changed.clear()
        done, self._done = self._done, []
        for step, result in sorted(done, key=lambda one: self._place(one[0])) if len(done) > 1 else done:
            tasks.pop(step.id, None)
            if isinstance(result, Waiting):
                held[step.id] = result
            else:
                self._note(step, result)

    async def _settle_ready(self) -> list[Step]:
        """Settle what is never made, until nothing changes; return what can be begun."""
        while True:
            failed = self._failed if self.workflow.on_failure == "fail_fast" else None
            if len(self._ready) > 1:
                self._ready.sort(key=lambda step: self._prepared.places[step.id])
            moves = plan_moves(
                self._ready if failed is None else list(self._left.values()),
                self.reports,
                needs=self._prepared.needs,
                failed=failed,
                values=self._values(),
                expressions=self._expressions,
            )
            self._ready = list(moves.begin)
            for step, report in moves.settle:
                del self._left[step.id]
                if report.status == "skipped":
                    await self._work.skip(step.id, report.reason)
                self._note(step, report)
            if not moves.settle:
                self._ready = []
                for step in moves.begin:
                    del self._left[step.id]
                return list(moves.begin)

    async def _stop(self, tasks: Tasks, held: dict[str, Waiting]) -> None:
        """Stop what is being made where a step failed, as it is of no use any more."""
        stopped = [self._prepared.workflow.steps[self._prepared.places[name]] for name in tasks]
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())
        self._take_done({}, held)  # some ended while they were being stopped
        for step in stopped:
            if step.id in self.reports or step.id in held:
                continue
            await self._end_early(step)
        tasks.clear()

    async def _carry(self, step: Step) -> None:
        """Make a step; that it waits is no reason to stop the others."""
        try:
            result: StepReport | Waiting = await self._make(step)
        except Waiting as held:
            result = held
        self._done.append((step, result))
        self._changed.set()

    def _place(self, step: Step) -> float:
        return self._ended.get(step.id, math.inf)

    def _note(self, step: Step, report: StepReport) -> None:
        self.reports[step.id] = report
        self._steps[step.id] = view_report(report)
        for follower in self._prepared.followers[step.id]:
            self._open[follower.id] -= 1
            if not self._open[follower.id] and follower.id in self._left:
                self._ready.append(follower)
        if report.is_bad:
            self._failed = find_failure(self.workflow, self.reports)
        elif step.undo is not None and report.is_good:
            self._order.append((self._place(step), len(self._order), step))
        done = len(self.reports) / len(self.workflow.steps)
        self._work.show(f"{step.id}: {report.status}", fraction=done)

    def _values(self, **more: object) -> dict[str, object]:
        return {"inputs": self._inputs, "steps": self._steps, **more}

    async def _make(self, step: Step) -> StepReport:
        """Make a step: once, for each item, or round by round."""
        try:
            if step.for_each:
                return await self._make_each(step)
            if step.repeat is not None:
                return await self._make_rounds(step)
            async with self._room:
                return await self._try(step, step.id, self._values())
        except STOPS:
            raise
        except QuorateError as error:
            return _fail(error)

    async def _make_each(self, step: Step) -> StepReport:
        found = self._expressions.evaluate(step.for_each, self._values())
        if not isinstance(found, list):
            raise InvalidInput(f"`for_each` gives {type(found).__name__}, not a list.")
        items = cast("list[object]", found)
        if len(items) > step.limit:
            raise TooLarge(f"`for_each` gives {len(items)} items; `limit` is {step.limit}.")

        async def make(place: int, item: object) -> StepReport:
            values = self._values(item=item, index=place)
            async with self._room:
                return await self._try(step, f"{step.id}.{place}", values)

        jobs = [make(place, item) for place, item in enumerate(items)]
        reports = await side_by_side(jobs, at_once=step.at_once or self.workflow.at_once)
        bad = [(place, report) for place, report in enumerate(reports) if not report.is_good]
        tries = sum(report.tries for report in reports)
        if len(bad) > step.failures:
            place, report = bad[0]
            reason = f"{len(bad)} of {len(items)} items failed, the first of them number {place}: {report.reason}"
            return StepReport(status="failed", reason=reason, code=report.code, tries=tries)
        return StepReport(status="completed", output=[report.output for report in reports], tries=tries)

    async def _make_rounds(self, step: Step) -> StepReport:
        assert step.repeat is not None
        last: object = None
        tries = 0
        for number in range(step.repeat.most):
            async with self._room:
                report = await self._try(step, f"{step.id}.{number}", self._values(last=last, index=number))
            tries += report.tries
            if not report.is_good:
                return StepReport(status=report.status, reason=report.reason, code=report.code, tries=tries)
            last = report.output
            if self._expressions.holds(step.repeat.until, self._values(last=last, index=number)):
                return StepReport(status="completed", output=last, tries=tries)
        reason = f"`{step.repeat.until}` does not hold after {step.repeat.most} rounds"
        return StepReport(status="incomplete", output=last, reason=reason, code=Incomplete.code, tries=tries)

    async def _try(self, step: Step, name: str, values: Mapping[str, object]) -> StepReport:
        """Make one step, item or round, again when it fails and may be tried again."""
        if step.choose:
            return self._choose(step, values)
        tool, arguments = self._build_call(step, values)
        report = StepReport(status="failed")
        for number in range(1, step.retries + 2):
            self._count()
            if number > 1 and step.retry_wait_s:
                wait_s = step.retry_wait_s * 2 ** (number - 2)
                await self._work.call(f"{name}.wait", "wait", {"seconds": wait_s}, attempt=number)
            outcome = await self._work.call(name, tool, arguments, attempt=number, timeout_s=step.timeout_s)
            if self._work.is_resumed:
                settled = self._work.find_settled(name, attempt=number)
                last = math.inf if settled is None else settled.seq
                self._ended[step.id] = max(self._ended.get(step.id, last), last)
            report = _read(step, outcome, tries=number)
            if report.is_good:
                break
        return report

    def _build_call(self, step: Step, values: Mapping[str, object]) -> tuple[str, dict[str, object]]:
        fill, kind = self._expressions.fill, step.kind
        if kind == "agent":
            return self._tools[step.agent], {"task": fill(step.task, values)}
        if kind == "decide":
            return self._tools[step.council], {"task": fill(step.task, values)}
        if kind == "ask":
            return "ask", {"question": fill(step.ask, values), "choices": list(step.choices)}
        if kind == "wait":
            return "wait", {"seconds": step.wait_s}
        arguments = cast("dict[str, object]", fill(step.arguments, values))
        if kind == "workflow":
            return self._tools[step.workflow], {"task": _write_inputs(arguments)}
        return step.tool, arguments

    def _choose(self, step: Step, values: Mapping[str, object]) -> StepReport:
        for name, text in step.choose.items():
            if self._expressions.holds(text, values):
                return StepReport(status="completed", output=name)
        if step.otherwise:
            return StepReport(status="completed", output=step.otherwise)
        return StepReport(status="failed", reason="none of the choices holds, and there is no `otherwise`")

    def _count(self) -> None:
        self._made += 1
        if self._made > self.workflow.max_steps:
            raise Incomplete(f"The workflow made {self.workflow.max_steps} steps: raise `max_steps`.", limit="steps")

    async def _undo_all(self, what: str, failed: str, report: StepReport) -> StepFailed:
        """Take back what was done, the last first, and return the error that says so."""
        undone: list[str] = []
        stuck: list[str] = []
        for _, _, step in sorted(self._order, key=lambda one: one[:2], reverse=True):
            assert step.undo is not None
            try:
                values = self._values(output=self.reports[step.id].output)
                arguments = cast("dict[str, object]", self._expressions.fill(step.undo.arguments, values))
                outcome = await self._work.call(f"{step.id}.undo", step.undo.tool, arguments)
            except STOPS:
                raise
            except QuorateError as error:
                outcome = Outcome(step=step.id, status="failed", text=error.message)
            (undone if outcome.is_good else stuck).append(step.id)
        told = f"{what} of workflow {self.workflow.name!r} failed: {report.reason}"
        if undone:
            told += f" Taken back: {', '.join(undone)}."
        if stuck:
            told += f" NOT taken back, as that failed, too: {', '.join(stuck)}."
        return StepFailed(told, step=failed, cause=report.code)

    def _build_output(self) -> object:
        wanted = self.workflow.output
        if wanted is not None:
            return self._expressions.fill(wanted, self._values())
        given = [self.reports[step.id].output for step in self.workflow.steps if self.reports[step.id].is_good]
        return given[-1] if given else None


def _read(step: Step, outcome: Outcome, *, tries: int) -> StepReport:
    """Read what a step gave; of a nested workflow, its output."""
    if not outcome.is_good:
        return StepReport(status=outcome.status, reason=outcome.text[:2_000], code=outcome.code, tries=tries)
    value = _read_scalar(outcome.value) if step.tool else outcome.value
    if step.workflow and isinstance(value, dict):
        value = cast("dict[str, object]", value).get("output")
    return StepReport(status="completed", output=value, tries=tries)


def _read_scalar(value: object) -> object:
    """Read a number, a truth or nothing as what it is: tools write what they return as JSON, and text as it is."""
    if isinstance(value, str) and len(value) <= MAX_SCALAR and _SCALAR.fullmatch(value):
        return cast("object", msgspec.json.decode(value))
    return value


def _write_inputs(arguments: Mapping[str, object]) -> str:
    return msgspec.json.encode(arguments).decode()


def _fail(error: QuorateError) -> StepReport:
    return StepReport(status="failed", reason=error.message, code=error.code)
