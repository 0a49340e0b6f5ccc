"""To which checked addresses does a host lead?"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

from quorate.addresses import Address
from quorate.errors import ToolError
from quorate.tools.targets import Host, ProbePolicy, unmap
from quorate.tools.threads import run_in_thread

MAX_ADDRESSES = 16
Lookup = Callable[[str], Awaitable[tuple[Address, ...]]]


class Unresolved(ToolError):
    """A host name has no address, or nobody could say."""

    code = "unresolved"


async def resolve_target(
    host: Host, policy: ProbePolicy, *, timeout_s: float, lookup: Lookup | None = None
) -> tuple[Address, ...]:
    """Resolve a host once and check every address; connect to what this returns and to nothing else.

    Resolving again at connect time would let a name answer differently the second time.

    Raises:
        Unresolved: The name has no address, or no answer came within the time.
        TargetBlocked: One of the addresses may not be probed.
    """
    addresses = (host.address,) if host.address else await _ask(host.text, timeout_s, lookup or lookup_system)
    policy.check(host, addresses)
    return addresses


async def _ask(name: str, timeout_s: float, lookup: Lookup) -> tuple[Address, ...]:
    try:
        async with asyncio.timeout(timeout_s):
            found = await lookup(name)
    except TimeoutError as error:
        raise Unresolved(f"The name {name!r} was not resolved within {timeout_s:g} s.") from error
    except socket.gaierror as error:
        raise Unresolved(f"The name {name!r} was not resolved: {error.strerror or error}.") from error
    if not found:
        raise Unresolved(f"The name {name!r} has no address.")
    return found[:MAX_ADDRESSES]


async def lookup_system(name: str) -> tuple[Address, ...]:
    """Ask the system's resolver, which also reads the hosts file.

    Raises:
        socket.gaierror: It has no answer.
    """
    rows = await run_in_thread(lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
    # A zone after `%` is dropped: only link-local addresses have one, and those are refused by their number.
    texts = dict.fromkeys(str(row[4][0]).partition("%")[0] for row in rows)
    return tuple(unmap(ipaddress.ip_address(text)) for text in texts)
