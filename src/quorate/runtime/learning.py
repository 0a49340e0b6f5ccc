"""How are examples gathered from the runs that are recorded, and where are models kept?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from quorate.events import AnyEvent
from quorate.learning.examples import Dataset
from quorate.learning.record import Said, build_dataset
from quorate.learning.registry import ModelRegistry
from quorate.models.feedback import FeedbackStore
from quorate.runtime.runtime import Runtime

PAGE = 100
MOST_RUNS = 10_000
LABEL = "agent"
"""The label of feedback that says which agent should have done a run."""


def open_registry(runtime: Runtime) -> ModelRegistry:
    """Open the trained models of the runtime's tenant."""
    return ModelRegistry(runtime.store.values, runtime.store.blobs, tenant=runtime.tenant, clock=runtime.clock)


async def gather_examples(runtime: Runtime, task: str, *, most: int = MOST_RUNS) -> Dataset:
    """Build examples from the newest runs of the runtime's tenant, and from what people said of them.

    Args:
        runtime: Whose runs.
        task: What is to be learnt: `routing`, `outcome` or `rating`.
        most: How many runs to look at.

    Raises:
        UnknownName: There is no such task.
    """
    said = [
        Said(run=one.run, rating=one.rating, agent=one.labels.get(LABEL, ""))
        async for one in FeedbackStore(runtime.store.values).iterate(runtime.tenant)
        if one.source == "person" and not one.key
    ]
    runs = [events async for events in _read_runs(runtime, most)]
    return build_dataset(runs, said, task=task)


async def _read_runs(runtime: Runtime, most: int) -> AsyncIterator[Sequence[AnyEvent]]:
    before: str | None = None
    left = most
    while left > 0 and (page := await runtime.list_runs(before=before, limit=min(PAGE, left))):
        logs = await runtime.log.read_many([summary.run for summary in page])
        for summary in page:
            if summary.run in logs:
                yield logs[summary.run]
        left -= len(page)
        before = page[-1].run
