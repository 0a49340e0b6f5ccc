"""Which calls does a budget pay for, and how much of it is there?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.models.cost import NANO
from quorate.models.scopes import find_rule_faults, find_scope_value, shorten
from quorate.specs import Caller

BudgetScope = Literal["global", "model", "tenant", "agent", "key", "session", "run"]
"""What calls share a budget: all; those for a model, of a tenant, an agent, a principal, a session or a run."""
Period = Literal["run", "day", "month", "total"]
DAY_S = 86_400
KEPT_S = {"run": 35 * DAY_S, "day": 3 * DAY_S, "month": 40 * DAY_S}
"""How long after its last change an account is kept; those without a period for ever."""
RUN_CAP = "cost_usd"
"""The name of the budget that a run brings along."""


class BudgetRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So much may be spent in each run, day or month (of UTC), or in all."""

    name: Annotated[str, Meta(max_length=63)] = ""
    """What it is called in messages; made from the rest when it is empty."""
    scope: BudgetScope = "global"
    """Each tenant, agent … has a budget of its own; `key` means the principal."""
    match: Annotated[str, Meta(min_length=1, max_length=128)] = "*"
    """Which of them it is for, such as `acme-*`."""
    model: Annotated[str, Meta(max_length=192)] = ""
    """Only calls to this model, as it is asked for; all of them when it is empty."""
    period: Period = "total"
    """When it begins anew; `run`: each run has its own."""
    usd: Annotated[float, Meta(gt=0, le=1_000_000_000)] | None = None
    tokens: Annotated[int, Meta(ge=1, le=1_000_000_000_000_000)] | None = None
    """Input and output together."""


class Cap(Struct, frozen=True, kw_only=True):
    """One budget that a call draws on."""

    key: str
    """Which account; the same in all processes."""
    budget: str
    """The rule's name."""
    scope: BudgetScope | Literal["project"]
    value: str
    """Whose it is, such as the tenant's name."""
    period: Period
    usd: int | None
    """In billionths of a dollar."""
    tokens: int | None
    ttl_s: float | None


def get_name(rule: BudgetRule) -> str:
    """Return a rule's name; a changed amount does not change it, so that what was spent stays spent."""
    words = (rule.scope, "" if rule.match == "*" else rule.match, rule.model, rule.period)
    return rule.name or " ".join(word for word in words if word)


def find_faults(rules: Sequence[BudgetRule]) -> list[tuple[int, str]]:
    """List what does not hold together, each with the rule's place."""
    return find_rule_faults(
        rules,
        name=get_name,
        other=lambda rule: rule.usd,
        nothing="bounds nothing: set `usd`, `tokens`, or both",
        twice="pays for what rule {} pays for",
    )


def find_value(rule: BudgetRule, *, model: str, caller: Caller) -> str | None:
    """Find whose budget a call draws on; `None` when the rule is not for it."""
    if (rule.model and rule.model != model) or (rule.period == "run" and not caller.run):
        return None
    return find_scope_value(rule, caller, {"model": model})


def build_caps(rules: Sequence[BudgetRule], *, model: str, caller: Caller, now: float) -> tuple[Cap, ...]:
    """Build the budgets that a call draws on at a moment; the one its run brings along is the first."""
    caps: list[Cap] = []
    if caller.cost_usd is not None:
        whose = f"{caller.tenant}/{caller.run}" if caller.run else f"{caller.tenant}/{caller.principal}"
        own = BudgetRule(name=RUN_CAP, scope="run", period="total", usd=max(caller.cost_usd, 1e-9))
        caps.append(_build_cap(own, whose, "run", ttl_s=KEPT_S["run"]))
    for rule in rules:
        value = find_value(rule, model=model, caller=caller)
        if value is not None:
            stamp = caller.run if rule.period == "run" else write_stamp(rule.period, now)
            ttl_s = KEPT_S["run"] if rule.scope == "run" else KEPT_S.get(rule.period)
            caps.append(_build_cap(rule, value, stamp, ttl_s=ttl_s))
    return tuple(caps)


def write_stamp(period: Period, now: float) -> str:
    """Write which day or month a moment is in."""
    if period == "total":
        return "total"
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d" if period == "day" else "%Y-%m")


def _build_cap(rule: BudgetRule, value: str, stamp: str, *, ttl_s: float | None) -> Cap:
    name = get_name(rule)
    return Cap(
        key=f"budgets/{shorten(name)}/{shorten(value)}/{stamp}",
        budget=name,
        scope=rule.scope,
        value=value,
        period=rule.period,
        usd=None if rule.usd is None else round(rule.usd * NANO),
        tokens=rule.tokens,
        ttl_s=ttl_s,
    )
