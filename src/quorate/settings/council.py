"""What do settings say of decisions, and of how far those are relied on who make them?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, structs

from quorate.council.trust import TrustRules, check_rules
from quorate.security.secrets import Secret


class CouncilSettings(Struct, frozen=True, kw_only=True):
    """What decisions are vouched for by."""

    secret: Annotated[
        Secret | None,
        Meta(
            description=(
                "What ballots are signed and the records of decisions are sealed with: 32 random bytes in hexadecimal, "
                "kept where the database is not. Without one, a record shows changes, but not that it was made anew."
            ),
            examples=["${QUORATE_COUNCIL_SECRET}"],
        ),
    ] = None
    """What ballots and records are signed with; hidden in every text form."""
    former_secret: Annotated[
        Secret | None,
        Meta(
            description="What `secret` was before: records that were sealed with it are still verified.",
            examples=["${QUORATE_FORMER_COUNCIL_SECRET}"],
        ),
    ] = None
    """What `secret` was before."""


class TrustSettings(Struct, frozen=True, kw_only=True):
    """How far members of councils and teams are relied on, by what came of what they did."""

    half_life_days: Annotated[
        float,
        Meta(ge=7, le=365, description="After how many days what came of something counts half.", examples=[30]),
    ] = 30.0
    """After how many days an outcome counts half."""
    floor: Annotated[
        float, Meta(ge=0, lt=1, description="The least that anybody is trusted, 0 to 1.", examples=[0.05])
    ] = 0.05
    """The least that anybody is trusted."""
    ceiling: Annotated[
        float, Meta(gt=0, le=1, description="The most that anybody is trusted, 0 to 1.", examples=[0.95])
    ] = 0.95
    """The most that anybody is trusted."""
    prior: Annotated[
        float,
        Meta(ge=0, le=1, description="How far somebody is trusted of whom nothing is known, 0 to 1.", examples=[0.5]),
    ] = 0.5
    """How far somebody is trusted of whom nothing is known."""
    source_cap: Annotated[
        float,
        Meta(
            gt=0,
            le=1000,
            description="How many outcomes all that one source says of a member in a week counts as, at most.",
            examples=[5],
        ),
    ] = 5.0
    """How many outcomes all that one source says of a member in a week counts as, at most."""

    def build_rules(self) -> TrustRules:
        """Build how trust is reckoned.

        Raises:
            InvalidInput: The floor is not below the ceiling, or the prior not between them.
        """
        rules = TrustRules(**structs.asdict(self))
        check_rules(rules)
        return rules
