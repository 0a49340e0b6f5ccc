"""Which runs, and which questions of theirs, are on the next page of a list?"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.events import AnyEvent, RunCreated, RunSummary, Status
from quorate.ports import Log, RunOrder
from quorate.runtime.questions import RESTING, OpenQuestion, list_open

MAX_LOOKED_AT = 600
"""How many runs are looked at for one page of those with certain labels, or that were changed last."""
MAX_RESTING = 1_000
"""How many resting runs are looked at for one page of questions."""
PIECE = 200
RESTING_PIECE = 50
"""How many runs are listed at a time where whole logs are read."""
AT_ONCE = 16
"""How many runs' labels are read at a time."""
LAST_MS = (1 << 48) - 1
QUESTION_DIGITS = 32
ENDLESS = "\U0010ffff"
"""Behind every id."""
Sees = Callable[[str | None, str, Mapping[str, str]], Awaitable[bool]]
"""Says whether runs are for whoever asks, by their session, who asked for them, and their labels."""


class RunFilter(Struct, frozen=True, kw_only=True):
    """Which runs are wanted: those that match all that is given."""

    status: Status | None = None
    agent: str | None = None
    session: str | None = None
    labels: Mapping[str, str] = {}
    since: float | None = None
    """Wall time: born then or later. A fork is born when it was forked."""
    until: float | None = None
    """Wall time: born before."""


class RunPage(Struct, frozen=True, kw_only=True):
    """Some of a list of runs."""

    runs: list[RunSummary]
    labels: Mapping[str, Mapping[str, str]]
    """The labels of each of them, by its id."""
    after: str | None
    """Behind which run the next page begins; `None` where there is none."""


class QuestionPage(Struct, frozen=True, kw_only=True):
    """Some of a list of questions."""

    questions: list[OpenQuestion]
    after: str | None


async def page_runs(
    log: Log,
    wanted: RunFilter,
    *,
    tenant: str,
    order: RunOrder = "newest",
    after: str | None = None,
    limit: int = 50,
    sees: Sees | None = None,
) -> RunPage:
    """List runs a page at a time, each with its labels.

    Labels are in the logs alone, and so is the birth of a run where runs come by their last change: then a bounded
    number of runs is looked at for each page, which may have less than `limit`, and another one behind it all the same.

    Args:
        log: The record of runs.
        wanted: Which ones.
        tenant: Whose.
        order: How they follow each other.
        after: The last run of the page before.
        limit: How many at most.
        sees: Which of them are for whoever asks; all of them when not given.

    Raises:
        Conflict: They come by their last change, and the last one of the page before is gone.
    """
    first, last = _find_bounds(wanted)
    place, found, looked_at = _begin(order, after, first, last), list[RunSummary](), 0
    labels: dict[str, Mapping[str, str]] = {}
    is_sifted = bool(wanted.labels) or (order == "updated" and (first, last) != ("", ENDLESS))
    step = max(limit, PIECE) if is_sifted else limit
    while True:
        page = await log.list_runs(
            status=wanted.status, agent=wanted.agent, session=wanted.session, tenant=tenant, order=order, before=place,
            limit=step,
        )  # fmt: skip
        looked_at += len(page)
        born = [one for one in page if first <= one.run < last]
        is_over = len(page) < step or (order != "updated" and len(born) < len(page))
        known = await read_labels(log, [one.run for one in born])
        for one in born:
            given = known.get(one.run, {})
            is_meant = wanted.labels.items() <= given.items()
            if is_meant and (sees is None or await sees(one.session, one.principal, given)):
                found.append(one)
                labels[one.run] = given
                if len(found) == limit:
                    return RunPage(runs=found, labels=labels, after=one.run)
        if is_over:
            return RunPage(runs=found, labels=labels, after=None)
        place, step = page[-1].run, max(limit, PIECE)
        if looked_at >= MAX_LOOKED_AT:
            return RunPage(runs=found, labels=labels, after=place)


