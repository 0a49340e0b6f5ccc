"""The tools are offered under their names, with schemas, bounds and a policy."""

import asyncio

import pytest

from quorate.tools.builtin.net import net_tools
from quorate.tools.targets import ProbePolicy, TargetBlocked

NAMES = {
    *("ping", "dns_lookup", "tcp_connect", "tls_certificate", "http_timing", "http_compare", "captive_portal"),
    *("traceroute", "network_routes", "route_to"),
}


def test_every_tool_says_what_it_takes_and_ends() -> None:
    """All are idempotent, bounded in time, described, and have a schema for what they take."""
    tools = net_tools()
    assert {tool.name for tool in tools} == NAMES
    for tool in tools:
        spec = tool.spec
        assert spec.effect == "idempotent"
        assert 0 < spec.timeout_s <= 120
        assert spec.description
        for name, property_ in spec.parameters.get("properties", {}).items():  # type: ignore[attr-defined]
            assert name in ("port", "ports", "record") or property_.get("description"), (tool.name, name)


async def test_the_tools_measure_this_machine() -> None:
    """Called like functions they give facts of loopback. row: B1"""
    tools = {tool.name: tool for tool in net_tools()}
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await tools["tcp_connect"]("127.0.0.1", [port])
    assert found.open_ports == (port,)
    assert (await tools["dns_lookup"]("localhost")).status == "ok"
    assert (await tools["ping"]("127.0.0.1", 1)).reachable
    assert (await tools["route_to"]("127.0.0.1")).status == "ok"
    assert (await tools["traceroute"]("127.0.0.1", 3)).reached
    assert (await tools["http_timing"](f"http://127.0.0.1:{port}/")).status == "refused"
    assert (await tools["http_compare"](f"http://127.0.0.1:{port}", ["/"])).failing_paths == ("/",)
    assert (await tools["captive_portal"](f"http://127.0.0.1:{port}/")).verdict == "no_answer"
    assert (await tools["tls_certificate"]("127.0.0.1", port)).status == "refused"
    assert tools["network_routes"]().status == "ok"


@pytest.mark.parametrize("name", ["ping", "tcp_connect", "tls_certificate", "traceroute", "route_to"])
async def test_the_policy_reaches_every_tool(name: str) -> None:
    tools = {tool.name: tool for tool in net_tools(ProbePolicy.served())}
    arguments = ([80],) if name == "tcp_connect" else ()
    with pytest.raises(TargetBlocked):
        await tools[name]("127.0.0.1", *arguments)
