"""What does an agent's tier decide: its model, its limits, whom it may ask, and to whom its work goes up?"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from quorate.catalog.definition import AgentEntry, ModelClass, Tier
from quorate.errors import UnknownName

_TIERS = Path(__file__).parent / "tiers.toml"


class TierRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tier decides, where an agent's file says nothing else."""

    about: str
    alias: str
    """What other systems call it."""
    model: ModelClass
    asks: tuple[Tier, ...]
    """The tiers whose agents it may have as tools."""
    hands_up_to: tuple[Tier, ...]
    """The tiers that its work may escalate to."""
    limits: dict[str, int | float]
    """Limits by name, for those that the file leaves out."""


@functools.cache
def load_tiers() -> Mapping[Tier, TierRule]:
    """Load the rules of all tiers."""
    return msgspec.convert(tomllib.loads(_TIERS.read_text(encoding="utf-8")), dict[Tier, TierRule])


def read_tier(name: str) -> Tier:
    """Read a tier by its name or by what other systems call it, such as `tier_1_core`.

    Raises:
        UnknownName: It is neither.
    """
    rules = load_tiers()
    for tier, rule in rules.items():
        if name in (tier, rule.alias):
            return tier
    raise UnknownName("tier", name, [*rules, *(rule.alias for rule in rules.values())])


def add_limits(tier: object, limits: object) -> object:
    """Add a tier's limits to those of a file, where both can be read; what the file says goes first."""
    rules = cast("Mapping[object, TierRule]", load_tiers())  # a file may name anything
    if not isinstance(tier, str) or tier not in rules or not isinstance(limits, dict):
        return limits
    own = cast("dict[str, object]", limits)
    return {**rules[tier].limits, **own}


def find_model_class(entry: AgentEntry) -> ModelClass:
    """Find how able a model an agent needs: what its file says, or else what its tier usually needs."""
    return entry.model or load_tiers()[entry.tier].model


def may_ask(asking: Tier, asked: Tier) -> bool:
    """Whether an agent of a tier may have one of another as a tool."""
    return asked in load_tiers()[asking].asks


def may_hand_up(lower: Tier, higher: Tier) -> bool:
    """Whether the work of an agent of a tier may escalate to one of another."""
    return higher in load_tiers()[lower].hands_up_to
