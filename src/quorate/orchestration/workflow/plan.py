"""Given what came of steps so far, which are next, and which are never made?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from quorate.errors import Cancelled, QuorateError
from quorate.orchestration.workflow.spec import Step, StepReport, Workflow
from quorate.orchestration.workflow.values import Expressions, find_steps, iterate_texts


class Moves(Struct, frozen=True, kw_only=True):
    """What is to be done now."""

    begin: tuple[Step, ...] = ()
    """Steps to make."""
    settle: tuple[tuple[Step, StepReport], ...] = ()
    """Steps that are not made, and what is to be said of them."""


def list_needs(step: Step) -> frozenset[str]:
    """List the steps that must have ended before a step: those it names, and those whose results it reads."""
    expressions = [step.when, step.for_each, *step.choose.values()]
    if step.repeat is not None:
        expressions.append(step.repeat.until)
    texts = [f"={text}" for text in expressions if text]
    texts += [step.task, step.ask, *iterate_texts(step.arguments)]
    return frozenset({*step.after, *find_steps(*texts)} - {step.id})


def plan_moves(
    pending: Sequence[Step],
    reports: Mapping[str, StepReport],
    *,
    needs: Mapping[str, frozenset[str]],
    failed: str | None,
    values: Mapping[str, object],
    expressions: Expressions,
) -> Moves:
    """Say what can be done now; the same for the same arguments, whoever asks and when.

    Args:
        pending: The steps that neither have ended nor are being made, in their order.
        reports: What came of the steps that have ended.
        needs: What each step needs, as `list_needs` says.
        failed: The step that failed for which all others are given up; `None` as long as there is none.
        values: What conditions see, by name.
        expressions: Reads conditions.
    """
    begin: list[Step] = []
    settle: list[tuple[Step, StepReport]] = []
    for step in pending:
        if failed is not None and step.join != "ended":
            settle.append((step, _skip(f"`{failed}` failed: {reports[failed].reason}")))
            continue
        before = needs[step.id]
        if not before.issubset(reports):
            continue
        report = _judge(step, {name: reports[name] for name in before}, values, expressions)
        if report is None:
            begin.append(step)
        else:
            settle.append((step, report))
    return Moves(begin=tuple(begin), settle=tuple(settle))


def find_failure(workflow: Workflow, reports: Mapping[str, StepReport]) -> str | None:
    """Find the first step that failed and that the workflow cannot do without; those stopped for it come last."""
    failed = [
        step.id for step in workflow.steps if step.id in reports and reports[step.id].is_bad and not step.optional
    ]
    return next((name for name in failed if reports[name].code != Cancelled.code), failed[0] if failed else None)


def view_report(report: StepReport) -> dict[str, object]:
    """Build what expressions and templates see of a step."""
    return {"status": report.status, "output": report.output, "reason": report.reason}


def _judge(
    step: Step, before: Mapping[str, StepReport], values: Mapping[str, object], expressions: Expressions
) -> StepReport | None:
    """Say why a step is not made, all it needs having ended; `None` when it is."""
    bad = {name: report for name, report in before.items() if report.status != "completed"}
    if step.join == "all" and bad:
        return _skip(_explain(*min(bad.items(), key=lambda one: one[0])))
    if step.join == "any" and bad and len(bad) == len(before):
        return _skip("; ".join(_explain(name, report) for name, report in sorted(bad.items(), key=lambda one: one[0])))
    try:
        if step.when and not expressions.holds(step.when, values):
            return _skip(f"`{step.when}` does not hold")
    except QuorateError as error:
        return StepReport(status="failed", reason=f"`when` cannot be worked out: {error.message}", code=error.code)
    return None


def _explain(name: str, report: StepReport) -> str:
    verb = "was skipped" if report.status == "skipped" else "failed"
    return f"`{name}` {verb}: {report.reason}"


def _skip(reason: str) -> StepReport:
    return StepReport(status="skipped", reason=reason[:2_000])
