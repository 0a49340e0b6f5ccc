"""What can be learnt from runs and from what people said of them?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from msgspec import Struct

from quorate.errors import UnknownName
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ModelFailed,
    ModelReplied,
    RunCreated,
    RunWaiting,
    ToolFailed,
    ToolStarted,
    get_status,
)
from quorate.learning.examples import MOST_TEXT, Dataset, Example

Task = Literal["routing", "outcome", "rating"]
"""Which agent a request is for; how a run ends; whether people find its answer good."""
GOOD = 0.5
"""From which rating on an answer counts as good."""


class Said(Struct, frozen=True, kw_only=True):
    """What was said of a run."""

    run: str
    rating: float | None = None
    """0 to 1."""
    agent: str = ""
    """Who should have done it, where that was said: the label `agent`."""


def build_dataset(runs: Iterable[Sequence[AnyEvent]], said: Iterable[Said], *, task: str) -> Dataset:
    """Build examples from runs and from what was said of them.

    `routing` learns from runs that completed and that nobody found bad, and from corrections; `outcome` from all that
    ended; `rating` from those that were rated.

    Args:
        runs: Their logs.
        said: What people said.
        task: What is to be learnt.

    Raises:
        UnknownName: There is no such task.
    """
    if task not in get_args(Task):
        raise UnknownName("task", task, get_args(Task))
    by_run: dict[str, list[Said]] = {}
    for one in said:
        by_run.setdefault(one.run, []).append(one)
    found = [build_example(events, by_run, task=task) for events in runs]
    return Dataset(source=f"runs: {task}", examples=tuple(one for one in found if one is not None))


def build_example(events: Sequence[AnyEvent], said: Mapping[str, Sequence[Said]], *, task: str) -> Example | None:
    """Build the example that a run is; `None` where it teaches nothing."""
    created = events[0] if events else None
    if not isinstance(created, RunCreated) or not isinstance(events[-1], ENDINGS) or not created.messages:
        return None
    text, opinions = created.messages[-1].text[:MOST_TEXT], said.get(created.run, ())
    ratings = [one.rating for one in opinions if one.rating is not None]
    is_good = sum(ratings) / len(ratings) >= GOOD if ratings else None
    status = get_status(events[-1]) or "running"
    if task == "routing":
        corrected = next((one.agent for one in reversed(opinions) if one.agent), "")
        label = corrected or (created.agent if status == "completed" and is_good is not False else "")
        return Example(label=label, text=text, source=created.run) if label and text.strip() else None
    if task == "outcome":
        return Example(label=status, text=text, features=measure_run(events), source=created.run)
    if is_good is None:
        return None
    label = "good" if is_good else "bad"
    return Example(label=label, text=text, features=measure_run(events), source=created.run)


def measure_run(events: Sequence[AnyEvent]) -> dict[str, float]:
    """Measure a run in numbers: what it took, and what went wrong on the way."""
    replies = [event.reply for event in events if isinstance(event, ModelReplied)]
    costs = [reply.cost_usd for reply in replies if reply.cost_usd is not None]
    return {
        "seconds": max(0.0, events[-1].time - events[0].time),
        "model_calls": float(len(replies)),
        "model_failures": float(sum(isinstance(event, ModelFailed) for event in events)),
        "tool_calls": float(sum(isinstance(event, ToolStarted) for event in events)),
        "tool_failures": float(sum(isinstance(event, ToolFailed) for event in events)),
        "tokens": float(sum(reply.usage.total_tokens for reply in replies)),
        "cost_usd": float(sum(costs)),
        "rests": float(sum(isinstance(event, RunWaiting) for event in events)),
    }
