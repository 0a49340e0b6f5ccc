"""Can a model call be paid for before it is made, and is everything it used booked?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from math import ceil
from typing import cast

from msgspec import structs

from quorate.errors import InvalidInput
from quorate.messages import BUDGET_NOTE, Reply, ReplyDone, StreamItem, Usage
from quorate.models.budgets.account import Ask
from quorate.models.budgets.budgets import Budgets, Reservation
from quorate.models.budgets.rules import BudgetRule, Cap
from quorate.models.cost import NANO, Price, bound_rates
from quorate.models.layer import Layer
from quorate.models.ledger import Spending, bound_tokens, to_nano
from quorate.models.spending import CHARACTERS_PER_TOKEN, count_item, is_unknown
from quorate.models.tokens import estimate_request
from quorate.ports import Model
from quorate.specs import ModelProfile, Request

__all__ = ["BudgetRule", "Budgeted"]

LEAST_OUTPUT = 256
"""A reply that must be shorter is not worth paying for its input."""
MOST_USUAL = 2048
"""However much a model says of late: what one caller makes it write must not keep others from asking."""
MOST_EXCESS = 2048
"""Tokens that are added to our count of input at most, or as many again where that is more: what one caller sends, such
as a document of many pages, says little about what others send."""
MOST_OUTPUT = 32_768
"""Where neither the request nor the model's facts say how long a reply may be."""
SAFE_OUTPUT = 4096
"""What a reply is held to at most where the model's own bound is unknown: one above it would be refused."""


