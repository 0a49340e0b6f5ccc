"""What was used and spent, by whom and on what, and what may still be spent?"""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from litestar import get
from litestar.params import FromQuery, QueryParameter
from litestar.router import Router
from msgspec import Meta, Struct

from quorate.errors import InvalidInput
from quorate.models.budgets.account import Account
from quorate.models.budgets.rules import BudgetRule, get_name
from quorate.models.cost import NANO
from quorate.models.costs import CostLine, build_report
from quorate.models.ledger import Booked, Ledger
from quorate.server.access import need
from quorate.server.asked import Asked, find_runtime
from quorate.server.views import Page
from quorate.specs import Caller

MAX_DAYS = 400
"""How many days one answer may be about."""
USUAL_DAYS = 30
Part = Literal["agent", "model", "principal", "day"]
By = Annotated[
    tuple[Part, ...],
    QueryParameter(max_items=4, description="What it is added up by; may be given several times. `model` when not."),
]
Since = Annotated[date | None, QueryParameter(description="The first day (UTC); 30 days up to `until` when not given.")]
Until = Annotated[date | None, QueryParameter(description="The last day (UTC), today when not given.")]
Name = Annotated[str | None, QueryParameter(max_length=200)]
Cursor = Annotated[str | None, QueryParameter(max_length=2000, description="What `next_cursor` was.")]
Lines = Annotated[int, QueryParameter(ge=1, le=1000, description="How many lines at most.")]


class UsageView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="usage"):
    """What calls that are alike in what was asked for used together."""

    day: str | None = None
    agent: str | None = None
    model: str | None = None
    principal: str | None = None
    calls: int
    """That gave a reply."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """Of the input, what came from a provider's cache."""
    cut_calls: int
    """That gave none: cut, cancelled, too slow."""


class CostView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="cost"):
    """What calls that are alike in what was asked for cost together."""

    day: str | None = None
    agent: str | None = None
    model: str | None = None
    principal: str | None = None
    calls: int
    """That gave a reply."""
    cost_usd: float
    """Of the replies."""
    cut_calls: int
    """That gave none: cut, cancelled, too slow."""
    cut_cost_usd: float
    """What those are thought to have cost."""
    unpriced_calls: int
    """Calls, of all of them, whose price nobody knows: they are not in the cost."""


T = TypeVar("T")


class Report(Struct, Generic[T], frozen=True, kw_only=True):
    """Lines of a report, and the sum of all of them, those of other pages too."""

    since: Annotated[str, Meta(examples=["2026-01-01"])]
    until: Annotated[str, Meta(examples=["2026-01-31"])]
    data: list[T]
    total: T
    next_cursor: str | None = None
    """Give it as `cursor` for the next page; none is left where it is absent."""


class BudgetView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="budget"):
    """How much may be spent, and how much was."""

    name: str
    scope: Literal["global", "model", "tenant", "agent", "key", "session", "run"]
    """Whose calls share it; each tenant, agent, principal (`key`), session or run has one of its own."""
    match: str = "*"
    """Which of them it is for."""
    model: str = ""
    """Only calls to this model; all of them where it is absent."""
    period: Literal["run", "day", "month", "total"]
    """When it begins anew."""
    usd: float | None = None
    tokens: int | None = None
    spent_usd: float | None = None
    """Since its period began; told of budgets of the tenant and of the caller alone."""
    spent_tokens: int | None = None
    reserved_usd: float | None = None
    """Set aside for calls that are under way."""
    reserved_tokens: int | None = None


class Asking(Struct, frozen=True, kw_only=True):
    """What a report is to be about."""

    parts: tuple[Part, ...]
    first: date
    last: date
    agent: str | None
    model: str | None
    principal: str | None
    cursor: str | None
    limit: int


