"""What does `quorate serve` do?"""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from quorate.cli.console import say_json_line, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Quiet
from quorate.errors import MissingExtra
from quorate.runtime import Runtime
from quorate.runtime.access import open_keys
from quorate.runtime.collector import calm_collector
from quorate.security.identity import Identity


def add_commands(app: typer.Typer) -> None:
    """Add `serve`."""
    app.command("serve")(serve)


def serve(
    *,
    host: Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="At which address to listen.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=0, max=65_535, help="At which port; 0 for any that is free.")
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Let in requests without a key, as an operator; on loopback only.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer requests over HTTP until stopped.

    SIGTERM says at `/readyz` that no more should come, takes requests for five more seconds, ends those under way and
    leaves; Ctrl-C does so without the five seconds. A second one leaves at once.
    """
    if importlib.util.find_spec("litestar") is None or importlib.util.find_spec("uvicorn") is None:
        raise MissingExtra("the HTTP server", "server")
    from quorate.server.access import Doorkeeper
    from quorate.server.app import Server
    from quorate.server.listen import check_host, open_listener
    from quorate.server.protocol import Bounds

    async def work(runtime: Runtime) -> None:
        chosen = runtime.settings.server
        is_open = open_to_all or chosen.open
        address = check_host(host or chosen.host, is_open=is_open)
        anybody = Identity(tenant=runtime.tenant, principal="local", role="operator") if is_open else None
        keys = open_keys(runtime)
        server = Server(
            runtime,
            Doorkeeper(keys, anybody=anybody),
            works=chosen.works,
            origins=chosen.origins,
            hosts=chosen.hosts,
        )
        bounds = Bounds(peer=chosen.connections)
        wanted = chosen.port if port is None else port
        async with open_listener(server, host=address, port=wanted, bounds=bounds) as (listener, bound):
            url = f"http://{f'[{address}]' if ':' in address else address}:{bound}"
            if json:
                say_json_line({"url": url, "schema": f"{url}/schema/openapi.json", "open": is_open})
            elif not quiet:
                _greet(url, is_open=is_open, has_keys=await _has_keys(runtime))
            with calm_collector():
                await listener.ended.wait()

    run_with_runtime(work)


async def _has_keys(runtime: Runtime) -> bool:
    async for _ in open_keys(runtime).list_keys(tenant=runtime.tenant):
        return True
    return False


def _greet(url: str, *, is_open: bool, has_keys: bool) -> None:
    """Say where we are, how to get in, and what to try first."""
    tell(f"Quorate answers at {url}   (Ctrl-C stops it)")
    tell(f"  What there is:  {url}/schema/openapi.json")
    if is_open:
        tell("  Nobody is asked for a key.")
    elif not has_keys:
        tell("  There is no key yet. Make one:  quorate keys create --role admin")
    header = "" if is_open else '-H "Authorization: Bearer $KEY" '
    task = '{"task": "why is this machine slow?"}'
    tell(f"  Try:  curl {header}-H 'Content-Type: application/json' \\")
    tell(f"          -d '{task}' '{url}/v1/runs?wait=30'")
