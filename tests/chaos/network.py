"""How is a process cut off from the others? By a network of its own, whose link is taken down without a word.

Whoever works "apart" has a network namespace of its own, with nothing in it but a loopback interface. A "site" is one
more such namespace, linked to it by a cable (`veth`); there `127.0.0.1` and `127.0.0.2` are the other side's, so that
servers which listen on loopback alone can be reached from it. Nothing of the machine's own network is touched.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import pytest

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
HERE, THERE, NOWHERE = "10.77.0.1", "10.77.0.2", "10.77.0.3"
NOBODY = "02:00:00:00:00:01"
"""The hardware address of no machine: what is sent there is lost, and nobody is told."""
NEEDED = ("ip", "unshare", "nsenter", "sleep")
Way = Literal["both", "from", "to"]
"""Which way nothing comes through, as the site sees it."""


def work_apart(work: Callable[[], T]) -> T:
    """Do something in a network of its own, where this user may make one; skips the test elsewhere."""
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        pytest.skip(f"there is no {' and no '.join(missing)} here (packages iproute2 and util-linux)")

    def enter() -> T:
        # A namespace is a thread's: whatever this one starts is in it, and the other tests are not.
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            pytest.skip(f"this user may not make a network namespace: {os.strerror(ctypes.get_errno())}")
        tell_ip("link", "set", "lo", "up")
        return work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(enter).result()


def tell_ip(*words: str, inside: tuple[str, ...] = ()) -> None:
    """Run `ip`, which must have nothing to complain of."""
    done = subprocess.run([*inside, "ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class Site:
    """A place from which the servers here are reached by a cable."""

    def __init__(self, holder: int) -> None:
        self.inside = ("nsenter", f"--net=/proc/{holder}/ns/net", "--")
        """What a command begins with that is to run there."""

    def lay_cable(self, holder: int) -> None:
        """Lay the cable and say what is at its other end."""
        words = ("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(holder))
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no cable may be laid here: {done.stderr.strip()}")
        tell_ip("address", "add", f"{HERE}/29", "dev", "here")
        tell_ip("link", "set", "here", "up")
        allow_loopback("here", ())
        for words in (
            ("address", "add", f"{THERE}/29", "dev", "there"),
            ("link", "set", "there", "up"),
            # Without its own loopback interface, those addresses are nobody's there.
            ("route", "add", "127.0.0.1/32", "via", HERE),
            ("route", "add", "127.0.0.2/32", "via", HERE),
            ("neigh", "add", NOWHERE, "lladdr", NOBODY, "dev", "there"),
        ):
            tell_ip(*words, inside=self.inside)
        allow_loopback("there", self.inside)

    def cut(self, way: Way = "both") -> None:
        """Let nothing through any more; nobody is told."""
        if way == "both":
            tell_ip("link", "set", "here", "down")
        elif way == "from":
            tell_ip("neigh", "replace", HERE, "lladdr", NOBODY, "dev", "there", inside=self.inside)
        else:
            tell_ip("neigh", "replace", THERE, "lladdr", NOBODY, "dev", "here")

    def heal(self, way: Way = "both") -> None:
        """Let everything through again."""
        if way == "both":
            tell_ip("link", "set", "here", "up")
        elif way == "from":
            tell_ip("neigh", "del", HERE, "dev", "there", inside=self.inside)
        else:
            tell_ip("neigh", "del", THERE, "dev", "here")

    def hide(self, address: str) -> None:
        """Let nothing through to one of the addresses."""
        tell_ip("route", "replace", f"{address}/32", "via", NOWHERE, inside=self.inside)

    def show(self, address: str) -> None:
        """Let everything through to it again."""
        tell_ip("route", "replace", f"{address}/32", "via", HERE, inside=self.inside)


def allow_loopback(interface: str, inside: tuple[str, ...]) -> None:
    """Let loopback addresses go over a cable."""
    place = f"net/ipv4/conf/{interface}/route_localnet"
    done = subprocess.run(
        [*inside, "tee", f"/proc/sys/{place}"], input="1", capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"{place} may not be set here: {done.stderr.strip()}")


@contextmanager
def open_site() -> Generator[Site]:
    """Open a site; it is gone at the end of the block, with the cable."""
    with subprocess.Popen(["unshare", "--net", "--", "sleep", "infinity"]) as holder:
        try:
            wait_apart(holder.pid)
            site = Site(holder.pid)
            site.lay_cable(holder.pid)
            yield site
        finally:
            holder.kill()


def wait_apart(pid: int) -> None:
    """Wait until a process is in a network of its own."""
    here = os.readlink("/proc/thread-self/ns/net")
    while os.readlink(Path("/proc", str(pid), "ns/net")) == here:
        os.sched_yield()
