"""How does a part of the house see only the values that are its own?"""

from __future__ import annotations

from msgspec import structs

from quorate.ports import Entry, KeyValue


class ConfinedValues:
    """The values whose keys begin with a prefix, which is neither seen nor left.

    Args:
        inner: All values.
        prefix: What the keys of these begin with, such as `memory/acme/`.
    """

    def __init__(self, inner: KeyValue, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix

    async def get(self, key: str) -> Entry | None:
        """Return what is stored under a key, or `None`."""
        found = await self._inner.get(self._prefix + key)
        return None if found is None else self._strip(found)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        """Store a value; raises what the inner one raises."""
        return self._strip(await self._inner.put(self._prefix + key, value, if_revision=if_revision, ttl_s=ttl_s))

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        """Forget a key and say whether it was there; raises what the inner one raises."""
        return await self._inner.delete(self._prefix + key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        """Return entries whose keys begin with `prefix`, in order, those behind `after` only."""
        behind = self._prefix + after if after else ""
        found = await self._inner.scan(self._prefix + prefix, after=behind, limit=limit)
        return [self._strip(entry) for entry in found]

    def _strip(self, entry: Entry) -> Entry:
        return structs.replace(entry, key=entry.key.removeprefix(self._prefix))