@get("/usage", opt=need("costs", "read"), summary="Show what was used")
async def show_usage(
    request: Asked,
    by: By = ("model",),
    since: Since = None,
    until: Until = None,
    agent: Name = None,
    model: Name = None,
    principal: Name = None,
    order: FromQuery[Literal["name", "-tokens"]] = "name",
    cursor: Cursor = None,
    limit: Lines = 200,
) -> Report[UsageView]:
    """Show what calls to models used on some days, added up by what is asked for, a page at a time."""
    first, last = read_days(since, until, now=find_runtime(request).clock.now())
    asking = Asking(parts=tuple(dict.fromkeys(by)), first=first, last=last, agent=agent, model=model,
                    principal=principal, cursor=cursor, limit=limit)  # fmt: skip
    lines, after, total = await _report(request, asking, weigh=_count_tokens if order == "-tokens" else _weigh_nothing)
    return Report(
        since=first.isoformat(),
        until=last.isoformat(),
        data=[view_usage(line) for line in lines],
        total=view_usage(total),
        next_cursor=after,
    )


@get("/costs", opt=need("costs", "read"), summary="Show what was spent")
async def show_costs(
    request: Asked,
    by: By = ("model",),
    since: Since = None,
    until: Until = None,
    agent: Name = None,
    model: Name = None,
    principal: Name = None,
    order: FromQuery[Literal["name", "-cost"]] = "name",
    cursor: Cursor = None,
    limit: Lines = 200,
) -> Report[CostView]:
    """Show what calls to models cost on some days, added up by what is asked for, a page at a time."""
    first, last = read_days(since, until, now=find_runtime(request).clock.now())
    asking = Asking(parts=tuple(dict.fromkeys(by)), first=first, last=last, agent=agent, model=model,
                    principal=principal, cursor=cursor, limit=limit)  # fmt: skip
    lines, after, total = await _report(request, asking, weigh=_count_usd if order == "-cost" else _weigh_nothing)
    return Report(
        since=first.isoformat(),
        until=last.isoformat(),
        data=[view_cost(line) for line in lines],
        total=view_cost(total),
        next_cursor=after,
    )


@get("/budgets", opt=need("costs", "read"), summary="List budgets")
async def list_budgets(request: Asked) -> Page[BudgetView]:
    """List the budgets that calls of the caller draw on, with what was spent of those that are the caller's alone.

    What several tenants share is listed without what was spent of it, since that would tell what others do.
    """
    runtime, who = find_runtime(request), request.user
    if runtime.gateway is None:
        return Page(data=[])
    budgets, found = runtime.gateway.budgets, list[BudgetView]()
    caller = Caller(tenant=who.tenant, principal=who.principal)
    for rule in budgets.rules:
        if not _concerns(rule, caller):
            continue
        account = None
        if rule.scope in ("tenant", "key"):
            caps = budgets.find_caps(caller, model=rule.model)
            cap = next((cap for cap in caps if cap.budget == get_name(rule)), None)
            account = None if cap is None else await budgets.find(cap)
        found.append(view_budget(rule, account))
    return Page(data=found)


def read_days(since: date | None, until: date | None, *, now: float) -> tuple[date, date]:
    """Read which days a report is about.

    Raises:
        InvalidInput: The last lies before the first, or there are too many between them.
    """
    last = until or datetime.fromtimestamp(now, UTC).date()
    if since is None and last.toordinal() <= USUAL_DAYS:
        raise InvalidInput(f"`until` is {last}, before which there is nothing: give a later day.")
    first = since or last - timedelta(days=USUAL_DAYS - 1)
    if last < first:
        raise InvalidInput(f"`until` is {last} and lies before `since`, which is {first}: exchange them.")
    if (last - first).days >= MAX_DAYS:
        raise InvalidInput(f"{(last - first).days + 1} days are asked for; at most {MAX_DAYS} are added up at once.")
    return first, last


