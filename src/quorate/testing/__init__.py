"""What does one need to test agents, tools and backends without a network, a key or a wait?"""

from quorate.testing.clock import ManualClock
from quorate.testing.contracts import LogContract
from quorate.testing.samples import build_every_event

__all__ = ["LogContract", "ManualClock", "build_every_event"]
