"""How does a server that we started end when we do, also when we are killed?

Run as a program of its own: it reads process ids from its input, one a line, and when that ends (whoever held the
other end of the pipe is gone) it ends the process that it was told of last.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE_S = 2.0
_LOOK_S = 0.02


def keep() -> None:
    """Wait until the input ends, and then end what it named last; an empty line names nothing."""
    pid = 0
    for line in sys.stdin:
        pid = int(line) if line.strip() else 0
    if pid:
        end(pid)


def end(pid: int) -> None:
    """Ask a process to end, and kill it when it does not."""
    try:
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until:
            os.kill(pid, 0)
            time.sleep(_LOOK_S)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever holds the pipe
    keep()
