"""Does a checked address accept a connection, how long does it take, and if not, why?"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Generator, Sequence
from typing import Literal

from msgspec import Struct

from quorate.addresses import Address

DialFailure = Literal["refused", "timeout", "reset", "unreachable"]
DialStatus = Literal["open"] | DialFailure
_RESET = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}


class Dialled(Struct, frozen=True, kw_only=True):
    """What came of one try to connect."""

    status: DialStatus
    address: str
    elapsed_ms: float
    detail: str = ""
    """Why it failed, in the system's words."""


class Stopwatch:
    """Measures named phases; the last one begun is the one that failed, if anything did."""

    def __init__(self) -> None:
        self.spent_ms: dict[str, float] = {}
        self.current = ""
        self.began = self._now()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def total_ms(self) -> float:
        """The time since this was made."""
        return round_ms(self._now() - self.began)

    @contextlib.contextmanager
    def phase(self, name: str) -> Generator[None]:
        """Measure a block, also one that is left by an error; times under one name add up."""
        self.current = name
        began = self._now()
        try:
            yield
        finally:
            self.spent_ms[name] = self.spent_ms.get(name, 0.0) + round_ms(self._now() - began)


def round_ms(seconds: float) -> float:
    """Turn seconds into milliseconds with three decimals."""
    return round(seconds * 1000, 3)


def find_status(error: OSError) -> DialFailure:
    """Put the system's many errors of connecting into a few words."""
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "reset" if error.errno in _RESET else "unreachable"


def family_of(address: Address) -> socket.AddressFamily:
    """Return the socket family of an address."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


async def dial(address: Address, port: int, *, timeout_s: float) -> tuple[Dialled, socket.socket | None]:
    """Connect to one address; the socket is the caller's to close."""
    watch = Stopwatch()
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family_of(address), socket.SOCK_STREAM)
        sock.setblocking(False)
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except OSError as error:
        if sock is not None:
            sock.close()
        status = find_status(error)
        said = os.strerror(error.errno) if error.errno else f"no answer within {timeout_s:g} s"
        return Dialled(status=status, address=str(address), elapsed_ms=watch.total_ms, detail=said), None
    except BaseException:
        if sock is not None:
            sock.close()
        raise
    return Dialled(status="open", address=str(address), elapsed_ms=watch.total_ms), sock


async def dial_first(
    addresses: Sequence[Address], port: int, *, timeout_s: float
) -> tuple[Dialled, socket.socket | None]:
    """Connect to the first of several addresses that accepts; each has an equal share of the time that is left."""
    assert addresses
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    outcome: tuple[Dialled, socket.socket | None] | None = None
    for index, address in enumerate(addresses):
        share = max(0.001, (ends - loop.time()) / (len(addresses) - index))
        outcome = await dial(address, port, timeout_s=share)
        if outcome[1] is not None:
            break
    assert outcome is not None
    return outcome
