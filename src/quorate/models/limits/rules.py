"""Which calls does a limit count together, and how many of them may pass?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.models.scopes import find_rule_faults, find_scope_value, shorten
from quorate.specs import Caller

LimitScope = Literal["global", "model", "credential", "tenant", "agent", "key", "session"]
"""What calls share a window: all; those of a model, a credential, a tenant, an agent, a principal or a session."""
Count = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
NARROW_FIRST: tuple[LimitScope, ...] = ("session", "key", "agent", "tenant", "credential", "model", "global")
"""The order in which windows are asked where that takes a step each: what one session may not do takes no room from
others, not even for a moment."""


class LimitRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many requests or tokens in every window of so many seconds, wherever the window begins."""

    name: Annotated[str, Meta(max_length=63)] = ""
    """What it is called in messages; made from the rest when it is empty."""
    scope: LimitScope = "global"
    """Each model, tenant … has a window of its own; `key` means the principal."""
    match: Annotated[str, Meta(min_length=1, max_length=128)] = "*"
    """Which of them it is for, such as `acme-*`."""
    model: Annotated[str, Meta(max_length=192)] = ""
    """Only calls to this model, named in full; all of them when it is empty."""
    requests: Count | None = None
    tokens: Count | None = None
    """Input and output together."""
    per_s: Annotated[float, Meta(gt=0, le=31 * 86_400)] = 60.0
    """How long a window is."""
    policy: Literal["wait", "refuse"] = "wait"
    """What happens to a call for which there is no room at the moment."""
    max_wait_s: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    """A call that would wait longer is refused at once."""


class Claim(Struct, frozen=True, kw_only=True):
    """The room a call wants in one window."""

    key: str
    """Which window; the same in all processes."""
    limit: str
    """The rule's name."""
    scope: LimitScope
    value: str
    """Whose window it is, such as the tenant's name."""
    requests: int | None
    tokens: int | None
    per_s: float
    max_wait_s: float
    """0: it is refused at once."""


def get_name(rule: LimitRule) -> str:
    """Return a rule's name; a changed amount does not change it, so that what was counted stays counted."""
    if rule.name:
        return rule.name
    kind = "".join(word for word, most in (("r", rule.requests), ("t", rule.tokens)) if most is not None)
    words = (rule.scope, "" if rule.match == "*" else rule.match, rule.model, f"{kind}/{rule.per_s:g}s")
    return " ".join(word for word in words if word)


def find_faults(rules: Sequence[LimitRule]) -> list[tuple[int, str]]:
    """List what does not hold together, each with the rule's place."""
    return find_rule_faults(
        rules,
        name=get_name,
        other=lambda rule: rule.requests,
        nothing="limits nothing: set `requests`, `tokens`, or both",
        twice="counts what rule {} counts",
    )


def find_value(rule: LimitRule, *, model: str, credential: str, caller: Caller) -> str | None:
    """Find whose window a call counts in; `None` when the rule is not for it."""
    if rule.model and rule.model != model:
        return None
    return find_scope_value(rule, caller, {"model": model, "credential": credential})


def build_claims(rules: Sequence[LimitRule], *, model: str, credential: str, caller: Caller) -> tuple[Claim, ...]:
    """Build what a call wants under all rules, the narrowest scope first."""
    values = [(rule, find_value(rule, model=model, credential=credential, caller=caller)) for rule in rules]
    claims = [build_claim(rule, value) for rule, value in values if value is not None]
    return tuple(sorted(claims, key=lambda claim: NARROW_FIRST.index(claim.scope)))


def build_claim(rule: LimitRule, value: str) -> Claim:
    """Build what a call wants under a rule."""
    name = get_name(rule)
    return Claim(
        key=f"limits/{shorten(name)}/{shorten(value)}",
        limit=name,
        scope=rule.scope,
        value=value,
        requests=rule.requests,
        tokens=rule.tokens,
        per_s=rule.per_s,
        max_wait_s=rule.max_wait_s if rule.policy == "wait" else 0.0,
    )
