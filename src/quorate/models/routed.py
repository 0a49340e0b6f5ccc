"""Which model answers a call, and which one when it fails?"""

from __future__ import annotations

import random as random_
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import cast

from msgspec import structs

from quorate.errors import (
    DeadlineExceeded,
    Incomplete,
    InvalidInput,
    NotFound,
    QuorateError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UpstreamError,
)
from quorate.messages import Reply, ReplyDone, Route, StreamItem
from quorate.models.attempts import RetryBudget
from quorate.models.choice import Candidate, Chooser
from quorate.models.fitness import build_route_profile
from quorate.models.layer import Closable
from quorate.models.retry import get_retry_after, is_refusal
from quorate.models.routes import Canary, Member, RouteRule, list_targets
from quorate.models.tokens import estimate_request
from quorate.ports import Model
from quorate.specs import ModelProfile, Request

__all__ = ["Canary", "Candidate", "Member", "RouteRule", "Routed", "can_fail_over", "list_targets"]

DEADLINE_S = 600.0
MAX_ROUTES = 1024


class Routed:
    """A `Model` that stands for several, asks the best of them, and the next one when that one fails.

    Another model is asked only while nothing was given out: two answers are never joined. Which one answered, why, and
    which failed before it is in the reply's `route`.

    Args:
        rule: How one is chosen.
        candidates: The models, in the rule's order.
        budget: What the gateway's layers may make again, all together; this layer counts the calls.
        canary: The model that gets a small share first.
        deadline_s: After how long no other model is asked.
        estimate: Estimates the tokens of a request.
        random: Draws where the rule says so.
        monotonic: Where to read the time.
    """

    def __init__(
        self,
        rule: RouteRule,
        candidates: Sequence[Candidate],
        *,
        budget: RetryBudget,
        canary: Candidate | None = None,
        deadline_s: float = DEADLINE_S,
        estimate: Callable[[Request], int] = estimate_request,
        random: Callable[[], float] = random_.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rule = rule
        self._chooser = Chooser(rule, candidates, canary=canary, random=random, estimate=estimate)
        asked = [*self._chooser.candidates, *([] if canary is None else [canary])]
        self.profile: ModelProfile = build_route_profile(rule.name, [one.profile for one in asked])
        self.candidates = tuple(dict.fromkeys(asked))
        self._budget = budget
        self._deadline_s = deadline_s
        self._monotonic = monotonic
        self._routes: dict[tuple[str, str], Route] = {}

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the last model raised."""
        self._budget.open_call()
        try:
            trip = self._begin(request)
            while (candidate := await trip.find_next()) is not None:
                try:
                    reply = await trip.find_model(candidate).complete(request)
                except QuorateError as error:
                    trip.note_bad(candidate, error)
                else:
                    trip.note_good(candidate)
                    return trip.sign(reply, candidate)
                finally:
                    trip.leave(candidate)
            raise trip.name_failure()
        finally:
            self._budget.close_call()

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; once a piece was given out, a failure is final."""
        self._budget.open_call()
        try:
            trip = self._begin(request)
            while (candidate := await trip.find_next()) is not None:
                given = False
                # All of ours are generators.
                items = cast("AsyncGenerator[StreamItem]", trip.find_model(candidate).stream(request))
                try:
                    async with aclosing(items):
                        async for item in items:
                            if not given:
                                given = True
                                trip.note_good(candidate)
                                trip.leave(candidate)
                            if type(item) is ReplyDone:
                                yield ReplyDone(trip.sign(item.reply, candidate))
                            else:
                                yield item
                    return
                except QuorateError as error:
                    if given:
                        raise
                    trip.note_bad(candidate, error)
                finally:
                    trip.leave(candidate)
            raise trip.name_failure()
        finally:
            self._budget.close_call()

    async def aclose(self) -> None:
        """Close the connections below; they open again when the model is used again."""
        for candidate in self.candidates:
            if isinstance(candidate.model, Closable):
                await candidate.model.aclose()

    def _begin(self, request: Request) -> _Trip:
        order, reason = self._chooser.order(request)
        return _Trip(
            order[: self.rule.tries],
            reason,
            asked=self.rule.name,
            budget=self._budget,
            monotonic=self._monotonic,
            ends=self._monotonic() + self._deadline_s,
            routes=self._routes,
        )


class _Trip:
    """One call on its way from model to model."""

    __slots__ = (
        "_admitted",
        "_asked",
        "_budget",
        "_ends",
        "_failed",
        "_failures",
        "_made",
        "_monotonic",
        "_order",
        "_place",
        "_reason",
        "_routes",
        "_tried",
    )

    def __init__(
        self,
        order: Sequence[Candidate],
        reason: str,
        *,
        asked: str,
        budget: RetryBudget,
        monotonic: Callable[[], float],
        ends: float,
        routes: dict[tuple[str, str], Route],
    ) -> None:
        self._order = order
        self._reason = reason
        self._asked = asked
        self._budget = budget
        self._monotonic = monotonic
        self._ends = ends
        self._routes = routes
        self._place = 0
        self._made = 0
        """Upstream calls of the models before this one."""
        self._admitted = False
        self._failed: bool | None = None
        """How the model under way ended; `None` while it is under way, and when it was not asked at all."""
        self._tried: list[str] = []
        self._failures: list[QuorateError] = []

    async def find_next(self) -> Candidate | None:
        """Find whom to ask next, once there is room for another attempt; `None` when nobody is left."""
        while self._place < len(self._order):
            if self._place and self._monotonic() >= self._ends:
                return None
            candidate = self._order[self._place]
            self._place += 1
            self._failed = None
            if self._failures and isinstance(self._failures[-1], TooLarge) and not self._reads_more(candidate):
                continue
            if self._made:
                if not await self._budget.admit(candidate.lane):
                    continue
                self._admitted = True
            return candidate
        return None

    def find_model(self, candidate: Candidate) -> Model:
        """Find how to ask it: patiently, when nobody is left after it."""
        return candidate.model if self._place >= len(self._order) else candidate.quick

    def note_good(self, candidate: Candidate) -> None:
        """Note that it answers."""
        self._failed = False
        if not self._admitted:
            candidate.lane.note(failed=False, now=self._monotonic())

    def note_bad(self, candidate: Candidate, error: QuorateError) -> None:
        """Note that it failed; raise the error when another model would not help."""
        attempts = error.context.get("attempts", 1)
        if not is_refusal(error):
            self._failed = True
            self._made += attempts if isinstance(attempts, int) else 1
            if not self._admitted:
                candidate.lane.note(failed=True, now=self._monotonic())
        self._tried.append(f"{candidate.name} {error.code}")
        self._failures.append(error)
        if not can_fail_over(error):
            raise self.name_failure()

    def leave(self, candidate: Candidate) -> None:
        """Give back what was taken for it; more than once does no harm."""
        if self._admitted:
            self._admitted = False
            self._budget.leave(candidate.lane, failed=self._failed)

    def sign(self, reply: Reply, candidate: Candidate) -> Reply:
        """Put into a reply which model answered and why."""
        if not self._tried:
            key = (candidate.name, self._reason)
            route = self._routes.get(key)
            if route is None:
                route = Route(model=candidate.name, asked=self._asked, reason=self._reason)
                if len(self._routes) < MAX_ROUTES:
                    self._routes[key] = route
            return structs.replace(reply, route=route)
        reason = f"after {self._failures[-1].code} of {self._tried[-1].partition(' ')[0]}"
        route = Route(model=candidate.name, asked=self._asked, reason=reason, tried=tuple(self._tried))
        return structs.replace(reply, route=route, attempts=reply.attempts + self._made)

    def name_failure(self) -> QuorateError:
        """Choose the error that says most: the last of a model that was asked, else the one with the shortest wait."""
        asked = [error for error in self._failures if not isinstance(error, Unavailable)]
        if asked:
            error = asked[-1]
        elif self._failures:
            error = min(self._failures, key=lambda one: get_retry_after(one) or 0.0)
        else:
            error = DeadlineExceeded(f"No model of route {self._asked!r} was asked in time.", layer="route")
        error.context = {**error.context, "tried": tuple(self._tried), "attempts": max(1, self._made)}
        return error

    def _reads_more(self, candidate: Candidate) -> bool:
        """Whether it reads more than the one for which the request was too large."""
        more, before = candidate.profile.context_tokens, self._order[self._place - 2].profile.context_tokens
        return more is None or before is None or more > before


def can_fail_over(error: QuorateError) -> bool:
    """Whether another model may answer what this one did not."""
    if isinstance(error, UpstreamError):
        return error.status is None or not 400 <= error.status < 500 or error.status in (404, 408)
    if isinstance(error, Incomplete):
        return error.context.get("limit") == "stream"
    return isinstance(
        error, (RateLimited, Unavailable, DeadlineExceeded, Unauthenticated, NotFound, TooLarge, InvalidInput)
    )
