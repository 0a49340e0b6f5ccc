"""How alike are two runs: what they answered, and the steps they took?

Outputs: two JSON objects or arrays are as alike as the share of their leaves (path and value) that both have (Dice);
anything else as the share of words in matching runs (Ratcliff and Obershelp, as `difflib` counts them).
Steps: the share of steps that match in order, counted in the same way; a call's step is its tool, its arguments and
what it gave, in the order of the calls, so that it does not matter which of several calls ended first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal, cast

import msgspec
from msgspec import Struct, structs

from quorate.agent.replay.divergence import Divergence
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    InputGiven,
    InputRequested,
    ModelFailed,
    ModelReplied,
    RunCompleted,
    RunFailed,
    RunIncomplete,
    RunWaiting,
    StepStarted,
    TaskFinished,
    TimerSet,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    summarize,
)
from quorate.messages import ToolCall, ToolResult, Usage

MOST_COMPARED = 5_000
"""From how many words or steps on only their counts are compared, as aligning them takes too long."""
NOTHING = "(nothing)"

Change = Literal["same", "changed", "removed", "added"]


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a run, in words."""

    seq: int
    key: str = ""
    text: str


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of two runs side by side."""

    change: Change
    recorded: Step | None = None
    replayed: Step | None = None


class Side(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of two runs."""

    run: str
    status: str
    output: str
    steps: tuple[Step, ...]
    usage: Usage = Usage()
    """Tokens and calls of the whole run; of the replies so far where it has not ended."""
    cost_usd: float | None = 0.0