async def _report(
    request: Asked, asking: Asking, *, weigh: Callable[[CostLine], float]
) -> tuple[list[CostLine], str | None, CostLine]:
    """Add up what is asked for: the lines of a page, where the next one begins, and the sum of all."""
    runtime = find_runtime(request)
    count = (asking.last - asking.first).days + 1
    days = [(asking.first + timedelta(days=place)).isoformat() for place in range(count)]
    booked = Ledger(runtime.store.values, clock=runtime.clock).read_days(runtime.tenant, days)
    async with aclosing(booked) as rows:
        wanted = [one async for one in rows if _is_wanted(one, asking)]
    report = build_report(wanted, asking.parts)

    def place(line: CostLine) -> tuple[float, list[str]]:
        return -weigh(line), [str(getattr(line, part)) for part in asking.parts]

    lines = sorted(report.lines, key=place)
    if asking.cursor is not None:
        after = _read_cursor(asking.cursor, parts=len(asking.parts))
        lines = [line for line in lines if place(line) > after]
    page = lines[: asking.limit]
    return page, _write_cursor(place(page[-1])) if len(lines) > len(page) else None, report.total


def _is_wanted(one: Booked, asking: Asking) -> bool:
    return (
        asking.agent in (None, one.agent)
        and asking.model in (None, one.model)
        and asking.principal in (None, one.principal)
    )


def _weigh_nothing(_: CostLine) -> float:
    return 0.0


def _count_tokens(line: CostLine) -> float:
    return line.input_tokens + line.output_tokens


def _count_usd(line: CostLine) -> float:
    return line.cost_usd + line.cut_cost_usd


def _write_cursor(place: tuple[float, list[str]]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _read_cursor(cursor: str, *, parts: int) -> tuple[float, list[str]]:
    try:
        plain = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        weight, names = msgspec.json.decode(plain, type=tuple[float, list[str]])
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidInput("`cursor` is none of this list: give what `next_cursor` was, or leave it out.") from error
    if len(names) != parts:
        raise InvalidInput("`cursor` is of a list that was added up otherwise: leave it out.")
    return weight, names


def _concerns(rule: BudgetRule, caller: Caller) -> bool:
    """Whether a budget may be drawn on by somebody; whose it is depends on the call for some."""
    whose = {"tenant": caller.tenant, "key": caller.principal}.get(rule.scope)
    return whose is None or fnmatchcase(whose, rule.match)


def view_usage(line: CostLine) -> UsageView:
    """Build what callers read of what was used."""
    return UsageView(
        day=line.day,
        agent=line.agent,
        model=line.model,
        principal=line.principal,
        calls=line.calls,
        input_tokens=line.input_tokens,
        output_tokens=line.output_tokens,
        cached_tokens=line.cached_tokens,
        cut_calls=line.cut_calls,
    )


def view_cost(line: CostLine) -> CostView:
    """Build what callers read of what was spent."""
    return CostView(
        day=line.day,
        agent=line.agent,
        model=line.model,
        principal=line.principal,
        calls=line.calls,
        cost_usd=line.cost_usd,
        cut_calls=line.cut_calls,
        cut_cost_usd=line.cut_cost_usd,
        unpriced_calls=line.unpriced_calls,
    )


def view_budget(rule: BudgetRule, account: Account | None) -> BudgetView:
    """Build what callers read of a budget; without its account, how much there may be spent alone."""
    held = [] if account is None else list(account.held.values())
    return BudgetView(
        name=get_name(rule),
        scope=rule.scope,
        match=rule.match,
        model=rule.model,
        period=rule.period,
        usd=rule.usd,
        tokens=rule.tokens,
        spent_usd=None if account is None else account.usd / NANO,
        spent_tokens=None if account is None else account.tokens,
        reserved_usd=None if account is None else sum(hold.usd for hold in held) / NANO,
        reserved_tokens=None if account is None else sum(hold.tokens for hold in held),
    )


def build_router() -> Router:
    """Build the routes about what was used and spent."""
    return Router("/v1", route_handlers=[show_usage, show_costs, list_budgets], tags=["costs"])
