"""From which address does a request come, and how often may it be wrong about who it is?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from msgspec import Struct

from quorate.errors import InvalidInput, RateLimited
from quorate.server.protocol import name_peer

GUESSES = 60
"""How many requests in a minute one address may send that let nobody in."""
WINDOW_S = 60.0
MAX_PEERS = 10_000
"""How many addresses are told apart; those that come then are counted together."""
MAX_HOPS = 20
"""How many proxies a header may name."""
OTHERS = "others"


class Proxies:
    """The proxies whose word about addresses is believed; nobody's word is where there are none.

    Args:
        networks: Their addresses or networks.

    Raises:
        InvalidInput: One is none.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [_read_network(text) for text in networks]

    def find_peer(self, client: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Find who is at the other end, as the last of our own proxies saw it.

        `X-Forwarded-For` is read from its end: behind what our proxies added there is what anybody may have written.

        Args:
            client: The address that the connection comes from.
            headers: Of the request.
        """
        if not self._networks or not self._is_ours(client):
            return name_peer(client)
        said = ",".join(value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for")
        found = client
        for hop in reversed(said.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            address = _read_hop(hop)
            if not address:
                break
            found = address
            if not self._is_ours(address):
                break
        return name_peer(found)

    def _is_ours(self, address: str) -> bool:
        try:
            known = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(known, "ipv4_mapped", None) or known
        return any(mapped in network for network in self._networks)


class _Tries(Struct):
    since: float
    count: int


class Guesses:
    """Counts requests that let nobody in, by address; in bounded room.

    Args:
        most: How many an address may send in a minute.
        monotonic: The time.
    """

    def __init__(self, most: int = GUESSES, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._monotonic = monotonic
        self._tries: dict[str, _Tries] = {}
        self._until = 0.0
        """Up to when anything that was counted matters."""

    @property
    def is_quiet(self) -> bool:
        """Whether nobody was wrong lately, so that nobody has to be looked up."""
        if self._tries and self._monotonic() >= self._until:
            self._tries = {}
        return not self._tries

    def __len__(self) -> int:
        return len(self._tries)

    def note(self, peer: str) -> None:
        """Count a request of an address that let nobody in."""
        now = self._monotonic()
        self._until = now + WINDOW_S
        tries = self._tries.get(peer)
        if tries is None:
            if len(self._tries) >= MAX_PEERS:
                self._tries = {one: tried for one, tried in self._tries.items() if now < tried.since + WINDOW_S}
            if len(self._tries) >= MAX_PEERS:
                peer = OTHERS
                tries = self._tries.get(peer)
        if tries is None or now >= tries.since + WINDOW_S:
            self._tries[peer] = _Tries(now, 1)
        else:
            tries.count += 1

    def check(self, peer: str) -> None:
        """Return if an address may be wrong once more.

        Raises:
            RateLimited: It was often enough; `retry_after_s` says when it may again.
        """
        tries = self._tries.get(peer)
        if tries is None and len(self._tries) >= MAX_PEERS:
            tries = self._tries.get(OTHERS)
        if tries is None or tries.count < self._most:
            return
        wait_s = tries.since + WINDOW_S - self._monotonic()
        if wait_s > 0:
            raise RateLimited(
                f"{self._most} requests of this address let nobody in within a minute: try again in {wait_s:.0f} s, "
                "with a credential that does.",
                retry_after_s=wait_s,
                source="credentials",
            )


def _read_network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidInput(
            f"{text[:80]!r} is no address of a proxy: write one such as 10.0.0.5 or 10.0.0.0/8."
        ) from error


def _read_hop(text: str) -> str:
    """Read an address as proxies write it, with or without a port; nothing where it is none."""
    hop = text.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop.partition("%")[0]))
    except ValueError:
        return ""
