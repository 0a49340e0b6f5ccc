"""Does a model call pass the limits of its model, credential, tenant, agent, key and session?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import cast

from quorate.errors import QuorateError
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.layer import Layer
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.rules import Claim, LimitRule
from quorate.models.limits.store import Ticket
from quorate.models.spending import CHARACTERS_PER_TOKEN, OUTPUT_GUESS, count_item, is_unknown
from quorate.models.tokens import estimate_request
from quorate.ports import Model
from quorate.specs import Request

__all__ = ["LimitRule", "Limited"]


class Limited(Layer):
    """A `Model` that is asked as often as the limits allow.

    Tokens are set aside before a call, as far as one can tell, and corrected by what it really used.
    """

    def __init__(
        self,
        inner: Model,
        *,
        limiter: Limiter,
        model: str = "",
        credential: str = "",
        count: Callable[[Request, str], int] = estimate_request,
    ) -> None:
        """Limit the calls of a model.

        Args:
            inner: The model.
            limiter: The limits; all models of a gateway share it.
            model: Its name in full, when it is not that of its profile.
            credential: What its credential is called; never the credential itself.
            count: Estimates the input tokens of a request to a model.
        """
        super().__init__(inner)
        self._limiter = limiter
        self._model = model or inner.profile.name
        self._credential = credential
        self._count = count
        self._has_tokens = any(rule.tokens is not None for rule in limiter.rules)

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece, once there is room.

        Raises:
            RateLimited: It would wait too long; `retry_after_s` says for how long.
            Unavailable: The counts cannot be reached.
        """
        claims = self._limiter.find_claims(request.caller, model=self._model, credential=self._credential)
        if not claims:
            return await self.inner.complete(request)
        read, reserved = self._foresee(request, claims)
        ticket = await self._limiter.enter(claims, reserved)
        used = reserved
        try:
            reply = await self.inner.complete(request)
            used = reply.usage.total_tokens
            return reply
        except BaseException as error:
            used = read if is_unknown(error) else 0
            raise
        finally:
            if reserved:
                await self._settle(ticket, used)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece, once there is room; raises what `complete` raises."""
        claims = self._limiter.find_claims(request.caller, model=self._model, credential=self._credential)
        read, reserved = self._foresee(request, claims)
        ticket = await self._limiter.enter(claims, reserved) if claims else None
        used, given, is_done = 0, 0, False
        items = cast("AsyncGenerator[StreamItem]", self.inner.stream(request))
        try:
            async with aclosing(items):
                async for item in items:
                    if type(item) is ReplyDone:
                        used, is_done = item.reply.usage.total_tokens, True
                    else:
                        given += count_item(item)
                    yield item
            if not is_done:
                used = read + given // CHARACTERS_PER_TOKEN
        except BaseException as error:
            if not is_done and (given or is_unknown(error)):
                used = read + given // CHARACTERS_PER_TOKEN
            raise
        finally:
            if ticket is not None and reserved:
                await self._settle(ticket, used)

    def _foresee(self, request: Request, claims: tuple[Claim, ...]) -> tuple[int, int]:
        """Estimate what a call reads, and what it uses in all."""
        if self._has_tokens:
            for claim in claims:
                if claim.tokens is not None:
                    read = self._count(request, self._model)
                    return read, read + (request.settings.max_tokens or OUTPUT_GUESS)
        return 0, 0

    async def _settle(self, ticket: Ticket, used: int) -> None:
        # The reply is there and paid for: what cannot be corrected now passes with its window.
        with suppress(QuorateError):
            await self._limiter.settle(ticket, used)
