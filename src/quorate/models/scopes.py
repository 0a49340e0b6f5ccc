"""Whose limit or budget does a call count in, and do the rules that say so hold together?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from quorate.specs import Caller

MAX_VALUE = 120
OWN = ("agent", "key", "session", "run")
"""What two tenants may call the same."""


class ScopedRule(Protocol):
    """A rule of a limit or a budget."""

    @property
    def scope(self) -> str:
        """What calls count together."""
        ...

    @property
    def match(self) -> str:
        """Which of them it is for."""
        ...

    @property
    def tokens(self) -> int | None:
        """How many tokens it lets pass."""
        ...


RuleKind = TypeVar("RuleKind", bound=ScopedRule)


def find_scope_value(rule: ScopedRule, caller: Caller, others: Mapping[str, str]) -> str | None:
    """Find in whose name a call counts; `None` when the rule is not for it.

    Args:
        rule: The rule.
        caller: For whom the call is.
        others: What scopes stand for that are not about the caller, such as `model`.
    """
    scope = rule.scope
    if scope == "global":
        return ""
    value = others.get(scope) or {
        "tenant": caller.tenant,
        "agent": caller.agent,
        "key": caller.principal,
        "session": caller.session,
        "run": caller.run,
    }.get(scope)
    if not value or not (rule.match == "*" or fnmatchcase(value, rule.match)):
        return None
    return f"{caller.tenant}/{value}" if scope in OWN else value


def find_rule_faults(
    rules: Sequence[RuleKind],
    *,
    name: Callable[[RuleKind], str],
    other: Callable[[RuleKind], object],
    nothing: str,
    twice: str,
) -> list[tuple[int, str]]:
    """List what does not hold together, each with the rule's place.

    Args:
        rules: The rules.
        name: What one is called.
        other: What one bounds beside tokens.
        nothing: What to say of one that bounds nothing.
        twice: What to say of one whose name another has; `{}` is that one's number.
    """
    faults: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    for place, rule in enumerate(rules):
        if other(rule) is None and rule.tokens is None:
            faults.append((place, nothing))
        if rule.scope == "global" and rule.match != "*":
            faults.append((place, f"`match` {rule.match!r} has nothing to match: choose a `scope`, or leave it out"))
        first = seen.setdefault(name(rule), place)
        if first != place:
            faults.append((place, f"{twice.format(first + 1)}: give one of them a `name` of its own"))
    return faults


def shorten(words: str) -> str:
    """Return words as part of a store's key, which may not be long."""
    return words if len(words) <= MAX_VALUE else hashlib.sha256(words.encode()).hexdigest()
