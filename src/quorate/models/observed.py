"""What became of each call, in a few facts for whoever listens?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import cast

from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import QuorateError
from quorate.messages import Reply, ReplyDone, Route, StreamItem, Usage
from quorate.models.cost import Price, cost_usd
from quorate.models.layer import Layer
from quorate.models.retry import is_refusal
from quorate.models.spending import CHARACTERS_PER_TOKEN, count_item, is_unknown
from quorate.models.tokens import estimate_request
from quorate.ports import Model
from quorate.specs import Caller, Request


class CallRecord(Struct, frozen=True, kw_only=True):
    """One call of a model, after it ended in whatever way; it holds no words of anybody's."""

    model: str
    """What was asked for: a model named in full, an alias or a route."""
    answered: str = ""
    """The model that answered, named in full; nothing when none did."""
    provider: str = ""
    """Its provider, as OpenTelemetry spells it."""
    caller: Caller
    key: str = ""
    """The step's key in its run's log."""
    began: float
    """Wall time."""
    duration_s: float
    first_s: float | None = None
    """How long a stream's first piece took."""
    is_stream: bool = False
    outcome: str = "ok"
    """`ok`, the code of an error, or `cancelled` when whoever asked left."""
    stop: str = ""
    """Why the model stopped, where it did."""
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    estimated: bool = False
    """Whether the usage is our own estimate: the provider gave none, or the call did not end."""
    cached: bool = False
    attempts: int = 1
    """Upstream calls it took; 0 for one that was refused here."""
    route: Route | None = None
    request_id: str = ""
    reply_id: str = ""


Listener = Callable[[CallRecord], None]
"""Hears of every call; it must be quick, and cannot change or stop anything."""


class Observed(Layer):
    """A `Model` that tells listeners what became of each call, one that was cut or given up included.

    Args:
        inner: Who is asked.
        listeners: Who hears of it, in order.
        price: What the model's tokens cost, for calls that did not end.
        providers: The provider of each model that may answer, by its name in full, where there are several.
        clock: Where to read the time.
    """

    def __init__(
        self,
        inner: Model,
        *,
        listeners: Sequence[Listener],
        price: Price | None = None,
        providers: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(inner)
        self._listeners = tuple(listeners)
        self._price = price
        self._providers = providers or {}
        self._clock = clock
        self._monotonic = clock.monotonic

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the inner model raises."""
        call = _Call(request, self._monotonic())
        try:
            reply = await self.inner.complete(request)
        except BaseException as error:
            self._note_end(call, error)
            raise
        self._note_reply(call, reply)
        return reply

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; raises what the inner model raises."""
        call = _Call(request, self._monotonic(), is_stream=True)
        reply: Reply | None = None
        failure: BaseException | None = None
        items = cast("AsyncGenerator[StreamItem]", self.inner.stream(request))  # all of ours are generators
        try:
            async with aclosing(items):
                async for item in items:
                    if call.first_s is None:
                        call.first_s = self._monotonic() - call.began
                    if type(item) is ReplyDone:
                        reply = item.reply
                    else:
                        call.given += count_item(item)
                    yield item
        except BaseException as error:
            failure = error
            raise
        finally:
            if reply is not None:
                self._note_reply(call, reply)
            else:
                self._note_end(call, failure)

    def _note_reply(self, call: _Call, reply: Reply) -> None:
        profile, route = self.inner.profile, reply.route
        answered = profile.name if route is None else route.model
        duration_s = self._monotonic() - call.began
        record = CallRecord(
            model=profile.name,
            answered=answered,
            provider=self._providers.get(answered, profile.provider),
            caller=call.request.caller,
            key=call.request.key,
            began=self._clock.now() - duration_s,
            duration_s=duration_s,
            first_s=call.first_s,
            is_stream=call.is_stream,
            stop=reply.stop,
            usage=reply.usage,
            cost_usd=reply.cost_usd,
            estimated=reply.estimated,
            cached=reply.cached,
            attempts=0 if reply.cached else reply.attempts,
            route=route,
            request_id=reply.request_id,
            reply_id=reply.id,
        )
        for listen in self._listeners:
            tell(listen, record)

    def _note_end(self, call: _Call, error: BaseException | None) -> None:
        """Note a call without a whole reply; what was sent and received is counted, as it is paid for."""
        profile, request = self.inner.profile, call.request
        usage = Usage()
        if call.given or error is None or is_unknown(error):
            read = estimate_request(request, profile.name)
            usage = Usage(input_tokens=read, output_tokens=-(-call.given // CHARACTERS_PER_TOKEN), requests=1)
        attempts: object = 1
        if isinstance(error, QuorateError):
            attempts = error.context.get("attempts", 0 if is_refusal(error) else 1)
        duration_s, now = self._monotonic() - call.began, self._clock.now()
        record = CallRecord(
            model=profile.name,
            provider=profile.provider,
            caller=request.caller,
            key=request.key,
            began=now - duration_s,
            duration_s=duration_s,
            first_s=call.first_s,
            is_stream=call.is_stream,
            outcome=_name_outcome(error),
            usage=usage,
            cost_usd=cost_usd(usage, self._price, now=now),
            estimated=True,
            attempts=attempts if isinstance(attempts, int) else 1,
        )
        for listen in self._listeners:
            tell(listen, record)


def tell(listen: Listener, record: CallRecord) -> None:
    """Tell a listener; one that fails is reported to the event loop and harms no call."""
    try:
        listen(record)
    except Exception as error:  # a listener is anybody's code, and what it watches must not depend on it
        facts = {"message": f"a listener failed on a call of {record.model}", "exception": error}
        asyncio.get_running_loop().call_exception_handler(facts)


class _Call:
    """A call under way, as far as it is told of."""

    __slots__ = ("began", "first_s", "given", "is_stream", "request")

    def __init__(self, request: Request, began: float, *, is_stream: bool = False) -> None:
        self.request = request
        self.began = began
        self.is_stream = is_stream
        self.first_s: float | None = None
        self.given = 0
        """Characters of the reply so far."""


def _name_outcome(error: BaseException | None) -> str:
    if isinstance(error, QuorateError):
        return error.code
    if error is None:
        return "incomplete"
    return "cancelled" if isinstance(error, (asyncio.CancelledError, GeneratorExit)) else "crash"
