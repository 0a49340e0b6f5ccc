"""What does one need to test agents, tools and backends without a network, a key or a wait?"""

from quorate.testing.clock import ManualClock
from quorate.testing.contracts import (
    BlobsContract,
    KeyValueContract,
    LeasesContract,
    LogContract,
    OutboxContract,
)
from quorate.testing.samples import build_every_event

__all__ = [
    "BlobsContract",
    "KeyValueContract",
    "LeasesContract",
    "LogContract",
    "ManualClock",
    "OutboxContract",
    "build_every_event",
]