async def read_labels(log: Log, runs: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """Read the labels of runs, by their ids; a run that was deleted meanwhile is left out."""
    found: dict[str, Mapping[str, str]] = {}
    turn = asyncio.Semaphore(AT_ONCE)

    async def read(run: str) -> None:
        async with turn:
            events = await log.read(run, limit=1)
        if events and isinstance(events[0], RunCreated):
            found[run] = events[0].labels

    try:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(read(run))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None  # they all ask the same store, and fail alike
    return found


async def page_questions(
    log: Log,
    *,
    tenant: str,
    agent: str | None = None,
    session: str | None = None,
    kinds: Iterable[str] = (),
    after: str | None = None,
    limit: int = 50,
) -> QuestionPage:
    """List what resting runs ask, those of the oldest run first, a page at a time.

    A page goes on behind the last question of the one before, whatever was asked and answered meanwhile. A bounded
    number of runs is looked at for each page, which may have less than `limit`, and another one behind it all the same.

    Args:
        log: The record of runs.
        tenant: Whose.
        agent: Only what runs of an agent ask.
        session: Only what runs of a session ask.
        kinds: Only questions of these kinds; all when empty.
        after: What the page before said.
        limit: How many at most.
    """
    wanted, found, looked_at = set(kinds), list[OpenQuestion](), 0
    place, _, seen = (after or "").partition("/")
    if seen:  # the rest of what one run asks
        found += _choose(await log.read_many([place]), [place], tenant=tenant, wanted=wanted, seen=seen)
    while len(found) <= limit:
        runs, is_over = await _page_resting(log, tenant=tenant, agent=agent, session=session, after=place)
        looked_at += len(runs)
        logs = await log.read_many(runs) if runs else {}
        found += _choose(logs, runs, tenant=tenant, wanted=wanted)
        place = runs[-1] if runs else place
        if is_over:
            break
        if looked_at >= MAX_RESTING and len(found) <= limit:
            return QuestionPage(questions=found, after=place)
    page = found[:limit]
    return QuestionPage(questions=page, after=_build_place(page[-1]) if len(found) > limit else None)


def find_question_id(key: str) -> str:
    """Return the id by which a question of a run is addressed: its key has slashes, which a path cannot hold."""
    return f"ask-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:QUESTION_DIGITS]}"


def _choose(
    logs: Mapping[str, Sequence[AnyEvent]], runs: Sequence[str], *, tenant: str, wanted: set[str], seen: str = ""
) -> list[OpenQuestion]:
    found: list[OpenQuestion] = []
    for run in runs:
        events = logs.get(run, ())
        if not events or not isinstance(events[0], RunCreated) or events[0].tenant != tenant:
            continue
        asked = sorted(list_open(events), key=lambda one: find_question_id(one.key))
        found += [one for one in asked if find_question_id(one.key) > seen and (not wanted or one.kind in wanted)]
    return found


async def _page_resting(
    log: Log, *, tenant: str, agent: str | None, session: str | None, after: str
) -> tuple[list[str], bool]:
    """List resting runs by birth, however they rest, and say whether these were the last."""
    found: set[str] = set()
    ends: list[str] = []
    for status in RESTING:
        page = await log.list_runs(
            status=status, tenant=tenant, agent=agent, session=session, order="oldest", before=after or None,
            limit=RESTING_PIECE,
        )  # fmt: skip
        found.update(one.run for one in page)
        if len(page) == RESTING_PIECE:
            ends.append(page[-1].run)
    return sorted(run for run in found if not ends or run <= min(ends)), not ends


def _build_place(last: OpenQuestion) -> str:
    return f"{last.run}/{find_question_id(last.key)}"


def _find_bounds(wanted: RunFilter) -> tuple[str, str]:
    """Find between which ids runs were born: ids begin with the millisecond."""
    first = "" if wanted.since is None else _find_first(wanted.since)
    return first, ENDLESS if wanted.until is None else _find_first(wanted.until)


def _find_first(moment: float) -> str:
    """Find before which id no run of a moment, or a later one, is."""
    if not math.isfinite(moment):
        raise InvalidInput(f"{moment!r} is no moment: give seconds since 1970.")
    return f"run-{min(max(0, math.ceil(moment * 1000)), LAST_MS):012x}"


def _begin(order: RunOrder, after: str | None, first: str, last: str) -> str | None:
    """Find behind which run a list begins, of runs that were born between two ids."""
    if order == "newest" and last != ENDLESS:
        return last if after is None else min(after, last)
    if order == "oldest" and first:
        return first if after is None else max(after, first)
    return after
