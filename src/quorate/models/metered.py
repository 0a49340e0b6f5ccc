"""Do requests for vectors pass the limits, and are they paid for and booked?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import ceil

from quorate.errors import InvalidInput, QuorateError
from quorate.messages import Embeddings, Usage
from quorate.models.budgets.account import Ask
from quorate.models.budgets.budgets import Budgets, Reservation
from quorate.models.budgets.rules import Cap
from quorate.models.cost import NANO, Price, bound_rates
from quorate.models.layer import Closable
from quorate.models.ledger import Spending, to_nano
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.store import Ticket
from quorate.models.spending import is_unknown
from quorate.models.tokens import estimate_text, find_family
from quorate.ports import Embedder
from quorate.specs import EmbedRequest


def estimate_texts(request: EmbedRequest, name: str) -> int:
    """Estimate the tokens of texts that are to be turned into vectors."""
    family = find_family(name)
    return sum(estimate_text(text, family) for text in request.texts)


class Metered:
    """An `Embedder` that keeps the limits and budgets of a gateway, as `Limited` and `Budgeted` do for replies.

    Args:
        inner: Who is asked.
        limiter: The limits; none when it is not given.
        budgets: The budgets and the book; none when it is not given.
        price: What its tokens cost.
        count: Estimates the tokens of a request to a model.
    """

    def __init__(
        self,
        inner: Embedder,
        *,
        limiter: Limiter | None = None,
        budgets: Budgets | None = None,
        price: Price | None = None,
        count: Callable[[EmbedRequest, str], int] = estimate_texts,
    ) -> None:
        self.inner = inner
        self._limiter = limiter
        self._budgets = budgets
        self._price = price
        self._count = count

    @property
    def name(self) -> str:
        """The model's name in full."""
        return self.inner.name

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Turn texts into vectors, if the limits let it pass and it can be paid for.

        Raises:
            RateLimited: It would wait too long.
            BudgetExceeded: It cannot be paid for.
            InvalidInput: A budget of money bounds it, and nobody knows what it costs.
            Unavailable: Limits or budgets cannot be reached, so nothing passes.
        """
        if not request.texts:
            return await self.inner.embed(request)
        read = self._count(request, self.name)
        held = await self._reserve(request, read)
        ticket: Ticket | None = None
        is_asked = False
        try:
            ticket = await self._enter(request, read)
            is_asked = True
            found = await self.inner.embed(request)
        except BaseException as error:
            used = read if is_asked and is_unknown(error) else 0
            await self._book_cut(request, held, used)
            await self._settle(ticket, used)
            raise
        # Money comes first: whoever leaves while limits are settled has paid.
        if self._budgets is not None:
            spending = Spending(request.caller, self.name, found.usage, to_nano(found.cost_usd))
            await self._budgets.settle(held, spending)
        await self._settle(ticket, found.usage.total_tokens)
        return found

    async def aclose(self) -> None:
        """Close the inner embedder's connections."""
        if isinstance(self.inner, Closable):
            await self.inner.aclose()

    async def _enter(self, request: EmbedRequest, read: int) -> Ticket | None:
        if self._limiter is None:
            return None
        claims = self._limiter.find_claims(request.caller, model=self.name)
        return await self._limiter.enter(claims, read) if claims else None

    async def _settle(self, ticket: Ticket | None, used: int) -> None:
        if ticket is not None and self._limiter is not None:
            with suppress(QuorateError):  # what cannot be corrected now passes with its window
                await self._limiter.settle(ticket, used)

    async def _reserve(self, request: EmbedRequest, read: int) -> Reservation | None:
        if self._budgets is None:
            return None
        caps = self._budgets.find_caps(request.caller, model=self.name)
        if self._budgets.find_more is not None:
            caps = (*caps, *await self._budgets.find_more(request.caller))
        if not caps:
            return None
        rate = 0.0
        if any(cap.usd is not None for cap in caps):
            rate = self._find_rate(caps, read)
        return await self._budgets.reserve(request.caller, caps, Ask(read, ceil(read * rate * NANO), 0, 0, 0.0))

    def _find_rate(self, caps: tuple[Cap, ...], read: int) -> float:
        if self._price is None or self._budgets is None:
            raise InvalidInput(
                f"No price is known for model {self.name!r}, so the budget {caps[0].budget!r} cannot hold: "
                "add the model's price to the gateway file, or drop the budget.",
                limit=caps[0].budget,
            )
        return bound_rates(self._price, read, now=self._budgets.now())[0]

    async def _book_cut(self, request: EmbedRequest, held: Reservation | None, used: int) -> None:
        if self._budgets is None:
            return
        if used:
            usd: int | None = None
            if self._price is not None:
                usd = ceil(used * bound_rates(self._price, used, now=self._budgets.now())[0] * NANO)
            usage = Usage(input_tokens=used, requests=1)
            await self._budgets.settle(held, Spending(request.caller, self.name, usage, usd, is_whole=False))
        elif held is not None:
            await self._budgets.release(held)
