"""What was spent on which day, by whom, and on which model?

Every call is booked when it ends and before its reply is given out, so the book never lacks what a log has. It also
has what no log has: calls outside of runs, which servers book a moment later, and what calls that were cut are thought
to have cost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
from msgspec import Struct, field

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import CorruptState, QuorateError
from quorate.messages import Usage
from quorate.models.cells import Act, Cell, Cells
from quorate.models.cost import NANO
from quorate.models.later import LATER_S, Later, Spawn
from quorate.ports import Entry, KeyValue
from quorate.specs import Caller

PREFIX = "costs/"
PAGE = 500
MAX_ROWS = 4000
"""Of one tenant's day; what further agents or models use is booked under an empty name, and from half of it on nobody
is noted who asks for the first time."""
MAX_OWED = 10_000
MAX_SHEETS = 10_000
"""Kept in this process where there is no store; the oldest go."""
MOST_TOKENS = 10**12
MOST_USD = 1e6
"""What one call can have used: a count is a server's word, and whatever it says can be added up."""
AT_ONCE = 8
"""Sheets on which one call books what others owe."""
AGAIN_S = 1.0
"""After how long what a store did not take is offered again."""


class Spending(Struct, frozen=True):
    """What one call used."""

    caller: Caller
    model: str
    """The one that answered, named in full."""
    usage: Usage
    usd: int | None
    """In billionths of a dollar; `None` when no price is known."""
    is_whole: bool = True
    """Whether a reply came; else it was cut, and the count is our own."""
    calls: int = 1


class Row(Struct, array_like=True, omit_defaults=True):
    """What calls of one agent to one model used on one day; new fields come last."""

    calls: int = 0
    """That gave a reply."""
    usd: int = 0
    """For those replies, in billionths of a dollar."""
    unpriced: int = 0
    """Calls, of all of them, whose price nobody knows."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cut_calls: int = 0
    """That gave none: cut, cancelled, too slow."""
    cut_usd: int = 0
    """What those are thought to have cost."""
    cut_tokens: int = 0

    def add(self, other: Row) -> None:
        """Add what other calls used."""
        self.calls += other.calls
        self.usd += other.usd
        self.unpriced += other.unpriced
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cached_tokens += other.cached_tokens
        self.cut_calls += other.cut_calls
        self.cut_usd += other.cut_usd
        self.cut_tokens += other.cut_tokens


class Sheet(Struct):
    """One tenant's day: a row for each agent, model, principal, and whether it was in a run."""

    rows: dict[str, Row] = field(default_factory=dict[str, Row])


class Booked(Struct, frozen=True, kw_only=True):
    """A row and what it is about."""

    day: str
    tenant: str
    agent: str
    model: str
    in_run: bool
    principal: str = ""
    """Who asked; empty where it was not noted."""
    row: Row


def to_nano(usd: float | None) -> int | None:
    """Turn dollars into whole billionths; every sum is made of these, so that sums agree."""
    if usd is None or usd != usd:
        return None
    return round(min(max(0.0, usd), MOST_USD) * NANO)


def bound_tokens(tokens: int) -> int:
    """Return what of a count can be true."""
    return min(max(0, tokens), MOST_TOKENS)


