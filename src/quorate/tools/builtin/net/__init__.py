"""Which tools let an agent see whether and how other machines answer?

Every target is read by the grammar and checked by the policy of `quorate.tools.targets`; a name is resolved once and
only the checked address is connected to. What does not answer is a result with a status, not an error.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.tools.builtin.infra.ask import Run
from quorate.tools.builtin.net.certificate import TlsReport, inspect_tls
from quorate.tools.builtin.net.compare import MAX_PATHS, Comparison, PortalReport, compare_paths, find_portal
from quorate.tools.builtin.net.connect import MAX_PORTS, TcpReport, connect_ports
from quorate.tools.builtin.net.dns import DnsAnswer, NameServer, RecordType, look_up
from quorate.tools.builtin.net.http import MAX_REDIRECTS, FindTrace, HttpTiming, Prober, find_no_trace
from quorate.tools.builtin.net.ping import PingReport, ping_host
from quorate.tools.builtin.net.routes import PathReport, RouteReport, find_path, read_routes
from quorate.tools.builtin.net.trace import Trace, trace_route
from quorate.tools.define import AnyTool, tool
from quorate.tools.process import run_command
from quorate.tools.targets import ProbePolicy

__all__ = ["net_tools"]

Host = Annotated[str, Meta(min_length=1, max_length=260, description="A name or an address, such as `example.com`.")]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Url = Annotated[str, Meta(min_length=1, max_length=2048, description="It begins with `http://` or `https://`.")]
Seconds = Annotated[float, Meta(gt=0, le=20, description="How long to wait, in seconds.")]


def net_tools(
    policy: ProbePolicy | None = None,
    *,
    clock: Clock = SYSTEM_CLOCK,
    run: Run = run_command,
    trace: FindTrace = find_no_trace,
) -> list[AnyTool]:
    """Build the tools that probe hosts, each target checked by `policy` (the local operator's by default).

    Args:
        policy: Which targets may be probed.
        clock: Where the time of day comes from, for the age of certificates.
        run: What runs `ping` and `traceroute`.
        trace: Gives the W3C `traceparent` that goes with requests over HTTP, if there is one.
    """
    chosen = policy or ProbePolicy.operator()
    return [
        *_host_tools(chosen, run),
        *_service_tools(chosen, clock),
        *_web_tools(chosen, trace),
        *_path_tools(chosen, run),
    ]


def _host_tools(policy: ProbePolicy, run: Run) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=40)
    async def ping(host: Host, count: Annotated[int, Meta(ge=1, le=10)] = 3) -> PingReport:
        """Measure whether a host answers echo requests, and how fast; says when another way had to stand for a ping.

        Args:
            count: How many requests to send.
        """
        return await ping_host(host, count, policy, run=run)

    @tool(effect="idempotent", timeout_s=25)
    async def dns_lookup(
        host: Host,
        record: RecordType = "A",
        *,
        nameserver: Annotated[str, Meta(max_length=64)] = "",
        nameserver_port: Port = 53,
        timeout_s: Seconds = 5,
    ) -> DnsAnswer:
        """Look a name up and measure how long the answer takes; `PTR` takes an address.

        Args:
            record: The type of record.
            nameserver: A name server's address; empty for what this machine uses, hosts file included.
            nameserver_port: The name server's port.
        """
        server = NameServer(address=nameserver, port=nameserver_port) if nameserver else None
        return await look_up(host, record, policy, nameserver=server, timeout_s=timeout_s)

    return [ping, dns_lookup]


def _service_tools(policy: ProbePolicy, clock: Clock) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=45)
    async def tcp_connect(
        host: Host,
        ports: Annotated[list[Port], Meta(min_length=1, max_length=MAX_PORTS)],
        *,
        timeout_s: Seconds = 3,
    ) -> TcpReport:
        """Connect to ports of a host, all at once, and say of each whether it is open, refused or silent."""
        return await connect_ports(host, ports, policy, timeout_s=timeout_s)

    @tool(effect="idempotent", timeout_s=25)
    async def tls_certificate(
        host: Host,
        port: Port = 443,
        *,
        server_name: Annotated[str, Meta(max_length=260)] = "",
        timeout_s: Seconds = 8,
    ) -> TlsReport:
        """Shake hands with a TLS server and read its certificates: names, dates, and whether they hold.

        Args:
            server_name: The name to ask for, where it is not the host's.
        """
        return await inspect_tls(host, port, policy, server_name=server_name, timeout_s=timeout_s, clock=clock)

    return [tcp_connect, tls_certificate]


def _web_tools(policy: ProbePolicy, trace: FindTrace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=25)
    async def http_timing(
        url: Url,
        method: Literal["GET", "HEAD"] = "GET",
        *,
        max_redirects: Annotated[int, Meta(ge=0, le=MAX_REDIRECTS)] = 3,
        verify_tls: bool = True,
        timeout_s: Seconds = 10,
    ) -> HttpTiming:
        """Request a URL and measure each phase: name, connection, encryption, sending, first byte, download.

        Args:
            method: `HEAD` leaves the body out.
            max_redirects: How many redirects to follow; each is checked like the first URL.
            verify_tls: Whether a certificate that does not hold ends the request.
        """
        prober = Prober(policy, timeout_s=timeout_s, method=method, verify_tls=verify_tls, trace=trace)
        return await prober.measure(url, max_redirects=max_redirects)

    @tool(effect="idempotent", timeout_s=90)
    async def http_compare(
        url: Url, paths: Annotated[list[str], Meta(min_length=1, max_length=MAX_PATHS)], *, timeout_s: Seconds = 10
    ) -> Comparison:
        """Time several paths of one service side by side, to find the slow or failing one.

        Args:
            url: The service, such as `http://127.0.0.1:8080`.
            paths: Paths such as `["/", "/health"]`.
        """
        return await compare_paths(url, paths, Prober(policy, timeout_s=timeout_s, trace=trace))

    @tool(effect="idempotent", timeout_s=25)
    async def captive_portal(
        url: Url, expected_status: Annotated[int, Meta(ge=200, le=599)] = 204, *, timeout_s: Seconds = 5
    ) -> PortalReport:
        """Ask for a page whose answer is known, to see whether a portal or proxy answers in its place.

        Args:
            url: A page by `http://` that always answers `expected_status`.
            expected_status: What it answers when nobody stands in between.
        """
        return await find_portal(url, expected_status, Prober(policy, timeout_s=timeout_s))

    return [http_timing, http_compare, captive_portal]


def _path_tools(policy: ProbePolicy, run: Run) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=120)
    async def traceroute(host: Host, max_hops: Annotated[int, Meta(ge=1, le=30)] = 15) -> Trace:
        """Trace the way to a host, hop by hop.

        Args:
            max_hops: How far to look.
        """
        return await trace_route(host, max_hops, policy, run=run)

    @tool(effect="idempotent", timeout_s=5)
    def network_routes() -> RouteReport:
        """Read this machine's routes, default gateways and network cards: state, MTU, addresses, errors and drops."""
        return read_routes()

    @tool(effect="idempotent", timeout_s=8)
    async def route_to(host: Host) -> PathReport:
        """Find which way packets to a host would leave this machine, and how large they may be; nothing is sent."""
        return await find_path(host, policy)

    return [traceroute, network_routes, route_to]
