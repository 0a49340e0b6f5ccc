"""In which order are the models of a route asked, and why?"""

from __future__ import annotations

import math
import random as random_
from collections.abc import Callable, Sequence
from hashlib import blake2b

from msgspec import Struct

from quorate.errors import InvalidInput, QuorateError, TooLarge
from quorate.messages import Usage
from quorate.models.attempts import Lane
from quorate.models.cost import Price, cost_usd
from quorate.models.fitness import NEEDS, can, find_needs, list_lacks, name_needs
from quorate.models.health import Health
from quorate.models.routes import Choose, Member, Need, RouteRule
from quorate.models.spending import OUTPUT_GUESS
from quorate.models.tokens import estimate_request
from quorate.ports import Model
from quorate.specs import ModelProfile, Request

EXPLORE = 20
"""Every how many calls a model that is not the best one is measured again."""
UNRATED = 0.5
WORDS: dict[Choose, str] = {
    "order": "first of the route",
    "price": "cheapest",
    "latency": "quickest lately",
    "quality": "best rated",
    "weight": "by weight",
    "round_robin": "next in turn",
}
"""Why the first one is the first."""


class Candidate:
    """One model of a route, with what is known and measured of it.

    Args:
        model: Whom to ask, as patiently as the retry policy says.
        quick: The same with fewer attempts, for while there is another one to go to.
        health: What is measured.
        price: What its tokens cost.
        member: Its row in the route.
    """

    __slots__ = ("health", "lane", "model", "name", "price", "profile", "quality", "quick", "used", "weight")

    def __init__(
        self,
        model: Model,
        *,
        quick: Model | None = None,
        health: Health | None = None,
        price: Price | None = None,
        member: Member | None = None,
    ) -> None:
        self.model = model
        self.quick = quick or model
        self.profile: ModelProfile = model.profile
        self.name = self.profile.name
        self.health = health or Health(self.name)
        self.price = price
        self.weight = 1.0 if member is None else member.weight
        self.quality = None if member is None else member.quality
        self.lane = Lane()
        self.used = 0
        """In which choice it was asked last."""


class Draw(Struct, frozen=True, kw_only=True):
    """What one choice is made with."""

    request: Request
    count: int
    """The number of the choice."""
    random: Callable[[], float]
    estimate: Callable[[Request], int]
    """Estimates the tokens of a request."""


def by_price(fit: list[Candidate], draw: Draw) -> list[Candidate]:
    """By what this very request would cost; a model without a price comes last."""
    request = draw.request
    usage = Usage(input_tokens=draw.estimate(request), output_tokens=request.settings.max_tokens or OUTPUT_GUESS)

    def cost(one: Candidate) -> float:
        found = cost_usd(usage, one.price)
        return math.inf if found is None else found

    return sorted(fit, key=cost)


def by_latency(fit: list[Candidate], draw: Draw) -> list[Candidate]:
    """By how long they took lately; one that was never measured comes first."""
    return explore(sorted(fit, key=lambda one: one.health.speed or 0.0), draw)


def by_quality(fit: list[Candidate], draw: Draw) -> list[Candidate]:
    """By how their answers were rated, or by what the route says."""

    def rate(one: Candidate) -> float:
        found = one.quality if one.health.quality is None else one.health.quality
        return UNRATED if found is None else found

    return explore(sorted(fit, key=rate, reverse=True), draw)


def by_weight(fit: list[Candidate], draw: Draw) -> list[Candidate]:
    """At random: one of twice the weight is the first twice as often."""
    # The order of weighted random keys is that of drawing one after the other without putting back.
    return sorted(fit, key=lambda one: (1.0 - draw.random()) ** (1.0 / one.weight), reverse=True)


def by_turn(fit: list[Candidate], draw: Draw) -> list[Candidate]:
    """One after the other."""
    turn = draw.count % len(fit)
    return [*fit[turn:], *fit[:turn]]


def explore(fit: list[Candidate], draw: Draw) -> list[Candidate]:
    """Now and then put the one first that was not asked for longest: what is measured of it is old."""
    if draw.count % EXPLORE:
        return fit
    oldest = min(fit, key=lambda one: one.used)
    return [oldest, *(one for one in fit if one is not oldest)]


SORTS: dict[Choose, Callable[[list[Candidate], Draw], list[Candidate]]] = {
    "price": by_price,
    "latency": by_latency,
    "quality": by_quality,
    "weight": by_weight,
    "round_robin": by_turn,
}