def write_day(now: float) -> str:
    """Write the day of a moment, in UTC."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")


def build_row(spending: Spending) -> Row:
    """Write a call as a row."""
    usage, usd = spending.usage, spending.usd or 0
    unpriced = spending.calls if spending.usd is None else 0
    if not spending.is_whole:
        tokens = bound_tokens(usage.total_tokens)
        return Row(unpriced=unpriced, cut_calls=spending.calls, cut_usd=usd, cut_tokens=tokens)
    return Row(
        calls=spending.calls,
        usd=usd,
        unpriced=unpriced,
        input_tokens=bound_tokens(usage.input_tokens),
        output_tokens=bound_tokens(usage.output_tokens),
        cached_tokens=bound_tokens(usage.cached_tokens),
    )


def build_name(spending: Spending) -> str:
    """Name the row a call goes into."""
    caller = spending.caller
    agent, model, principal = caller.agent, spending.model, caller.principal
    if "\n" in agent or "\n" in model or "\n" in principal:
        agent, model, principal = (word.replace("\n", " ") for word in (agent, model, principal))
    return f"{agent}\n{model}\n{'run' if caller.run else ''}\n{principal}"


def read_name(name: str) -> tuple[str, str, bool, str]:
    """Read what a row is about: agent, model, whether it was in a run, and who asked; older rows do not say that."""
    agent, model, place, *others = name.split("\n")
    return agent, model, place == "run", others[0] if others else ""


class Ledger:
    """The book of a gateway's calls; in a store that several processes share, or in this process."""

    def __init__(self, values: KeyValue | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._values = values
        self._clock = clock
        self._cells = None if values is None else Cells(values, empty=lambda _: Sheet(), clock=clock)
        self._sheets: dict[str, Sheet] = {}
        self._owed: deque[tuple[str, Spending]] = deque(maxlen=MAX_OWED)
        self._day = (-1.0, "")
        self._later: Later | None = None

    def work_later(self, spawn: Spawn) -> None:
        """Book calls outside of runs a moment after they end, many at once; see `Budgets.work_ahead`."""
        self._later = Later(self.flush, spawn=spawn, after_s=LATER_S)

    async def aclose(self) -> None:
        """Book what is still to be booked; from now on everything is booked at once."""
        later, self._later = self._later, None
        if later is not None:
            later.cancel()
            await self._pay_all()

    async def flush(self) -> None:
        """Book what is to be booked later; what the store does not take is offered again after a while."""
        if self._later is not None:
            await self._pay_all()
            if self._owed:
                self._later.ask(after_s=AGAIN_S)

    async def _pay_all(self) -> None:
        """Book what is owed, until the store does not take it."""
        while self._owed and self._cells is not None:
            before = len(self._owed)
            await self._pay(self._cells)
            if len(self._owed) >= before:
                return

    async def book(self, spending: Spending) -> None:
        """Book a call; what the store does not take now is kept, and booked with the next."""
        now = self._clock.now() if self._cells is None else self._cells.times.now()
        if self._day[0] != now // 86_400:
            self._day = (now // 86_400, write_day(now))
        key = f"{PREFIX}{self._day[1]}/{spending.caller.tenant}"
        if self._cells is None:
            sheet = self._sheets.get(key)
            if sheet is None:
                if len(self._sheets) >= MAX_SHEETS:
                    del self._sheets[next(iter(self._sheets))]
                sheet = self._sheets[key] = Sheet()
            add_row(sheet, spending)
        elif self._later is not None and not spending.caller.run:
            self._owed.append((key, spending))
            self._later.ask()
        elif await self._write(self._cells.get(key), [(key, spending)]) and self._owed:
            await self._pay(self._cells)

    async def _write(self, sheet: Cell[Sheet], calls: Sequence[tuple[str, Spending]]) -> bool:
        """Book calls on one sheet; what is not booked is owed, also when whoever waits is gone."""
        try:
            act = build_booking([spending for _, spending in calls])
            await sheet.change(act, lost=partial(self._owed.extend, calls))
        except QuorateError:  # the replies are there and paid for, whatever becomes of the book
            self._owed.extend(calls)
            return False
        return True

    async def _pay(self, cells: Cells[Sheet]) -> None:
        """Book what is owed, some sheets at once, until the store does not take it."""
        for _ in range(AT_ONCE):
            if not self._owed:
                return
            place = self._owed[0][0]
            calls = [one for one in self._owed if one[0] == place]
            others = [one for one in self._owed if one[0] != place]
            self._owed.clear()
            self._owed.extend(others)
            if not await self._write(cells.get(place), calls):
                return

    async def read(self, *, since: str = "", until: str = "9999", tenant: str | None = None) -> AsyncGenerator[Booked]:
        """Yield what is booked, from one day up to and with another, in order of days.

        Raises:
            Unavailable: The store cannot be reached.
            CorruptState: A sheet cannot be read.
        """
        await self.flush()
        async for key, sheet in self._scan(f"{PREFIX}{since}"):
            day, _, whose = key.removeprefix(PREFIX).partition("/")
            if day > until:
                return
            if tenant is None or whose == tenant:
                for booked in _list_booked(sheet, day=day, tenant=whose):
                    yield booked

    async def read_days(self, tenant: str, days: Iterable[str]) -> AsyncGenerator[Booked]:
        """Yield what is booked of one tenant on some days, whatever others spent; raises what `read` raises."""
        await self.flush()
        for day in days:
            key = f"{PREFIX}{day}/{tenant}"
            if self._values is None:
                sheet = self._sheets.get(key)
            else:
                entry = await self._values.get(key)
                sheet = None if entry is None else _decode(entry)
            for booked in _list_booked(sheet or Sheet(), day=day, tenant=tenant):
                yield booked

    async def _scan(self, after: str) -> AsyncGenerator[tuple[str, Sheet]]:
        if self._values is None:
            for key in sorted(self._sheets):
                if key >= after:
                    yield key, self._sheets[key]
            return
        while True:
            entries = await self._values.scan(PREFIX, after=after, limit=PAGE)
            for entry in entries:
                yield entry.key, _decode(entry)
            if len(entries) < PAGE:
                return
            after = entries[-1].key


def add_row(sheet: Sheet, spending: Spending) -> None:
    """Add a call to a day; where there are many rows, first who asked is left out, then all else."""
    name = build_name(spending)
    row = sheet.rows.get(name)
    if row is None:
        if len(sheet.rows) >= MAX_ROWS // 2:
            name = name.rpartition("\n")[0]
        if len(sheet.rows) >= MAX_ROWS and name not in sheet.rows:
            name = f"\n\n{'run' if spending.caller.run else ''}"
        row = sheet.rows.setdefault(name, Row())
    row.add(build_row(spending))


def _list_booked(sheet: Sheet, *, day: str, tenant: str) -> Iterator[Booked]:
    for name, row in sheet.rows.items():
        agent, model, in_run, principal = read_name(name)
        yield Booked(day=day, tenant=tenant, agent=agent, model=model, in_run=in_run, principal=principal, row=row)


def _decode(entry: Entry) -> Sheet:
    try:
        return msgspec.msgpack.decode(entry.value, type=Sheet)
    except msgspec.DecodeError as error:
        raise CorruptState(f"The costs under {entry.key!r} cannot be read: {error}") from error


def build_booking(calls: Sequence[Spending]) -> Act[Sheet, None]:
    """Build the change that books calls."""

    def act(sheet: Sheet, now: float) -> tuple[bool, None]:
        for spending in calls:
            add_row(sheet, spending)
        return True, None

    return act
