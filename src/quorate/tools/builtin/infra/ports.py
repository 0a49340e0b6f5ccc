"""Who listens on which port of this machine?"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from msgspec import Struct

from quorate.tools.builtin.host.facts import read_fact

_LISTENING = "0A"
_UNCONNECTED = "07"
_TABLES: tuple[tuple[str, Literal["tcp", "udp"], str], ...] = (
    ("tcp", "tcp", _LISTENING),
    ("tcp6", "tcp", _LISTENING),
    ("udp", "udp", _UNCONNECTED),
    ("udp6", "udp", _UNCONNECTED),
)


class Listener(Struct, frozen=True, kw_only=True):
    """A socket that waits for others."""

    protocol: Literal["tcp", "udp"]
    address: str
    """`0.0.0.0` and `::` stand for every address of the machine."""
    port: int
    pid: int | None = None
    """Absent when the process belongs to somebody else."""
    process: str = ""


class ListenerReport(Struct, frozen=True, kw_only=True):
    """Those who listen, or why it cannot be known."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    listeners: tuple[Listener, ...] = ()
    is_listening: bool = False
    """Whether anybody listens as it was asked."""


def find_listeners(*, port: int | None = None, process: str = "", proc: Path = Path("/proc")) -> ListenerReport:
    """Find who listens; on one port or by a part of the process's name, where they are given."""
    if read_fact(proc / "net" / "tcp") is None:
        return ListenerReport(status="unavailable", reason=f"this system has no {proc}/net/tcp")
    sockets: list[tuple[Listener, str]] = []
    for name, protocol, state in _TABLES:
        sockets.extend(parse_sockets(read_fact(proc / "net" / name) or "", protocol, state=state))
    owners = _find_owners({inode for _, inode in sockets}, proc)
    found: set[Listener] = set()
    for listener, inode in sockets:
        pid, name = owners.get(inode, (None, ""))
        if (port is None or listener.port == port) and process.lower() in name.lower():
            found.add(
                Listener(
                    protocol=listener.protocol, address=listener.address, port=listener.port, pid=pid, process=name
                )
            )
    ordered = sorted(found, key=lambda one: (one.protocol, one.port, one.address, one.pid or 0))
    return ListenerReport(status="ok", listeners=tuple(ordered), is_listening=bool(ordered))


def parse_sockets(
    text: str, protocol: Literal["tcp", "udp"], *, state: str = _LISTENING
) -> Iterable[tuple[Listener, str]]:
    """Read a table of `/proc/net`: the sockets in a state, each with its inode."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == state:
            address, _, port = fields[1].partition(":")
            yield Listener(protocol=protocol, address=decode_address(address), port=int(port, 16)), fields[9]


def decode_address(text: str) -> str:
    """Read an address of `/proc/net`: words of 32 bits in the order of this machine's bytes."""
    words = [bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8)]
    data = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ipaddress.ip_address(data))


def _find_owners(inodes: set[str], proc: Path) -> dict[str, tuple[int, str]]:
    owners: dict[str, tuple[int, str]] = {}
    for entry in os.scandir(proc):
        if not entry.name.isdigit():
            continue
        try:
            descriptors = os.listdir(f"{entry.path}/fd")
        except OSError:
            continue  # it ended, or belongs to somebody else
        for descriptor in descriptors:
            inode = _socket_inode(f"{entry.path}/fd/{descriptor}")
            if inode in inodes:
                owners[inode] = (int(entry.name), (read_fact(f"{entry.path}/comm") or "").strip())
    return owners


def _socket_inode(path: str) -> str:
    try:
        target = os.readlink(path)
    except OSError:
        return ""
    return target[len("socket:[") : -1] if target.startswith("socket:[") else ""