class Budgeted(Layer):
    """A `Model` whose calls are paid for.

    Before a call the most it can cost is set aside in every budget it draws on. Where there is less than the longest
    reply would cost, and the request does not say how long it may be, the reply is held to what can be paid; so a
    budget ends with a short reply or a refusal, never with a debt.
    """

    def __init__(
        self,
        inner: Model,
        *,
        budgets: Budgets,
        price: Price | None,
        longest: int | None = None,
        count: Callable[[Request, str], int] = estimate_request,
    ) -> None:
        """Bound what a model's calls cost.

        Args:
            inner: The model.
            budgets: The budgets and the book; all models of a gateway share it.
            price: What its tokens cost; of several models that may answer, what none of them passes.
            longest: How many tokens the longest reply of several models may have; as the profile says when not given.
            count: Estimates the input tokens of a request to a model.
        """
        super().__init__(inner)
        self._longest = longest
        self._budgets = budgets
        self._price = price
        self._count = count
        self._name = inner.profile.name
        # What its calls used of late beyond the guess for input, and of output: an eighth of each call is taken over.
        self._excess = 0.0
        self._usual = 0.0

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece, if it can be paid for.

        Raises:
            BudgetExceeded: It cannot.
            InvalidInput: A budget of money bounds it, and nobody knows what it costs.
            Unavailable: The budgets cannot be reached, so nothing may be spent.
        """
        budgets = self._budgets
        caps = budgets.find_caps(request.caller, model=self._name)
        if budgets.find_more is not None:
            caps = (*caps, *await budgets.find_more(request.caller))
        held = await self._reserve(request, caps) if caps else None
        asked = request if held is None else self._hold_to(request, held)
        try:
            reply = await self.inner.complete(asked)
        except BaseException as error:
            if held is not None or is_unknown(error):
                await self._book_cut(request, held, 0, is_unknown(error))
            raise
        await self._book(request, held, reply)
        return reply if asked is request or reply.stop != "length" else _explain(reply, held, asked)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece, if it can be paid for; raises what `complete` raises."""
        caps = self._budgets.find_caps(request.caller, model=self._name)
        if self._budgets.find_more is not None:
            caps = (*caps, *await self._budgets.find_more(request.caller))
        held = await self._reserve(request, caps) if caps else None
        asked = request if held is None else self._hold_to(request, held)
        given, is_booked = 0, False
        items = cast("AsyncGenerator[StreamItem]", self.inner.stream(asked))
        try:
            async with aclosing(items):
                async for item in items:
                    if type(item) is ReplyDone:
                        is_booked = True
                        await self._book(request, held, item.reply)
                        is_held = asked is not request and item.reply.stop == "length"
                        yield ReplyDone(_explain(item.reply, held, asked)) if is_held else item
                        continue
                    given += count_item(item)
                    yield item
        except BaseException as error:
            if not is_booked and (held is not None or given or is_unknown(error)):
                is_booked = True
                await self._book_cut(request, held, given, bool(given) or is_unknown(error))
            raise
        if not is_booked:
            await self._book_cut(request, held, given, True)

    async def _reserve(self, request: Request, caps: tuple[Cap, ...]) -> Reservation:
        read, settings = self._count(request, self._name), request.settings
        read += int(min(self._excess, max(MOST_EXCESS, read)))
        in_rate = out_rate = 0.0
        for cap in caps:
            if cap.usd is not None:
                in_rate, out_rate = self._find_rates(cap, read)
                break
        most = self._find_most(request)
        least = most if settings.max_tokens else min(most, max(LEAST_OUTPUT, ceil(min(self._usual, MOST_USUAL))))
        ask = Ask(read, ceil(read * in_rate * NANO), most, least, out_rate * NANO)
        return await self._budgets.reserve(request.caller, caps, ask)

    def _find_rates(self, cap: Cap, read: int) -> tuple[float, float]:
        if self._price is None:
            raise InvalidInput(
                f"No price is known for model {self._name!r}, so the budget {cap.budget!r} of "
                f"${(cap.usd or 0) / NANO:g} cannot hold: add the model's price to the gateway file, "
                "or drop the budget.",
                limit=cap.budget,
            )
        return bound_rates(self._price, read, now=self._budgets.now())

    def _hold_to(self, request: Request, held: Reservation) -> Request:
        """Hold a reply to what is set aside, where that is less than the model could write."""
        if held.write >= self._find_most(request):
            return request
        most = min(held.write, self.inner.profile.max_output_tokens or SAFE_OUTPUT)
        return structs.replace(request, settings=structs.replace(request.settings, max_tokens=most))

    def _find_most(self, request: Request) -> int:
        """How long the reply may be, as far as anybody says."""
        return request.settings.max_tokens or self._longest or find_longest(self.inner.profile)

    async def _book(self, request: Request, held: Reservation | None, reply: Reply) -> None:
        if held is None and self._budgets.ledger is None:
            return
        if held is not None:
            self._learn(held, reply.usage)
        model = reply.route.model if reply.route is not None else self._name
        usd = to_nano(reply.cost_usd)
        await self._budgets.settle(held, Spending(request.caller, model, reply.usage, usd))

    def _learn(self, held: Reservation, usage: Usage) -> None:
        """Set aside next time what calls to this model really use, where the guess is below it."""
        read = max(0, held.read - int(self._excess))
        over = min(max(0, usage.input_tokens - read), max(MOST_EXCESS, read))
        self._excess += (over - self._excess) / (8 if self._usual else 1)
        self._usual += (bound_tokens(usage.output_tokens) - self._usual) / (8 if self._usual else 1)

    async def _book_cut(self, request: Request, held: Reservation | None, given: int, is_used: bool) -> None:
        """Book a call that gave no reply: nothing where it was refused, else what it is thought to have used."""
        if not is_used:
            if held is not None:
                await self._budgets.release(held)
            return
        read, written = self._count(request, self._name), -(-given // CHARACTERS_PER_TOKEN)
        usage = Usage(input_tokens=read, output_tokens=written, requests=1)
        cost: int | None = None
        if self._price is not None:
            in_rate, out_rate = bound_rates(self._price, read, now=self._budgets.now())
            cost = ceil((read * in_rate + written * out_rate) * NANO)
        await self._budgets.settle(held, Spending(request.caller, self._name, usage, cost, is_whole=False))


def _explain(reply: Reply, held: Reservation | None, asked: Request) -> Reply:
    """Say why a reply is not whole."""
    names = ", ".join(repr(cap.budget) for cap in held.caps) if held is not None else ""
    note = (
        f"{BUDGET_NOTE}the reply was held to {asked.settings.max_tokens} tokens, all that is left of {names} pays for"
    )
    return structs.replace(reply, notes=(*reply.notes, note))


def find_longest(profile: ModelProfile) -> int:
    """Find how many tokens a model's reply may have, as far as anybody knows."""
    return profile.max_output_tokens or min(profile.context_tokens or MOST_OUTPUT, MOST_OUTPUT)
