"""May this go to the model, and may that come from it?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import cast

from msgspec import structs

from quorate.errors import QuorateError
from quorate.messages import Embeddings, Reply, ReplyDone, StreamItem, build_user_message
from quorate.models.guards.chosen import Chosen, Record
from quorate.models.guards.guard import Finding, Guard
from quorate.models.guards.incoming import Incoming
from quorate.models.guards.outgoing import Outgoing
from quorate.models.layer import Closable, Layer
from quorate.ports import Embedder, Model
from quorate.specs import EmbedRequest, Request


class Guarded(Layer):
    """A `Model` whose requests and answers are looked at by guards.

    It stands outside of the cache, so what is kept there holds placeholders and no data, and what is given out from
    there is looked at again. Guards find what they know; a model that obeys somebody else is held by what it may do.
    """

    def __init__(
        self, inner: Model, *, guards: Sequence[Guard], report: Callable[[Finding], None] | None = None
    ) -> None:
        """Build it.

        Args:
            inner: The model that is guarded.
            guards: See `quorate.models.guards.guard.build_guards`.
            report: Hears of everything that was found, without the text; it must not raise.
        """
        super().__init__(inner)
        self._tenants = _Tenants(guards)
        self._report = report

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece.

        Raises:
            BlockedByPolicy: A strict guard found something, or any guard failed; it says which, and never the text.
        """
        sides = self._tenants.find(request.caller.tenant)
        record = Record(request, self._report)
        values: Mapping[str, str] = {}
        try:
            asked = request
            if sides.guards_input:
                screened = await sides.incoming.screen(request, record)
                asked, values = screened.request, screened.values
            reply = await self.inner.complete(asked)
            if values or sides.output:
                reply = await Outgoing(sides.output, values, request, record).screen(reply)
            return _add_notes(reply, record)
        except QuorateError as error:
            await self._screen_partial(error, Outgoing(sides.output, values, request, record))
            raise
        finally:
            record.finish()  # what was found before a failure is told too

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; raises what `complete` raises, before anything forbidden is given out."""
        sides = self._tenants.find(request.caller.tenant)
        record = Record(request, self._report)
        values: Mapping[str, str] = {}
        try:
            asked = request
            if sides.guards_input:
                screened = await sides.incoming.screen(request, record)
                asked, values = screened.request, screened.values
            outgoing = Outgoing(sides.output, values, request, record)
            # Every stream of the house is an async generator; the port says less, so that others may differ.
            async with aclosing(cast("AsyncGenerator[StreamItem]", self.inner.stream(asked))) as items:
                async for item in items:
                    if type(item) is not ReplyDone:
                        for given in outgoing.feed(item):
                            yield given
                        continue
                    for given in await outgoing.finish(item.reply):
                        yield ReplyDone(_add_notes(given.reply, record)) if type(given) is ReplyDone else given
        except QuorateError as error:
            await self._screen_partial(error, Outgoing(sides.output, values, request, record))
            raise
        finally:
            record.finish()

    async def _screen_partial(self, error: QuorateError, outgoing: Outgoing) -> None:
        """Look at the part of an answer that a failure left, which is kept with the error."""
        partial = error.context.get("partial")
        if isinstance(partial, str) and partial:
            # The error may become the background of a block, so the words leave it before they are looked at.
            error.context = {**error.context, "partial": ""}
            error.context = {**error.context, "partial": await outgoing.screen_partial(partial)}


class GuardedEmbedder:
    """An `Embedder` whose texts are looked at by the guards of a model's input.

    Placeholders stand in what becomes vectors, too, so that a search finds what was redacted alike.
    """

    def __init__(
        self, inner: Embedder, *, guards: Sequence[Guard], report: Callable[[Finding], None] | None = None
    ) -> None:
        self.inner = inner
        self._tenants = _Tenants(guards)
        self._report = report

    @property
    def name(self) -> str:
        """The inner embedder's name."""
        return self.inner.name

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Turn texts into vectors; raises what the inner embedder raises.

        Raises:
            BlockedByPolicy: A strict guard found something, or any guard failed.
        """
        sides = self._tenants.find(request.caller.tenant)
        if not sides.guards_input:
            return await self.inner.embed(request)
        asked = Request(messages=tuple(map(build_user_message, request.texts)), caller=request.caller)
        record = Record(asked, self._report)
        try:
            screened = await sides.incoming.screen(asked, record)
        finally:
            record.finish()
        if screened.request is asked:
            return await self.inner.embed(request)
        texts = tuple(message.text for message in screened.request.messages)
        return await self.inner.embed(structs.replace(request, texts=texts))

    async def aclose(self) -> None:
        """Close the inner embedder's connections."""
        if isinstance(self.inner, Closable):
            await self.inner.aclose()


class _Tenants:
    """The guards that stand for each tenant; tenants that no rule names share theirs."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = tuple(guards)
        self._named = frozenset(tenant for guard in guards for tenant in guard.rule.tenants)
        self._sides: dict[str, _Sides] = {}

    def find(self, tenant: str) -> _Sides:
        name = tenant if tenant in self._named else ""
        sides = self._sides.get(name)
        if sides is None:
            chosen = [guard for guard in self._guards if not guard.rule.tenants or tenant in guard.rule.tenants]
            sides = self._sides[name] = _Sides(chosen)
        return sides


class _Sides:
    """The guards of one tenant, on their sides."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        before = Chosen(guards, "input")
        self.guards_input = bool(before)
        self.incoming = Incoming(before)
        self.output = Chosen(guards, "output")


def _add_notes(reply: Reply, record: Record) -> Reply:
    notes = record.finish()
    return structs.replace(reply, notes=reply.notes + notes) if notes else reply
