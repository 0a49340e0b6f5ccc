"""What did a recorded run give, as graders read it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

import msgspec

from quorate.agent.procedure.work import TOOL
from quorate.agent.result import RunResult
from quorate.catalog.evaluation.answer import Answer, Verdict, read_value
from quorate.catalog.evaluation.case import Kind
from quorate.council.decision import read_decisions
from quorate.errors import QuorateError
from quorate.events import AnyEvent, RunFailed, RunWaiting, ToolStarted
from quorate.tools.schema import encode_foreign

UNDECIDED = "no_decision"
"""The code of a vote that came to nothing."""
_OUTSIDE = frozenset(
    [
        "blocked_by_policy", "budget_exceeded", "conflict", "corrupt_state", "forbidden", "missing_extra",
        "rate_limited", "storage_full", "unauthenticated", "unavailable", "upstream_error",
    ]
)  # fmt: skip
"""Codes of failures that say nothing of who was asked."""


def read_answer(result: RunResult[object], agent: str, *, kind: Kind) -> Answer:
    """Read what a run gave that did not fail."""
    value = _to_plain(result.value)
    answer = Answer(
        agent=agent,
        status=result.status,
        reason=result.reason,
        text=result.text if isinstance(value, str) or value is None else msgspec.json.encode(value).decode(),
        value=value,
        calls=list_tools(result.events),
        tokens=result.usage.total_tokens,
        cost_usd=result.cost_usd,
        seconds=measure_s(result.events),
    )
    if kind == "agent":
        return answer
    given = read_value(answer)
    table = cast("Mapping[str, object]", given if isinstance(given, Mapping) else {})
    if kind == "route":
        agents = table.get("agents")
        names = cast("list[object]", agents if isinstance(agents, list) else [])
        return msgspec.structs.replace(answer, route=tuple(map(str, names)))
    return msgspec.structs.replace(answer, decision=_find_verdict(result.events) or _read_verdict(table))


def read_failure(events: Sequence[AnyEvent], error: QuorateError, agent: str, *, kind: Kind) -> Answer:
    """Read what there is of a run that failed; a decision that was not reached is one, too."""
    last = events[-1] if events else None
    is_undecided = kind == "decision" and _find_code(last, error) == UNDECIDED
    verdict = _find_verdict(events) or Verdict(status=UNDECIDED, why=error.message)
    return Answer(
        agent=agent,
        status="completed" if is_undecided else "failed",
        reason=error.message,
        calls=list_tools(events),
        tokens=last.usage.total_tokens if isinstance(last, RunFailed) else 0,
        cost_usd=last.cost_usd if isinstance(last, RunFailed) else None,
        seconds=measure_s(events),
        decision=verdict if is_undecided else None,
    )


def is_outside(error: QuorateError) -> bool:
    """Whether a failure says nothing of who was asked: a provider is away, a key is missing, money is spent."""
    return error.retryable or error.code in _OUTSIDE


def list_tools(events: Sequence[AnyEvent]) -> tuple[str, ...]:
    """List the tools that were called, in order; what stands for a whole procedure is none."""
    return tuple(event.call.name for event in events if isinstance(event, ToolStarted) and event.call.name != TOOL)


def measure_s(events: Sequence[AnyEvent]) -> float:
    """Return how long a run was worked on, without the time it rested."""
    steps = pairwise(events)
    return sum(max(0.0, after.time - before.time) for before, after in steps if not isinstance(before, RunWaiting))


def _find_code(last: AnyEvent | None, error: QuorateError) -> str:
    return last.code if isinstance(last, RunFailed) else error.code


def _find_verdict(events: Sequence[AnyEvent]) -> Verdict | None:
    """Find what a council came to: what is recorded is what counts, whatever its answer looks like."""
    decisions = read_decisions(events)
    if not decisions or not decisions[-1].rounds:
        return None
    last = decisions[-1]
    status = "decided" if last.winner is not None else last.last.status
    return Verdict(status=status, winner=last.winner, why=last.why or last.last.why)


def _read_verdict(table: Mapping[str, object]) -> Verdict | None:
    inner = table.get("verdict")
    found = cast("Mapping[str, object]", inner) if isinstance(inner, Mapping) else table
    winner, status = found.get("winner"), found.get("status")
    if winner is None and status is None:
        return None
    return Verdict(
        status=str(status or ("decided" if winner is not None else UNDECIDED)),
        winner=None if winner is None else str(winner),
        why=str(found.get("why", "")),
    )


def _to_plain(value: object) -> object:
    """Turn what an agent gave into plain data."""
    return value if value is None else msgspec.json.decode(msgspec.json.encode(value, enc_hook=encode_foreign))
