"""May this go to the model, and may that come from it?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import cast

from msgspec import structs

from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.guards.chosen import Chosen, Record
from quorate.models.guards.guard import Finding, Guard
from quorate.models.guards.incoming import Incoming
from quorate.models.guards.outgoing import Outgoing
from quorate.models.layer import Layer
from quorate.ports import Model
from quorate.specs import Request


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
        self._guards = tuple(guards)
        self._report = report
        self._tenants = frozenset(tenant for guard in guards for tenant in guard.rule.tenants)
        self._sides: dict[str, _Sides] = {}

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece.

        Raises:
            BlockedByPolicy: A strict guard found something, or any guard failed; it says which, and never the text.
        """
        sides = self._choose(request)
        record = Record(request, self._report)
        try:
            screened = await sides.incoming.screen(request, record) if sides.guards_input else None
            reply = await self.inner.complete(request if screened is None else screened.request)
            values = {} if screened is None else screened.values
            if values or sides.output:
                reply = await Outgoing(sides.output, values, request, record).screen(reply)
            return _add_notes(reply, record)
        finally:
            record.finish()  # what was found before a failure is told too

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; raises what `complete` raises, before anything forbidden is given out."""
        sides = self._choose(request)
        record = Record(request, self._report)
        try:
            screened = await sides.incoming.screen(request, record) if sides.guards_input else None
            values = {} if screened is None else screened.values
            outgoing = Outgoing(sides.output, values, request, record)
            asked = request if screened is None else screened.request
            # Every stream of the house is an async generator; the port says less, so that others may differ.
            async with aclosing(cast("AsyncGenerator[StreamItem]", self.inner.stream(asked))) as items:
                async for item in items:
                    if type(item) is not ReplyDone:
                        for given in outgoing.feed(item):
                            yield given
                        continue
                    for given in await outgoing.finish(item.reply):
                        yield ReplyDone(_add_notes(given.reply, record)) if type(given) is ReplyDone else given
        finally:
            record.finish()

    def _choose(self, request: Request) -> _Sides:
        """The guards that stand for a tenant; tenants that no rule names share theirs."""
        tenant = request.caller.tenant
        name = tenant if tenant in self._tenants else ""
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