class Chooser:
    """Orders the candidates of one route for a request; nothing here waits or asks anybody."""

    def __init__(
        self,
        rule: RouteRule,
        candidates: Sequence[Candidate],
        *,
        canary: Candidate | None = None,
        random: Callable[[], float] = random_.random,
        estimate: Callable[[Request], int] = estimate_request,
    ) -> None:
        self.rule = rule
        self.candidates = tuple(one for one in candidates if not list_lacks(one.profile, rule))
        self.canary = canary
        self._random = random
        self._estimate = estimate
        self._count = 0
        self._differ: frozenset[Need] = frozenset(
            need for need in NEEDS if len({can(one.profile, need) for one in candidates}) > 1
        )
        self._is_bounded = any(one.profile.context_tokens is not None for one in candidates)
        self._sort = SORTS.get(rule.choose)
        if not self.candidates:
            raise InvalidInput(f"No model of route {rule.name!r} has all that the route needs: {name_needs(rule)}.")

    def order(self, request: Request) -> tuple[list[Candidate], str]:
        """Order those that can answer a request, the first to ask first, and say why it is the first.

        Raises:
            InvalidInput: None of them can do what the request needs.
            TooLarge: None of them can read so much.
        """
        self._count += 1
        fit = list(self.candidates)
        if len(fit) > 1:
            fit = self._select(fit, request)
        rule = self.rule
        reason = WORDS[rule.choose]
        if len(fit) > 1:
            key = _find_sticky(rule, request)
            if key:
                fit.sort(key=lambda one: _rank(key, one), reverse=True)
                reason = f"kept for the {rule.sticky}"
            elif self._sort is not None:  # else as they are listed
                fit = self._sort(fit, self._draw_for(request))
            for one in fit:
                if not one.health.is_well:
                    first = fit[0]
                    fit.sort(key=lambda one: not one.health.is_well)
                    if fit[0] is not first:
                        reason = f"{first.name} fails lately"
                    break
        elif len(self.candidates) > 1:
            reason = "the only one that can"
        canary = self.canary
        percent = 0.0 if rule.canary is None else rule.canary.percent
        if canary is not None and canary.health.is_well and self._draw_lot(request) < percent:
            # A canary that is one of the others too is not asked twice.
            return [canary, *(one for one in fit if one is not canary)], f"canary, {percent:g} %"
        fit[0].used = self._count
        return fit, reason

    def _select(self, fit: list[Candidate], request: Request) -> list[Candidate]:
        """Leave out those that cannot do what a request needs, or read so much."""
        if self._differ:
            needs = self._differ & find_needs(request)
            if needs:
                able = [one for one in fit if all(can(one.profile, need) for need in needs)]
                if not able:
                    raise self._refuse(needs)
                fit = able
        if self._is_bounded:
            size = self._estimate(request) + (request.settings.max_tokens or 0)
            able = [one for one in fit if one.profile.context_tokens is None or size <= one.profile.context_tokens]
            if not able:
                raise TooLarge(
                    f"The request has about {size} tokens, and no model of route {self.rule.name!r} reads so many: "
                    "shorten the conversation, or add a model with a larger context."
                )
            fit = able
        return fit

    def _refuse(self, needs: frozenset[Need]) -> QuorateError:
        lacks = "; ".join(
            f"`{one.name}` has no {', '.join(sorted(need for need in needs if not can(one.profile, need)))}"
            for one in self.candidates
        )
        return InvalidInput(f"No model of route {self.rule.name!r} can take this request: {lacks}.")

    def _draw_for(self, request: Request) -> Draw:
        return Draw(request=request, count=self._count, random=self._random, estimate=self._estimate)

    def _draw_lot(self, request: Request) -> float:
        """Draw a number below 100: for one session, or run, always the same."""
        caller = request.caller
        key = caller.session or caller.run
        return 100 * (_hash(f"canary\0{self.rule.name}\0{caller.tenant}\0{key}") if key else self._random())


def _find_sticky(rule: RouteRule, request: Request) -> str:
    """Find whose calls stay together; nothing where nobody's do."""
    caller = request.caller
    if rule.sticky == "session":
        whose = caller.session or caller.run
    elif rule.sticky == "principal":
        whose = caller.principal
    else:
        whose = caller.tenant if rule.sticky == "tenant" else ""
    return f"{rule.name}\0{caller.tenant}\0{whose}" if whose else ""


def _rank(key: str, one: Candidate) -> float:
    """Rank a model for somebody: the highest is theirs, and only its own leave when it is taken out."""
    return -one.weight / math.log(_hash(f"{key}\0{one.name}"))


def _hash(text: str) -> float:
    """Turn a text into a number between 0 and 1, everywhere the same."""
    number = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return (number + 1) / (2**64 + 2)
