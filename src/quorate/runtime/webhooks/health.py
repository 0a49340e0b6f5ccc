"""How does every process know that an endpoint fails, and leave it alone for a while?"""

from __future__ import annotations

from quorate.codec.json import decode, encode
from quorate.errors import Conflict, CorruptState, InvalidInput
from quorate.ports import KeyValue
from quorate.runtime.webhooks.backoff import Answer, Health, WebhookPolicy, worsen
from quorate.state.webhooks import build_health_key

MAX_TRIES = 20


class HealthBook:
    """How the endpoints of webhooks do, as all processes see it; nothing is kept of those that do well."""

    def __init__(self, values: KeyValue, policy: WebhookPolicy) -> None:
        self._values = values
        self._policy = policy

    async def find(self, tenant: str, webhook: str) -> Health | None:
        """Find how an endpoint does that failed."""
        return (await self._read(build_health_key(tenant, webhook)))[0]

    async def note_failure(self, tenant: str, webhook: str, answer: Answer, *, now: float) -> Health:
        """Count a failure."""
        key = build_health_key(tenant, webhook)
        for _ in range(MAX_TRIES):
            before, revision = await self._read(key)
            health = worsen(before, answer, self._policy, now=now)
            try:
                await self._values.put(key, encode(health), if_revision=revision)
            except Conflict:
                continue
            return health
        return worsen(None, answer, self._policy, now=now)  # others count it

    async def forget(self, tenant: str, webhook: str) -> None:
        """Forget that an endpoint failed: it did well, or is to be tried at once."""
        await self._values.delete(build_health_key(tenant, webhook))

    async def _read(self, key: str) -> tuple[Health | None, int]:
        try:
            entry = await self._values.get(key)
        except CorruptState:  # damaged where it is kept: it is counted anew
            await self._values.delete(key)
            entry = None
        if entry is None:
            return None, 0
        try:
            return decode(entry.value, Health, what=key), entry.revision
        except InvalidInput:  # it is counted anew
            return None, entry.revision
