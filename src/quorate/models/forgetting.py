"""What is done with reasoning that a provider closed for somebody else?

A model's reasoning may be encrypted for the account or the model that gave it. After a change of either, a
conversation that carries it would be refused for ever.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from msgspec import structs

from quorate.errors import QuorateError, UpstreamError
from quorate.messages import Message, Reply, ReplyDone, StreamItem, Thinking
from quorate.models.layer import Layer
from quorate.specs import Request

REFUSALS = frozenset({"invalid_encrypted_content"})
"""The provider's words for reasoning that it cannot open."""
NOTE = "earlier reasoning was left out: it is closed for this credential or model"


class Forgetting(Layer):
    """A `Model` that is asked once more without earlier reasoning, when the provider cannot open it."""

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the inner model raises."""
        try:
            return await self.inner.complete(request)
        except UpstreamError as error:
            if not is_closed(error):
                raise
        return add_note(await self.inner.complete(forget(request)))

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; raises what the inner model raises."""
        items = cast("AsyncGenerator[StreamItem]", self.inner.stream(request))  # all of ours are generators
        try:
            async with aclosing(items):
                async for item in items:
                    yield item
            return
        except UpstreamError as error:  # a refusal comes before the first piece
            if not is_closed(error):
                raise
        items = cast("AsyncGenerator[StreamItem]", self.inner.stream(forget(request)))  # as above
        async with aclosing(items):
            async for item in items:
                yield ReplyDone(add_note(item.reply)) if isinstance(item, ReplyDone) else item


def is_closed(error: QuorateError) -> bool:
    """Whether a provider could not open the reasoning it was given."""
    return error.context.get("upstream_code") in REFUSALS


def forget(request: Request) -> Request:
    """Leave all earlier reasoning out of a request, and messages that held nothing else."""
    kept = [
        message if message.role != "assistant" else Message(role="assistant", parts=tuple(parts))
        for message in request.messages
        if (parts := [part for part in message.parts if not isinstance(part, Thinking)])
    ]
    return structs.replace(request, messages=tuple(kept))


def add_note(reply: Reply) -> Reply:
    """Say in the reply what was left out."""
    return structs.replace(reply, notes=(*reply.notes, NOTE))
