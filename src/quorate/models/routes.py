"""What is a route: a name that stands for several models, and the rule by which one of them is chosen?"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Need = Literal["tools", "vision", "audio", "files", "reasoning", "native_output"]
Choose = Literal["order", "price", "latency", "quality", "weight", "round_robin"]


class Member(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a route."""

    model: str
    weight: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    quality: Annotated[float, Meta(ge=0, le=1)] | None = None
    """How good its answers are, 0 to 1, until it is measured."""


class Canary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that gets a small share of the calls first."""

    model: str
    percent: Annotated[float, Meta(ge=0, le=100)]
    """Of the sessions; of the runs where there is no session."""


class RouteRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name that stands for several models, and how one of them is chosen."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]{0,62}$")]
    models: Annotated[tuple[Member | str, ...], Meta(min_length=1, max_length=64)]
    """Models named in full, the preferred first."""
    choose: Choose = "order"
    """Which one is asked first. Those that fail lately are asked last, whatever is said here."""
    sticky: Literal["none", "session", "principal", "tenant"] = "none"
    """Whose calls stay at one model while it is well, in every process the same; by weight, instead of `choose`."""
    canary: Canary | None = None
    needs: tuple[Need, ...] = ()
    """What a model of this route must be able to do, whatever is asked."""
    min_context_tokens: Annotated[int, Meta(ge=1)] | None = None
    """How much a model of this route must be able to read, whatever is asked."""
    tries: Annotated[int, Meta(ge=1, le=64)] = 3
    """How many models are tried for one call."""
    attempts: Annotated[int, Meta(ge=1, le=20)] = 1
    """Attempts at one model while there is another to go to; the last one gets those of the retry policy."""


def list_targets(rule: RouteRule) -> tuple[str, ...]:
    """List the models a rule names, each once, in order."""
    names = [one if isinstance(one, str) else one.model for one in rule.models]
    if rule.canary is not None:
        names.append(rule.canary.model)
    return tuple(dict.fromkeys(names))