class Comparison(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Two runs side by side."""

    recorded: Side
    replayed: Side
    rows: tuple[Row, ...]
    output_similarity: float
    """From 0 (nothing in common) to 1 (the same)."""
    step_similarity: float
    divergence: Divergence | None = None
    """The first step that differs."""


def compare_runs(recorded: Sequence[AnyEvent], replayed: Sequence[AnyEvent]) -> Comparison:
    """Set two runs side by side; the module says how similarity is measured."""
    before, after = build_side(recorded), build_side(replayed)
    rows = tuple(align_steps(before.steps, after.steps))
    return Comparison(
        recorded=before,
        replayed=after,
        rows=rows,
        output_similarity=compare_outputs(before.output, after.output),
        step_similarity=_compare_sequences([s.text for s in before.steps], [s.text for s in after.steps]),
        divergence=next((_build_divergence(row) for row in rows if row.change != "same"), None),
    )


def build_side(events: Sequence[AnyEvent]) -> Side:
    """Say what a run did and gave."""
    summary, last = summarize(None, events), events[-1]
    output = last.output if isinstance(last, RunCompleted) else last.partial if isinstance(last, RunIncomplete) else ""
    usage, cost = count_usage(events)
    if isinstance(last, (*ENDINGS, RunWaiting)):
        usage, cost = last.usage, last.cost_usd
    return Side(
        run=last.run,
        status=summary.status if summary is not None else "running",
        output=output,
        steps=tuple(list_steps(events)),
        usage=usage,
        cost_usd=cost,
    )


def count_usage(events: Sequence[AnyEvent]) -> tuple[Usage, float | None]:
    """Add up what the replies of a log used and cost, those of delegated tasks included."""
    usage, cost = Usage(), cast("float | None", 0.0)
    for event in events:
        if isinstance(event, ModelReplied):
            usage = usage + event.reply.usage
            calls = len(event.reply.message.tool_calls)
            usage = structs.replace(usage, tool_calls=usage.tool_calls + calls)
            cost = None if cost is None or event.reply.cost_usd is None else cost + event.reply.cost_usd
        elif isinstance(event, TaskFinished):
            usage = usage + event.usage
            cost = None if cost is None or event.cost_usd is None else cost + event.cost_usd
    return usage, cost


def list_steps(events: Sequence[AnyEvent]) -> list[Step]:
    """List what happened in a run, a line for each step; a call's line tells what it gave, too."""
    steps: list[Step] = []
    calls: dict[str, int] = {}
    for event in events:
        if isinstance(event, (ToolFinished, ToolFailed)) and event.key in calls:
            place = calls[event.key]
            steps[place] = structs.replace(steps[place], text=f"{steps[place].text} → {_show_result(event.result)}")
        elif isinstance(event, (ToolStarted, ToolRequested)):
            if event.key not in calls:
                calls[event.key] = len(steps)
                steps.append(_build_step(event, f"call {_show_call(event.call)}"))
        elif text := _describe(event):
            steps.append(_build_step(event, text))
    return steps


def _describe(event: AnyEvent) -> str:
    match event:
        case ModelReplied():
            words = event.reply.message.text
            return f"say {words}" if words else ""
        case ModelFailed() | RunFailed():
            return f"fail ({event.code}): {event.message}"
        case StepStarted():
            return f"agent {event.name}"
        case ApprovalRequested():
            return f"ask whether {_show_call(event.call)} may be made"
        case ApprovalDecided():
            return "answer yes" if event.approved else "answer no"
        case InputRequested():
            return f"ask {event.question}"
        case InputGiven():
            return f"answer {event.text}"
        case TimerSet():
            return "wait for a timer"
        case RunIncomplete():
            return f"stop at the limit {event.limit}"
        case ToolFinished() | ToolFailed():
            return f"call {event.result.name} → {_show_result(event.result)}"
        case _:
            return ""


def align_steps(recorded: Sequence[Step], replayed: Sequence[Step]) -> Iterator[Row]:
    """Set two lists of steps side by side, equal steps beside each other."""
    matcher = SequenceMatcher(None, [s.text for s in recorded], [s.text for s in replayed], autojunk=False)
    blocks = (
        matcher.get_opcodes() if _is_small(recorded, replayed) else [("replace", 0, len(recorded), 0, len(replayed))]
    )
    for kind, begin, end, other, other_end in blocks:
        before, after = recorded[begin:end], replayed[other:other_end]
        for place in range(max(len(before), len(after))):
            one = before[place] if place < len(before) else None
            two = after[place] if place < len(after) else None
            is_same = kind == "equal" or (one is not None and two is not None and one.text == two.text)
            change: Change = "same" if is_same else "added" if one is None else "removed" if two is None else "changed"
            yield Row(change=change, recorded=one, replayed=two)


def compare_outputs(recorded: str, replayed: str) -> float:
    """Return how alike two answers are, from 0 to 1."""
    if recorded == replayed:
        return 1.0
    before, after = _read_leaves(recorded), _read_leaves(replayed)
    if before is not None and after is not None:
        return _dice(before, after)
    return _compare_sequences(recorded.split(), replayed.split())


def _compare_sequences(recorded: Sequence[str], replayed: Sequence[str]) -> float:
    if not recorded and not replayed:
        return 1.0
    if not _is_small(recorded, replayed):
        return _dice(Counter(recorded), Counter(replayed))
    return SequenceMatcher(None, recorded, replayed, autojunk=False).ratio()


def _is_small(recorded: Sequence[object], replayed: Sequence[object]) -> bool:
    return max(len(recorded), len(replayed)) <= MOST_COMPARED


def _dice(recorded: Counter[str], replayed: Counter[str]) -> float:
    total = recorded.total() + replayed.total()
    return 2 * (recorded & replayed).total() / total if total else 1.0


def _read_leaves(text: str) -> Counter[str] | None:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return Counter(_flatten(msgspec.json.decode(text), "$"))
    except (msgspec.DecodeError, RecursionError):
        return None


def _flatten(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, inner in cast("dict[str, object]", value).items():
            yield from _flatten(inner, f"{path}.{name}")
    elif isinstance(value, list) and value:
        for place, inner in enumerate(cast("list[object]", value)):
            yield from _flatten(inner, f"{path}[{place}]")
    else:
        yield f"{path}={msgspec.json.encode(value).decode()}"


def _build_divergence(row: Row) -> Divergence:
    one = row.recorded or row.replayed
    assert one is not None
    return Divergence(
        seq=one.seq,
        key=one.key,
        recorded=row.recorded.text if row.recorded is not None else NOTHING,
        replayed=row.replayed.text if row.replayed is not None else NOTHING,
    )


def _build_step(event: AnyEvent, text: str) -> Step:
    return Step(seq=event.seq, key=event.key, text=text)


def _show_call(call: ToolCall) -> str:
    return f"{call.name} {normalize_arguments(call.arguments)}"


def normalize_arguments(arguments: str) -> str:
    """Write a call's arguments in one way, whatever the order and spaces they came in."""
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments or "{}"), order="sorted").decode()
    except (msgspec.DecodeError, RecursionError):
        return arguments


def _show_result(result: ToolResult) -> str:
    if isinstance(result.content, str):
        return result.content
    return ", ".join(getattr(part, "text", "") or f"<{type(part).__name__.lower()}>" for part in result.content)
