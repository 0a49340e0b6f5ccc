"""Which of several credentials is a call made with?"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Annotated, Literal, cast

from msgspec import Meta, Struct, structs

from quorate.errors import QuorateError, RateLimited, Unauthenticated, Unavailable
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.attempts import AttemptBudget, Lane
from quorate.models.breaking import Breaker
from quorate.models.credentials import Credentials
from quorate.models.health import CredentialReport
from quorate.models.layer import Closable
from quorate.models.retry import get_retry_after
from quorate.ports import Model
from quorate.specs import ModelProfile, Request

KeyName = Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")]
REFUSED_S = 300.0
"""How long a credential that was refused is asked after all others."""
MAX_COOLDOWN_S = 86_400.0


class PoolRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The credentials that share one provider's calls."""

    provider: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
    keys: Annotated[tuple[KeyName | dict[str, KeyName], ...], Meta(min_length=1, max_length=64)]
    """Names of environment variables, each used instead of the provider's own; or a table of several names."""
    choose: Literal["round_robin", "least_used"] = "round_robin"
    cooldown_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    """How long a credential rests after a 429 that names no time."""


class Slot:
    """One credential of a pool, with the layers below it."""

    __slots__ = ("_breaker", "cooling_until", "in_flight", "lane", "model", "name", "note", "refused_until", "used")

    def __init__(self, model: Model, *, name: str = "", breaker: Breaker | None = None) -> None:
        self.model = model
        self.name = name
        self.lane = Lane()
        self.cooling_until = 0.0
        self.refused_until = 0.0
        self.note = ""
        self.in_flight = 0
        self.used = 0
        self._breaker = breaker

    def build_report(self, now: float) -> CredentialReport:
        """Describe how it stands."""
        left = max(0.0, max(self.cooling_until, self.refused_until) - now)
        state = "cooling" if self.cooling_until > now else "refused" if self.refused_until > now else "ready"
        return CredentialReport(
            name=self.name,
            state=state,
            retry_after_s=left,
            note=self.note if left else "",
            in_flight=self.in_flight,
            used=self.used,
            breaker=None if self._breaker is None else self._breaker.build_report(),
        )


