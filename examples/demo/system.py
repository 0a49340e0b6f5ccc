"""What is the faulty system of the demo, and how is it started, used and stopped?

`python system.py LOG BACKEND_PORT` is the system itself: a web shop on loopback, quick on `/` and slow on `/report`,
which fails on `/checkout` because the payment backend it needs refuses connections. It says its port on its standard
output, logs to a file, and ends when its standard input does, so it cannot outlive the demo.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

SLOW_S = 1.3
START_S = 15.0
STOP_S = 3.0
log = logging.getLogger("shop")


@dataclass(frozen=True)
class System:
    """A faulty system that runs."""

    url: str
    backend_port: int
    log: Path
    pid: int

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    @property
    def slow_url(self) -> str:
        """The page that takes its time."""
        return f"{self.url}/report"

    @property
    def backend(self) -> str:
        """Where nobody listens."""
        return f"127.0.0.1:{self.backend_port}"

    def count_errors(self) -> int:
        """How many ERROR lines the log has now."""
        return self.log.read_text(encoding="utf-8").count(" ERROR ")


@contextlib.asynccontextmanager
async def open_system(folder: Path) -> AsyncIterator[System]:
    """Start the system in a process of its own, and stop it on every way out."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: the port is ours, and refuses connections
        port: int = closed.getsockname()[1]
        path = folder / "shop.log"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, str(path), str(port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_S):
                said = await process.stdout.readline()
            if not said.strip():
                raise RuntimeError("The faulty system did not start; what it wrote is above.")
            url = f"http://127.0.0.1:{int(said)}"
            yield System(url=url, backend_port=port, log=path, pid=process.pid)
        finally:
            await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def use(system: System) -> dict[str, int]:
    """Be its customers for a moment; return how often each page answered with which status."""
    seen: dict[str, int] = {}
    pages = ["/"] * 24 + ["/report"] * 2 + ["/checkout"] * 6

    async def visit(client: aiohttp.ClientSession, page: str) -> None:
        async with client.get(system.url + page) as answer:
            await answer.read()
            seen[f"{page} {answer.status}"] = seen.get(f"{page} {answer.status}", 0) + 1

    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as client, asyncio.TaskGroup() as group:
        for page in pages:
            group.create_task(visit(client, page))
    return seen


async def serve(path: Path, backend_port: int) -> None:
    """Be the system until the standard input ends."""
    line = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(filename=path, level=logging.INFO, format=line, datefmt="%Y-%m-%d %H:%M:%S")
    app = web.Application()
    app.add_routes([web.get("/", show_home), web.get("/report", show_report), web.get("/checkout", check_out)])
    app[BACKEND] = backend_port
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    log.info("listening on %s", runner.addresses[0])
    print(runner.addresses[0][1], flush=True)
    try:
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await runner.cleanup()


BACKEND = web.AppKey("backend", int)


async def show_home(request: web.Request) -> web.Response:
    """The quick page."""
    log.info("GET / 200")
    return web.Response(text="Welcome to the shop.\n")


async def show_report(request: web.Request) -> web.Response:
    """The slow page: it asks for every order one by one."""
    for _ in range(26):
        await asyncio.sleep(SLOW_S / 26)
    log.warning("GET /report 200 took 26 queries")
    return web.Response(text="26 orders\n")


async def check_out(request: web.Request) -> web.Response:
    """The page that needs the backend."""
    try:
        await pay(request.app[BACKEND])
    except OSError:
        log.exception("GET /checkout 502 payment backend 127.0.0.1:%d unreachable", request.app[BACKEND])
        return web.Response(status=502, text="Payment is not possible now.\n")
    return web.Response(text="Paid.\n")


async def pay(port: int) -> None:
    """Ask the payment backend, which is not there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        raise ConnectionRefusedError(f"payment backend 127.0.0.1:{port}: {error.strerror}") from None
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
