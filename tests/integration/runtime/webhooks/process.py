"""A process that tells and delivers webhooks over one database of either kind.

`python process.py DATABASE LEASE_S [PREFIX before|after N]`: say `ready`, wait for a line, then relay and deliver until
the input ends; with the last words, die by SIGKILL before or after a value below PREFIX is written for the N-th time.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import structs

from quorate import Settings, open_runtime
from quorate.assembly import open_store
from quorate.ports import Entry, KeyValue
from quorate.runtime import Runtime
from quorate.runtime.relay import Relay, RelayRule
from quorate.runtime.webhooks import WebhookPolicy, WebhookSink, open_webhooks
from quorate.settings.values import WebhookSettings

SETTINGS = WebhookSettings(enabled=True, allow=("loopback",))


class Deadly:
    """A `KeyValue` that kills the process before or after the n-th time that something below a prefix is written."""

    def __init__(self, inner: KeyValue, *, prefix: str, when: str, at: int) -> None:
        self.inner = inner
        self.get = inner.get
        self.delete = inner.delete
        self.scan = inner.scan
        self._prefix = prefix
        self._when = when
        self._left = at

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self._left -= key.startswith(self._prefix)
        is_now = key.startswith(self._prefix) and self._left == 0
        if is_now and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        entry = await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)
        if is_now:
            os.kill(os.getpid(), signal.SIGKILL)
        return entry


async def serve(database: str, lease_s: str, prefix: str = "", when: str = "", at: str = "0") -> None:
    """Relay and deliver until the input ends."""
    settings = Settings(database=database, webhooks=SETTINGS)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        if prefix:
            store = structs.replace(store, values=Deadly(store.values, prefix=prefix, when=when, at=int(at)))
        runtime = await stack.enter_async_context(open_runtime(settings, store=store))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        async with working(runtime, lease_s=float(lease_s)):
            await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def working(runtime: Runtime, *, lease_s: float) -> AsyncGenerator[None]:
    """Relay and deliver for a block."""
    rule, policy, store = RelayRule(poll_s=0.05, lease_s=1.0), WebhookPolicy(lease_s=lease_s), runtime.store
    async with (
        open_webhooks(runtime, policy=policy) as courier,
        Relay(store, [WebhookSink(store, wake=courier.wake)], rule=rule).running(),
    ):
        yield


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
