"""Do events keep the same contract over the bus of one process and over a real NATS?"""

from tests.contract.test_bus import backend, open_bus, open_local, open_nats, pass_time, tenants, time

from quorate.testing.contracts.events import EventsContract

__all__ = ["backend", "open_bus", "open_local", "open_nats", "pass_time", "tenants", "time"]


class TestEvents(EventsContract):
    """Events by pattern, with queues of their own, in order, and read again.

    row: E7
    """
