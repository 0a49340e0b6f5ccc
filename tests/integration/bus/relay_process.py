"""A process that tells what an outbox notes, over NATS.

`python -m tests.integration.bus.relay_process URL DATABASE MODE`: with `die` it kills itself once a batch is with the
broker, before it is marked as told; with `work` it goes on until it is stopped.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from quorate.bus.backends.nats import open_nats_bus
from quorate.ports import Notice
from quorate.runtime.relay import Relay, RelayRule
from quorate.runtime.relay.bus_sink import BusSink, build_relay_rules
from quorate.state.backends.sqlite import open_sqlite_store

RULE = RelayRule(poll_s=0.02, batch=7, lease_s=0.6)


class Deadly(BusSink):
    """A sink whose process dies of it."""

    async def take(self, notices: Sequence[Notice]) -> None:
        """Take all, and die."""
        await super().take(notices)
        os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, database: str, mode: str) -> None:
    """Tell until killed."""
    async with (
        open_sqlite_store(database, outbox=True) as store,
        open_nats_bus(url, tenant="acme", streams=build_relay_rules("acme")) as bus,
    ):
        sink = (Deadly if mode == "die" else BusSink)(bus, store.log, tenant="acme")
        print("open", flush=True)
        await Relay(store, [sink], rule=RULE).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
