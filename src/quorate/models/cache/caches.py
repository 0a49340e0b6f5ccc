"""How are all caches of a gateway made to forget something, here and wherever else answers are kept?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol
from weakref import WeakSet

from quorate.models.cache.rule import CacheStore, Invalidation

Announce = Callable[[Invalidation], Awaitable[None]]
"""Lets other processes know what is to be forgotten; it returns once that is sure to reach them."""


class Forgetful(Protocol):
    """A layer that keeps answers."""

    def note_invalidation(self, which: Invalidation) -> int:
        """Keep no answer that is under way now and is to be forgotten; say how many were held in the layer itself."""
        ...

    def get_store(self) -> CacheStore | None:
        """Return where its other answers are; several layers may have one store."""
        ...


class Caches:
    """All caches of a gateway; get them as `Gateway.caches`."""

    def __init__(self, store: CacheStore | None = None) -> None:
        """Build it.

        Args:
            store: What the caches share with other processes, if they do; it is emptied also while no model is in use.
        """
        self._shared = store
        self._layers: WeakSet[Forgetful] = WeakSet()
        self._announce: Announce | None = None

    @property
    def is_told(self) -> bool:
        """Whether other processes are told of what is to be forgotten."""
        return self._announce is not None

    def add(self, layer: Forgetful) -> None:
        """Let a layer forget with the others, for as long as it lives."""
        self._layers.add(layer)

    def announce_by(self, announce: Announce | None) -> None:
        """Tell others of what is to be forgotten from now on, or nobody."""
        self._announce = announce

    async def invalidate(self, which: Invalidation) -> int:
        """Forget answers here, and let every other process that is told forget them; say how many were found here.

        An answer that is under way meanwhile and that `which` meets is not kept.

        Raises:
            Unavailable: A shared store cannot be reached, or others cannot be told; call it again.
        """
        gone = await self.obey(which)
        if self._announce is not None:
            await self._announce(which)
        return gone

    async def obey(self, which: Invalidation) -> int:
        """Forget answers here alone, such as when another process said so; say how many were found.

        Raises:
            Unavailable: A shared store cannot be reached.
        """
        layers = list(self._layers)
        gone = sum(layer.note_invalidation(which) for layer in layers)
        found = [self._shared, *(layer.get_store() for layer in layers)]
        for store in {id(store): store for store in found if store is not None}.values():
            gone += await store.forget(which)
        return gone
