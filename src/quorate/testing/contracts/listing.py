"""How do contracts fill a log with runs of every sort, and list them?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.events import AnyEvent, ApprovalDecided, RunCompleted, RunCreated, RunSummary, Status
from quorate.messages import build_user_message
from quorate.ports import Log, RunOrder
from quorate.testing.contracts.building import build_step

ORDERS: Sequence[RunOrder] = ("newest", "oldest", "updated")
"""All orders there are."""


def build_names(count: int) -> list[str]:
    """Name runs, oldest first."""
    return [f"run-{number:03}" for number in range(count)]


def build_answer(run: str, seq: int) -> AnyEvent:
    """Build what a person says to a waiting run."""
    return ApprovalDecided(run=run, seq=seq, time=6.0, key="1/tool/call-1", approved=True, digest="ab", by="ada")


async def fill_run(log: Log, run: str) -> None:
    """Write a run whose facts follow from its number, every combination of them more than once."""
    number = int(run[4:])
    created = RunCreated(
        run=run,
        seq=1,
        time=float(number),
        agent="net" if number % 2 else "logs",
        messages=(build_user_message("why?"),),
        tenant="acme" if number // 2 % 2 else "default",
        session="s1" if number // 4 % 2 else None,
    )
    # Within a minute and across many, some at the same time.
    end = RunCompleted(run=run, seq=2, time=100.0 + number // 3 * 7 % 50 * 11, output="ok")
    await log.append(run, [created, end] if number // 8 % 2 else [created, build_step(run, 2)], expected=0)


def sort_summaries(summaries: Sequence[RunSummary], order: RunOrder) -> list[RunSummary]:
    """Put runs into an order by what it says."""
    if order == "updated":
        return sorted(summaries, key=lambda one: (one.updated, one.run), reverse=True)
    return sorted(summaries, key=lambda one: one.run, reverse=order == "newest")


async def list_by_page(log: Log, filters: dict[str, str], *, order: RunOrder, limit: int) -> list[RunSummary]:
    """List all runs that match, page by page."""
    found: list[RunSummary] = []
    while True:
        page = await log.list_runs(
            status="completed" if "status" in filters else None,
            agent=filters.get("agent"),
            session=filters.get("session"),
            tenant=filters.get("tenant"),
            order=order,
            before=found[-1].run if found else None,
            limit=limit,
        )
        assert len(page) <= limit
        if not page:
            return found
        found += page


async def list_names(
    log: Log, *, order: RunOrder = "newest", before: str | None = None, status: Status | None = None
) -> list[str]:
    """List one page, and only the names."""
    return [summary.run for summary in await log.list_runs(order=order, before=before, status=status)]
