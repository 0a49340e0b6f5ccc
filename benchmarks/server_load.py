"""How fast, and at whose cost, does a server answer? Sends what it is told to, and prints one line of JSON.

Used as `python -m benchmarks.server_load ORDER`, with an `Order` as JSON. It is written by hand on bare connections, so
that one core is enough to keep another one busy.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

END = b"\r\n\r\n"
DONE = b"data: [DONE]"
SIGNS = 200
"""How near the end of a stream its last word is."""
PLACE = b"########"
"""What stands in a body for the number of its request, so that none is like another and shares its answer."""
TICKS = os.sysconf("SC_CLK_TCK")


class WrongAnswer(Exception):
    """A server did not answer as it was to."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to send where, and how often."""

    port: int
    path: str
    body: str = ""
    """What is posted; without it, the path is read."""
    key: str = ""
    pid: int = 0
    """Whose CPU is counted."""
    connections: int = 32
    warm_s: float = 0.5
    seconds: float = 3.0
    rate: float = 0.0
    """Requests per second, sent whether or not those before are answered; as many as are answered when 0."""
    expected: str = ""
    """What an answer has in it."""
    pieces: str = ""
    """What each piece of a stream has in it; then streams are read to their end."""


@dataclass(kw_only=True)
class Found:
    """What came of it."""

    requests: int
    seconds: float
    cpu_s: float
    pieces: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def read_cpu(pid: int) -> float:
    """Read how many seconds of CPU a process and its threads have had; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def build_request(order: Order) -> bytes:
    """Write the request as it goes over the wire."""
    body = order.body.encode()
    lines = [f"{'POST' if body else 'GET'} {order.path} HTTP/1.1", f"host: 127.0.0.1:{order.port}", "accept: */*"]
    lines += [f"authorization: Bearer {order.key}"] if order.key else []
    lines += ["content-type: application/json", f"content-length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, and so on."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._since = 0.0
        self._left = -1
        """How much of the answer's body is to come; less than 0 before its head."""
        self._is_chunked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._work.give(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._work.drop(self, exc)

    def send(self, since: float) -> None:
        """Send a request that was wanted at a moment."""
        assert self._transport is not None
        self._since = since
        self._transport.write(self._work.build_next())

    def data_received(self, data: bytes) -> None:
        self._work.count(data)
        held = self._held = self._held + data
        if self._left < 0:
            head, found, rest = held.partition(END)
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                self._work.fail(held[:600].decode(errors="replace"))
                return
            lower = head.lower()
            self._is_chunked = b"transfer-encoding: chunked" in lower
            self._left = 0 if self._is_chunked else int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
            held = self._held = rest
        if self._is_chunked:
            if not held.endswith(b"0" + END):
                return
        elif len(held) < self._left:
            return
        self._left, self._held = -1, b""
        self._work.note(self, held, self._since)


class Work:
    """The requests that are under way, and how long they took."""

    def __init__(self, order: Order) -> None:
        self._before, place, self._after = build_request(order).partition(PLACE)
        self._has_place = bool(place)
        self._number = 0
        self._order = order
        self._expected = order.expected.encode()
        self._piece = order.pieces.encode()
        self._idle: list[Connection] = []
        self._wanted: list[float] = []
        """When requests were wanted that no connection was free for."""
        self._is_over = False
        self.ended = asyncio.Event()
        self.fault = ""
        self.times: list[float] = []
        self.pieces = 0

    def build_next(self) -> bytes:
        """Write the next request, which is like no other."""
        self._number += 1
        return b"%b%08d%b" % (self._before, self._number, self._after) if self._has_place else self._before

    def give(self, connection: Connection) -> None:
        """Give a connection something to do."""
        if self._is_over:
            return
        if self._order.rate:
            if self._wanted:
                connection.send(self._wanted.pop(0))
            else:
                self._idle.append(connection)
        else:
            connection.send(time.perf_counter())

    def want(self, moment: float) -> None:
        """Send one more request, now or as soon as a connection is free; it is late from `moment` on."""
        if self._idle:
            self._idle.pop().send(moment)
        else:
            self._wanted.append(moment)

    def note(self, connection: Connection, body: bytes, since: float) -> None:
        """Note an answer."""
        if self._expected not in body or (self._piece and DONE not in body[-SIGNS:]):
            self.fail(f"not what was expected: {body[:300]!r}")
            return
        self.times.append(time.perf_counter() - since)
        self.give(connection)

    def count(self, data: bytes) -> None:
        """Count the pieces of streams as they come."""
        if self._piece:
            self.pieces += data.count(self._piece)

    def drop(self, connection: Connection, error: Exception | None) -> None:
        """Do without a connection: servers close those that are quiet for long."""
        if connection in self._idle and len(self._idle) > 1:
            self._idle.remove(connection)
        else:
            self.fail(f"a connection was closed: {error}")

    def fail(self, fault: str) -> None:
        """Note that something is wrong, which ends it."""
        if not self._is_over:
            self.fault = fault
            self.stop()

    def stop(self) -> None:
        """Send nothing more."""
        self._is_over = True
        self.ended.set()


async def load(order: Order) -> Found:
    """Do what was ordered.

    Raises:
        WrongAnswer: An answer was not what it was to be.
    """
    loop, work = asyncio.get_running_loop(), Work(order)
    for _ in range(order.connections):
        await loop.create_connection(lambda: Connection(work), "127.0.0.1", order.port)
    began = time.perf_counter() + order.warm_s
    if order.rate:
        await _send_at(work, order.rate, until=began)
    else:
        await _wait(work, order.warm_s)
    work.times.clear()
    work.pieces = 0
    began, cpu = time.perf_counter(), read_cpu(order.pid) if order.pid else 0.0
    if order.rate:
        await _send_at(work, order.rate, until=began + order.seconds)
    else:
        await _wait(work, order.seconds)
    seconds, cpu = time.perf_counter() - began, read_cpu(order.pid) - cpu if order.pid else 0.0
    times, pieces = sorted(work.times), work.pieces
    work.stop()
    if work.fault or not (times or pieces):
        raise WrongAnswer(work.fault or "nothing came")
    p50, p95, p99 = (find_share(times, share) * 1e3 for share in (0.5, 0.95, 0.99))
    return Found(requests=len(times), seconds=seconds, cpu_s=cpu, pieces=pieces, p50_ms=p50, p95_ms=p95, p99_ms=p99)


def find_share(times: list[float], share: float) -> float:
    """Find what so large a share of sorted times is at most; 0 where there are none."""
    return times[min(len(times) - 1, int(len(times) * share))] if times else 0.0


async def _wait(work: Work, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work.ended.wait()
    except TimeoutError:
        pass


async def _send_at(work: Work, rate: float, *, until: float) -> None:
    moment = time.perf_counter()
    while moment < until and not work.ended.is_set():
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        work.want(moment)
        moment += 1 / rate


def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    # The usual selector counts in milliseconds, which is longer than some answers take.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        print(json.dumps(asdict(runner.run(load(order)))), flush=True)


if __name__ == "__main__":
    main()