class Pooled:
    """A `Model` that is asked with one of several credentials, and with the next one when that one is refused.

    A 429 gives a credential a rest, for as long as the provider says; a 401 puts it behind all others. Both cost the
    caller nothing while another credential is there.

    Args:
        slots: The credentials.
        choose: In turn, or the one with the fewest calls under way.
        cooldown_s: The rest after a 429 that names no time.
        budget: What the gateway's layers may make again, all together; it counts the call elsewhere.
        monotonic: Where to read the time.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        choose: Literal["round_robin", "least_used"] = "round_robin",
        cooldown_s: float = 30.0,
        budget: AttemptBudget,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = tuple(slots)
        self.profile: ModelProfile = self.slots[0].model.profile
        self._choose = choose
        self._cooldown_s = cooldown_s
        self._budget = budget
        self._monotonic = monotonic
        self._turn = 0

    def build_reports(self) -> tuple[CredentialReport, ...]:
        """Describe how the credentials stand."""
        now = self._monotonic()
        return tuple([slot.build_report(now) for slot in self.slots])

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece.

        Raises:
            RateLimited: All credentials rest; `retry_after_s` says when the first is back.
        """
        made, failure = 0, None
        for slot in self._list_ready():
            admitted = made > 0
            if admitted and not await self._budget.admit(slot.lane):
                break
            slot.in_flight += 1
            failed: bool | None = None
            try:
                reply = await slot.model.complete(request)
                failed = False
                slot.used += 1
                return reply if not made else structs.replace(reply, attempts=reply.attempts + made)
            except QuorateError as error:
                failure, failed = error, True
                failed = self._note_error(slot, error)
                made += failed
            finally:
                slot.in_flight -= 1
                self._settle(slot, failed=failed, admitted=admitted)
        raise self._name_failure(failure)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; another credential is asked only while nothing was given out."""
        made, failure = 0, None
        for slot in self._list_ready():
            admitted = made > 0
            if admitted and not await self._budget.admit(slot.lane):
                break
            slot.in_flight += 1
            failed: bool | None = None
            given = False
            items = cast("AsyncGenerator[StreamItem]", slot.model.stream(request))  # all of ours are generators
            try:
                async with aclosing(items):
                    async for item in items:
                        if not given:
                            given, failed = True, False
                            slot.used += 1
                            self._settle(slot, failed=False, admitted=admitted)
                        if made and type(item) is ReplyDone:
                            yield ReplyDone(structs.replace(item.reply, attempts=item.reply.attempts + made))
                        else:
                            yield item
                return
            except QuorateError as error:
                if given:
                    raise
                failure, failed = error, True
                failed = self._note_error(slot, error)
                made += failed
            finally:
                slot.in_flight -= 1
                if not given:
                    self._settle(slot, failed=failed, admitted=admitted)
        raise self._name_failure(failure)

    async def aclose(self) -> None:
        """Close the connections below; they open again when the model is used again."""
        for slot in self.slots:
            if isinstance(slot.model, Closable):
                await slot.model.aclose()

    def _list_ready(self) -> Iterator[Slot]:
        """List the credentials in the order in which to try them; the order behind the first is seldom needed."""
        now, slots = self._monotonic(), self.slots
        if len(slots) == 1:
            if slots[0].cooling_until <= now:
                yield slots[0]
            return
        turn = self._turn = (self._turn + 1) % len(slots)
        first = slots[turn] if self._choose == "round_robin" else min(slots, key=_count_use)
        is_first_ready = first.cooling_until <= now and first.refused_until <= now
        if is_first_ready:
            yield first
        rest = [*slots[turn:], *slots[:turn]]
        if self._choose == "least_used":
            rest.sort(key=_count_use)
        rest.sort(key=lambda slot: slot.refused_until > now)
        for slot in rest:
            is_made = is_first_ready and slot is first
            if not is_made and slot.cooling_until <= self._monotonic():
                yield slot

    def _settle(self, slot: Slot, *, failed: bool | None, admitted: bool) -> None:
        if admitted:
            self._budget.leave(slot.lane, failed=failed)
        elif failed is not None:
            slot.lane.note(failed=failed, now=self._monotonic())

    def _note_error(self, slot: Slot, error: QuorateError) -> bool:
        """Note what an error says about a credential, and say whether the provider was asked; raise what is no news."""
        now = self._monotonic()
        if isinstance(error, RateLimited):
            if error.context.get("source") == "gateway":
                if error.context.get("scope") != "credential":
                    raise error
                return False
            left = get_retry_after(error)
            if left is None:
                left = self._cooldown_s if error.retryable else REFUSED_S
            slot.cooling_until = max(slot.cooling_until, now + min(left, MAX_COOLDOWN_S))
            slot.note = "rate limited" if error.retryable else "quota used up"
            slot.used += 1
            return True
        if isinstance(error, Unauthenticated) and not error.retryable and len(self.slots) > 1:
            slot.refused_until = now + REFUSED_S
            slot.note = "refused: check the credential"
            slot.used += 1
            return True
        if isinstance(error, Unavailable):
            return False
        raise error

    def _name_failure(self, failure: QuorateError | None) -> QuorateError:
        """Say why no credential could be used: the wait for the first to be back, or what the last one met."""
        now = self._monotonic()
        left = min([slot.cooling_until for slot in self.slots]) - now
        if failure is not None and (left <= 0 or not isinstance(failure, RateLimited) or not failure.retryable):
            return failure
        if failure is not None and len(self.slots) == 1 and get_retry_after(failure) is not None:
            return failure
        left, count = max(0.0, left), len(self.slots)
        which = "Its one credential rests" if count == 1 else f"All its {count} credentials rest"
        return RateLimited(
            f"`{self.profile.name}` wants fewer calls. {which} for {left:.3g} s.", retry_after_s=left, source="pool"
        )


def _count_use(slot: Slot) -> tuple[int, int]:
    return slot.in_flight, slot.used


def choose_names(credentials: Credentials, key_env: str | None, key: str | dict[str, str]) -> Credentials:
    """Give a pool's credential under the names that its provider asks for.

    Args:
        credentials: Where values come from.
        key_env: The name that the provider asks for, where one name is enough.
        key: The name used instead of it; or a table of names, each with the one used instead.
    """
    names = key if isinstance(key, dict) else {key_env or key: key}

    def find(name: str) -> str | None:
        return credentials(names.get(name, name))

    return find
