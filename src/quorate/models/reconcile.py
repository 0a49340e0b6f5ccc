"""Does the book of costs have everything that the logs have?

Every reply in a log was booked before it was recorded, so the book never has less. It has more where a run was deleted,
where a process died between the two, and where a step was made again; and calls outside of runs are in no log.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

from msgspec import Struct

from quorate.events import AnyEvent, ModelReplied, ModelRequested, RunCreated
from quorate.messages import Usage
from quorate.models.ledger import Ledger, Row, Spending, build_row, to_nano, write_day
from quorate.ports import Log
from quorate.specs import Caller

PAGE = 500
AT_ONCE = 64
Sums = Mapping[tuple[str, str], Row]
"""By tenant and model."""


class Recorded(Struct, frozen=True):
    """A reply as a log has it."""

    day: str
    spending: Spending
    """With no `calls` where the answer came from a cache, and looking for it was all that cost something."""


class Gap(Struct, frozen=True, kw_only=True):
    """What logs and book say of a tenant's calls to a model, where the logs say more."""

    tenant: str
    model: str
    log: Row
    book: Row


class Comparison(Struct, frozen=True, kw_only=True):
    """What came of comparing the book with all logs."""

    runs: int
    """How many logs were read."""
    log: Row
    """The sum of all replies in logs."""
    book: Row
    """The sum of what is booked of runs."""
    outside: Row
    """The sum of what is booked outside of runs."""
    gaps: tuple[Gap, ...]
    """Where the book lacks something; none when it is whole."""


async def compare(ledger: Ledger, log: Log) -> Comparison:
    """Compare the book with all logs there are.

    Raises:
        Unavailable: The store cannot be reached.
        CorruptState: A log or a sheet does not verify.
    """
    recorded: dict[tuple[str, str], Row] = {}
    booked: dict[tuple[str, str], Row] = {}
    whole, inside, outside, runs = Row(), Row(), Row(), 0
    # The logs come first: what is recorded while the book is read is in the book already.
    async for events in read_logs(log):
        runs += 1
        for one in find_replies(events):
            row = build_row(one.spending)
            recorded.setdefault((one.spending.caller.tenant, one.spending.model), Row()).add(row)
            whole.add(row)
    async for one in ledger.read():
        (inside if one.in_run else outside).add(one.row)
        if one.in_run:
            booked.setdefault((one.tenant, one.model), Row()).add(one.row)
    return Comparison(runs=runs, log=whole, book=inside, outside=outside, gaps=find_gaps(recorded, booked))


def find_gaps(recorded: Sums, booked: Sums) -> tuple[Gap, ...]:
    """Find where logs say more than the book.

    What a reply's cost has of another model, such as that of a question's vector, is booked as that one's: money is
    missing where a tenant's is, and a model alone lacks calls.
    """
    paid = _add_up(booked)
    short = {tenant for tenant, usd in _add_up(recorded).items() if usd > paid.get(tenant, 0)}
    gaps: list[Gap] = []
    for (tenant, model), row in sorted(recorded.items()):
        book = booked.get((tenant, model), Row())
        is_short = tenant in short and row.usd > book.usd
        if is_short or row.calls > book.calls or row.unpriced > book.unpriced:
            gaps.append(Gap(tenant=tenant, model=model, log=row, book=book))
    return tuple(gaps)


def _add_up(sums: Sums) -> dict[str, int]:
    found: dict[str, int] = {}
    for (tenant, _), row in sums.items():
        found[tenant] = found.get(tenant, 0) + row.usd
    return found


async def read_logs(log: Log) -> AsyncGenerator[list[AnyEvent]]:
    """Yield the events of every run there is, a few runs at a time."""
    before: str | None = None
    while True:
        page = await log.list_runs(order="oldest", before=before, limit=PAGE)
        names = [summary.run for summary in page]
        for first in range(0, len(names), AT_ONCE):
            for events in (await log.read_many(names[first : first + AT_ONCE])).values():
                yield events
        if len(page) < PAGE:
            return
        before = names[-1]


def find_replies(events: Sequence[AnyEvent]) -> Iterable[Recorded]:
    """Find the replies in a run's log that a provider gave, as the book names them."""
    caller, asked = Caller(), dict[str, str]()
    for event in events:
        if isinstance(event, RunCreated):
            caller = Caller(tenant=event.tenant, principal=event.principal, run=event.run, agent=event.agent)
        elif isinstance(event, ModelRequested):
            asked[event.key] = event.model
        elif isinstance(event, ModelReplied):
            reply = event.reply
            model = reply.route.model if reply.route is not None else asked.get(event.key, "")
            # Scripts and playbooks have no provider, and what comes from a cache was paid for before.
            if ":" not in model or reply.usage == Usage() or (reply.cached and not reply.cost_usd):
                continue
            calls = 0 if reply.cached else 1
            spending = Spending(caller, model, reply.usage, to_nano(reply.cost_usd), calls=calls)
            yield Recorded(write_day(event.time), spending)
