"""What does `quorate serve` do?"""

from __future__ import annotations

import asyncio
import importlib.util
import resource
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.console import say_json_line, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Quiet
from quorate.errors import MissingExtra
from quorate.runtime import Runtime
from quorate.runtime.access import open_keys, open_tokens
from quorate.runtime.collector import calm_collector
from quorate.runtime.worker import Worker
from quorate.security.identity import Identity

if TYPE_CHECKING:
    from quorate.server.app import Server
    from quorate.server.listen import Listener

LOOK_S = 0.5
"""How often it is looked for runs that nobody works on."""
RUNS_S = 20.0
"""How long runs may end by themselves when we leave."""
DOCS = "docs/how-to/serve.md"
MOST_FILES = 65_536
"""How many open files are enough."""
SPARE_FILES = 100
"""How many of them connections do not take."""


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
    if any(importlib.util.find_spec(name) is None for name in ("litestar", "uvicorn", "websockets")):
        raise MissingExtra("the HTTP server", "server")
    from quorate.server.access import Doorkeeper, Verifier
    from quorate.server.admission import Room
    from quorate.server.app import Server
    from quorate.server.listen import check_host, open_listener
    from quorate.server.protocol import Bounds

    async def work(runtime: Runtime) -> None:
        if runtime.gateway is not None and runtime.quotas is not None:
            runtime.gateway.budgets.work_ahead(runtime.quotas.spawn)
        async with open_tokens(runtime.settings, clock=runtime.clock) as tokens:
            await listen(runtime, tokens)

    async def listen(runtime: Runtime, tokens: Verifier | None) -> None:
        runtime.find_definitions()  # what is wrong with workflow files is said now, and not to whoever asks
        chosen = runtime.settings.server
        is_open = open_to_all or chosen.open
        address = check_host(host or chosen.host, is_open=is_open)
        anybody = Identity(tenant=runtime.tenant, principal="local", role="operator") if is_open else None
        keys = open_keys(runtime)
        server = Server(
            runtime,
            Doorkeeper(keys, tokens=tokens, anybody=anybody),
            works=chosen.works,
            origins=chosen.origins,
            hosts=chosen.hosts,
        )
        bounds = Bounds(peer=chosen.connections, total=max(raise_file_limit() - SPARE_FILES, SPARE_FILES))
        memory = None if chosen.memory_mb is None else chosen.memory_mb * 1_000_000
        room = Room(most=chosen.requests, memory_bytes=memory)
        wanted = chosen.port if port is None else port
        async with open_listener(server, host=address, port=wanted, bounds=bounds, room=room) as (listener, bound):
            url = f"http://{f'[{address}]' if ':' in address else address}:{bound}"
            if json:
                say_json_line({"url": url, "schema": f"{url}/schema/openapi.json", "open": is_open})
            elif not quiet:
                _greet(url, is_open=is_open, has_keys=await _has_keys(runtime))
            with calm_collector():
                await (_work_until(server, listener, runtime) if chosen.works else listener.ended.wait())

    run_with_runtime(work, counts=True)


async def _work_until(server: Server, listener: Listener, runtime: Runtime) -> None:
    """Go on with what others left, too, until we leave; then let runs end, and hand over those that do not."""
    runtime.hands_over = True
    courier = runtime.courier
    sleep = asyncio.sleep if courier is None else courier.wait
    worker = Worker(runtime, sleep=sleep, poll_s=LOOK_S, grace_s=RUNS_S)
    async with asyncio.TaskGroup() as group:
        working = group.create_task(worker.run())
        await server.draining.wait()
        worker.stop()
        await listener.ended.wait()
        if not listener.force_exit and await runtime.drain(timeout_s=RUNS_S):
            tell("Some runs go on elsewhere, or when Quorate is started again.")
        working.cancel()


def raise_file_limit() -> int:
    """Let this process have as many open files as it may, each connection being one, and return how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems allow less than they say
        return soft
    return wanted


async def _has_keys(runtime: Runtime) -> bool:
    async for _ in open_keys(runtime).list_keys(tenant=runtime.tenant):
        return True
    return False


def _greet(url: str, *, is_open: bool, has_keys: bool) -> None:
    """Say where we are, how to get in, and what to try first."""
    tell(f"Quorate answers at {url}   (Ctrl-C stops it)")
    tell(f"  Docs:    {DOCS}; the API describes itself at {url}/schema/openapi.json")
    if is_open:
        tell("  Key:     nobody is asked for one")
    else:
        tell(f"  Key:     export KEY=$(quorate keys create){'' if has_keys else '     (there is none yet)'}")
    header = "" if is_open else '-H "Authorization: Bearer $KEY" '
    task = '{"task": "why is this machine slow?"}'
    tell(f"  Try:     curl {header}-H 'Content-Type: application/json' \\")
    tell(f"             -d '{task}' '{url}/v1/runs?wait=30'")
    tell("  Follow:  the same with -N -H 'Accept: text/event-stream', without ?wait=30")
    tell(f"  OpenAI:  the same agents are models at {url}/openai/v1")
