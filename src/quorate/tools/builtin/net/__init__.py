"""Which tools let an agent see whether and how other machines answer?"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.tools.builtin.net.dns import DnsAnswer, Record, look_up
from quorate.tools.builtin.net.http import Comparison, HttpTiming, compare_paths, time_request
from quorate.tools.builtin.net.path import RouteReport, Trace, read_routes, trace_route
from quorate.tools.builtin.net.reach import CONNECT_S, MAX_PORTS, PingReport, TcpReport, connect_ports, ping_host
from quorate.tools.builtin.net.tls import TlsReport, inspect_tls
from quorate.tools.define import AnyTool, tool
from quorate.tools.targets import ProbePolicy

__all__ = ["net_tools"]

Host = Annotated[str, Meta(min_length=1, max_length=260)]
Address = Annotated[str, Meta(min_length=1, max_length=2048)]


def net_tools(policy: ProbePolicy | None = None, *, clock: Clock = SYSTEM_CLOCK) -> list[AnyTool]:
    """Build the tools that probe hosts, each target checked by `policy` (the local operator's by default)."""
    chosen = policy or ProbePolicy.operator()
    return [*_host_tools(chosen), *_service_tools(chosen, clock), *_path_tools(chosen)]


def _host_tools(policy: ProbePolicy) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=15)
    async def ping(host: Host, count: Annotated[int, Meta(ge=1, le=10)] = 3) -> PingReport:
        """Measure whether a host answers echo requests, and how fast.

        Args:
            host: A name or an address, such as `example.com`.
            count: How many requests to send.
        """
        return await ping_host(host, count, policy)

    @tool(effect="idempotent", timeout_s=10)
    async def dns_lookup(host: Host, record: Record = "A", server: str = "") -> DnsAnswer:
        """Look a name up and measure how long the answer takes.

        Args:
            host: A name such as `example.com`, or an address for `PTR`.
            record: The record's type.
            server: A name server's address, with a port where it is not 53; empty for the machine's own resolver.
        """
        return await look_up(host, record, server, policy)

    @tool(effect="idempotent", timeout_s=15)
    async def tcp_connect(
        host: Host,
        ports: Annotated[list[int], Meta(min_length=1, max_length=MAX_PORTS)],
        timeout_s: Annotated[float, Meta(gt=0, le=10)] = CONNECT_S,
    ) -> TcpReport:
        """Connect to ports of a host, all at once, and say of each whether it is open, refused or silent.

        Args:
            host: A name or an address.
            ports: The ports.
            timeout_s: How long to wait for each, in seconds.
        """
        return await connect_ports(host, ports, policy, timeout_s)

    return [ping, dns_lookup, tcp_connect]


def _service_tools(policy: ProbePolicy, clock: Clock) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=20)
    async def tls_certificate(
        host: Host, port: Annotated[int, Meta(ge=1, le=65535)] = 443, server_name: str = ""
    ) -> TlsReport:
        """Shake hands with a TLS server and read its certificate: names, dates, and whether it holds.

        Args:
            host: A name or an address.
            port: The port.
            server_name: The name to ask for, where it is not the host's.
        """
        return await inspect_tls(host, port, server_name, policy, clock)

    @tool(effect="idempotent", timeout_s=60)
    async def http_timing(
        url: Address,
        method: Literal["GET", "HEAD"] = "GET",
        max_redirects: Annotated[int, Meta(ge=0, le=5)] = 3,
        timeout_s: Annotated[float, Meta(gt=0, le=20)] = 10,
    ) -> HttpTiming:
        """Request a URL and measure each phase: name, connection, encryption, first byte, download.

        Args:
            url: A URL that begins with `http://` or `https://`.
            method: `HEAD` leaves the body out.
            max_redirects: How many redirects to follow.
            timeout_s: How long each request may take, in seconds.
        """
        return await time_request(url, method, max_redirects, timeout_s, policy)

    @tool(effect="idempotent", timeout_s=30)
    async def http_compare(
        url: Address, paths: list[str], timeout_s: Annotated[float, Meta(gt=0, le=20)] = 10
    ) -> Comparison:
        """Time several paths of one service side by side, to find the slow or failing one.

        Args:
            url: The service, such as `http://127.0.0.1:8080`.
            paths: 2 to 12 paths, such as `["/", "/health"]`.
            timeout_s: How long each request may take, in seconds.
        """
        return await compare_paths(url, paths, timeout_s, policy)

    return [tls_certificate, http_timing, http_compare]


def _path_tools(policy: ProbePolicy) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=40)
    async def traceroute(host: Host, max_hops: Annotated[int, Meta(ge=1, le=30)] = 15) -> Trace:
        """Trace the way to a host, hop by hop.

        Args:
            host: A name or an address.
            max_hops: How far to look.
        """
        return await trace_route(host, max_hops, policy)

    @tool(effect="idempotent", timeout_s=5)
    def network_routes() -> RouteReport:
        """Read this machine's default gateways and network cards: state, MTU, errors and drops."""
        return read_routes()

    return [traceroute, network_routes]
