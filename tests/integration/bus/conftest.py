"""Which servers do the tests of the bus over NATS have?"""

from collections.abc import Iterator

import pytest

from quorate.testing.nats_server import NatsServer, open_nats_server


@pytest.fixture
def server() -> Iterator[NatsServer]:
    """A server of one's own, to be killed and paused."""
    with open_nats_server() as opened:
        yield opened
