"""In which states are this machine's connections, and with whom?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from msgspec import Struct

from quorate.tools.builtin.host.facts import read_fact
from quorate.tools.builtin.infra.ports import decode_address

_STATES = {
    "01": "established",
    "02": "syn_sent",
    "03": "syn_received",
    "04": "fin_wait_1",
    "05": "fin_wait_2",
    "06": "time_wait",
    "07": "close",
    "08": "close_wait",
    "09": "last_ack",
    "0A": "listen",
    "0B": "closing",
}


class RemoteCount(Struct, frozen=True, kw_only=True):
    """How many connections there are with one address."""

    address: str
    count: int


class PortCount(Struct, frozen=True, kw_only=True):
    """How many connections there are on one port of this machine."""

    port: int
    count: int


class ConnectionReport(Struct, frozen=True, kw_only=True):
    """The TCP connections of this machine, or why they cannot be known."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    total: int = 0
    """All but those that listen."""
    states: dict[str, int] = {}
    close_wait: int = 0
    """The other side has gone, and a program here has not noticed."""
    time_wait: int = 0
    syn_received: int = 0
    retransmitting: int = 0
    """Connections that wait for an answer to what they sent again."""
    queued_bytes: int = 0
    """Bytes that arrived and no program has read."""
    by_remote: tuple[RemoteCount, ...] = ()
    by_port: tuple[PortCount, ...] = ()
    truncated: bool = False


def count_connections(*, most: int, proc: Path = Path("/proc")) -> ConnectionReport:
    """Count the TCP connections by state, remote address and own port."""
    if read_fact(proc / "net" / "tcp") is None:
        return ConnectionReport(status="unavailable", reason=f"this system has no {proc}/net/tcp")
    states, remotes, ports = Counter[str](), Counter[str](), Counter[int]()
    retransmitting = queued = 0
    truncated = False
    for name in ("tcp", "tcp6"):
        text = read_fact(proc / "net" / name) or ""
        truncated = truncated or len(text) >= 1 << 20
        for line in text.splitlines()[1:]:
            fields = line.split()
            if len(fields) < 10:
                continue
            state = _STATES.get(fields[3], "other")
            states[state] += 1
            if state == "listen":
                continue
            remotes[decode_address(fields[2].partition(":")[0])] += 1
            ports[int(fields[1].partition(":")[2], 16)] += 1
            queued += int(fields[4].partition(":")[2], 16)
            retransmitting += int(fields[6], 16) > 0
    return ConnectionReport(
        status="ok",
        total=sum(states.values()) - states["listen"],
        states=dict(sorted(states.items())),
        close_wait=states["close_wait"],
        time_wait=states["time_wait"],
        syn_received=states["syn_received"],
        retransmitting=retransmitting,
        queued_bytes=queued,
        by_remote=tuple(RemoteCount(address=one, count=count) for one, count in remotes.most_common(most)),
        by_port=tuple(PortCount(port=one, count=count) for one, count in ports.most_common(most)),
        truncated=truncated,
    )
