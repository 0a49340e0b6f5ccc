"""How does a run's result read, for a person and for a program?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from quorate.agent.result import RunResult
from quorate.cli.console import Line
from quorate.cli.words import clean_line, show_cost, show_duration
from quorate.codec.json import encode_text
from quorate.errors import QuorateError
from quorate.events import AnyEvent, RunCreated, StepStarted, ToolStarted
from quorate.models.playbook.report import Diagnosis, Evidence, Finding

SEVERITY_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "info": "dim"}
STATUS_STYLES = {
    "completed": "green",
    "incomplete": "yellow",
    "waiting": "yellow",
    "cancelled": "yellow",
    "failed": "red",
}
UNSURE = 0.999


def build_document(result: RunResult[object]) -> dict[str, object]:
    """Build the JSON document of a result."""
    created = result.events[0]
    labels = created.labels if isinstance(created, RunCreated) else {}
    route = (
        {"agent": labels["route.agent"], "reason": labels.get("route.reason", "")} if "route.agent" in labels else None
    )
    is_whole = result.status == "completed"
    return {
        "run_id": result.run_id,
        "status": result.status,
        "agent": _get_agent(result),
        "route": route,
        "output": result.output if is_whole else None,
        "partial": "" if is_whole else result.text,
        "reason": result.reason,
        "usage": {
            **msgspec.structs.asdict(result.usage),
            "total_tokens": result.usage.total_tokens,
            "tool_calls": count_calls(result.events),
        },
        "cost_usd": result.cost_usd,
        "elapsed_s": round(get_elapsed(result), 6),
        "events": result.events[-1].seq,
    }


def build_failure(error: QuorateError, *, agent: str) -> dict[str, object]:
    """Build the JSON document of a run that failed."""
    return {
        "run_id": error.context.get("run"),
        "status": "failed",
        "agent": agent,
        "output": None,
        "error": {"code": error.code, "message": error.message, "retryable": error.retryable},
    }


def get_elapsed(result: RunResult[object]) -> float:
    """Return the seconds between a run's first event and its last."""
    return max(0.0, result.events[-1].time - result.events[0].time)


def render_report(result: RunResult[object]) -> Iterator[Line]:
    """Write a result for a person: what was found, on which evidence, and what to do next."""
    style = STATUS_STYLES.get(result.status, "")
    calls = count_calls(result.events)
    spent = f"{show_duration(get_elapsed(result))}, {calls} tool call{'' if calls == 1 else 's'}"
    yield style, f"{_get_agent(result)}: {result.status} in {spent}, {show_cost(result.cost_usd)}"
    if result.status == "completed":
        yield from render_output(result.output)
    else:
        yield "", ""
        yield style, result.reason
        if result.text:
            yield "", ""
            yield "dim", "Until then it said:"
            yield "", result.text
    yield "", ""
    yield from _render_next(result)


def count_calls(events: Sequence[AnyEvent]) -> int:
    """Count the tool calls that a log has, those of delegates included and the calls to delegates not."""
    delegated = {event.key.removesuffix("/") for event in events if isinstance(event, StepStarted)}
    return sum(isinstance(event, ToolStarted) and event.key not in delegated for event in events)


def render_recorded(output: str) -> Iterator[Line]:
    """Write an answer as the log has it."""
    try:
        yield from render_output(msgspec.json.decode(output, type=Diagnosis))
    except (msgspec.DecodeError, RecursionError):
        yield from render_output(output)


def render_output(output: object) -> Iterator[Line]:
    """Write an answer: a diagnosis in full, text as it is, anything else as JSON."""
    yield "", ""
    if isinstance(output, Diagnosis):
        yield from render_diagnosis(output)
    elif isinstance(output, str):
        yield "", output.rstrip("\n")
    else:
        yield "", msgspec.json.format(encode_text(output), indent=2)


def render_diagnosis(diagnosis: Diagnosis) -> Iterator[Line]:
    """Write a diagnosis: the summary, the findings with their evidence, what was fine, what to do."""
    yield "bold", diagnosis.summary
    for finding in diagnosis.findings:
        yield "", ""
        yield from _render_finding(finding)
    yield from _render_list("Measured and fine", diagnosis.checked)
    yield from _render_list("Could not be measured", diagnosis.unavailable)
    yield from _render_list("Next steps", diagnosis.next_steps, numbered=True)


def _render_finding(finding: Finding) -> Iterator[Line]:
    source = f"  [{finding.source}]" if finding.source else ""
    sure = "" if finding.confidence >= UNSURE else f"  ({finding.confidence:.0%} sure)"
    title = f"{finding.severity.upper():<8}  {clean_line(finding.title)}{sure}{source}"
    yield SEVERITY_STYLES.get(finding.severity, ""), title
    if finding.detail:
        yield "", _indent(finding.detail, "          ")
    for evidence in finding.evidence:
        yield "", f"          - {_describe_evidence(evidence)}"


def _describe_evidence(evidence: Evidence) -> str:
    origin = " ".join(part for part in (evidence.tool, evidence.call_id) if part)
    return clean_line(evidence.fact) + (f"  ({clean_line(origin)})" if origin else "")


def _render_list(title: str, items: tuple[str, ...], *, numbered: bool = False) -> Iterator[Line]:
    if items:
        yield "", ""
        yield "bold", title
    for number, item in enumerate(items, 1):
        yield "", f"  {f'{number}.' if numbered else '-'} {clean_line(item)}"


def _render_next(result: RunResult[object]) -> Iterator[Line]:
    run = result.run_id
    yield "dim", f"Run {run}"
    if result.status == "waiting":
        yield "dim", f"  quorate runs show {run}            what it waits for"
        yield "dim", f"  quorate runs resume {run}          go on with it"
    elif result.status == "incomplete":
        yield "dim", "  Give it more with `--limit`, for example `--limit seconds=600`."
    yield "dim", f"  quorate runs show {run} --events   everything that was recorded"


def render_failure(error: QuorateError, *, agent: str) -> str:
    """Say in one line that a run failed, and why."""
    run = error.context.get("run")
    message = clean_line(error.message)
    return f"{agent} failed ({error.code}): {message} Everything recorded: `quorate runs show {run} --events`"


def _get_agent(result: RunResult[object]) -> str:
    created = result.events[0]
    return created.agent if isinstance(created, RunCreated) else ""


def _indent(text: str, space: str) -> str:
    return "\n".join(space + line for line in text.strip().splitlines())
