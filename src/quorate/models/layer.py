"""What do all layers of the gateway have in common?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from quorate.messages import Reply, StreamItem
from quorate.ports import Model
from quorate.specs import ModelProfile, Request


@runtime_checkable
class Closable(Protocol):
    """Something that holds connections."""

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class Layer:
    """A `Model` around another one, which it is like in everything that a layer does not change."""

    def __init__(self, inner: Model) -> None:
        self.inner = inner
        self.profile: ModelProfile = inner.profile
        """What the inner model can do; looked up once, as it is asked for by many layers and never changes."""

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the inner model raises."""
        return await self.inner.complete(request)

    def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Answer piece by piece; raises what the inner model raises."""
        return self.inner.stream(request)

    async def aclose(self) -> None:
        """Close the inner model's connections; they open again when it is used again."""
        if isinstance(self.inner, Closable):
            await self.inner.aclose()
