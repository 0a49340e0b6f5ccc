"""A small proxy before several replicas, and callers who send it requests without waiting for each other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
from aiohttp import web
from yarl import URL

LOOK_S = 0.05
"""How often the proxy asks each replica whether it is ready."""
PATIENCE_S = 60


class Proxy:
    """Sends each request to a replica that is ready, and to another one only if it could not be sent at all."""

    def __init__(self) -> None:
        self.url = ""
        self.replicas: dict[str, str] = {}
        """By name, where each is."""
        self.ready: dict[str, bool] = {}
        self._turns = count()
        self._http: aiohttp.ClientSession

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        for url in self._choose():
            place = URL(f"{url}{request.raw_path}", encoded=True)
            try:
                async with self._http.request(request.method, place, data=body, headers=headers) as answer:
                    kind = answer.headers.get("Content-Type", "")
                    data = await answer.read()
                    return web.Response(status=answer.status, body=data, headers={"Content-Type": kind})
            except aiohttp.ClientConnectorError:
                continue  # it was never sent
        return web.Response(status=502, text="no replica took it")

    def _choose(self) -> Iterator[str]:
        names = [name for name, is_ready in self.ready.items() if is_ready] or list(self.replicas)
        start = next(self._turns)
        for number in range(len(names)):
            yield self.replicas[names[(start + number) % len(names)]]

    async def look(self) -> None:
        """Take replicas out while they are not ready, for ever."""
        while True:
            for name, url in list(self.replicas.items()):
                try:
                    async with self._http.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(total=1.0)) as answer:
                        self.ready[name] = answer.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    self.ready[name] = False
            await asyncio.sleep(LOOK_S)

    async def until(self, name: str, *, is_ready: bool) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.ready.get(name, False) is not is_ready:
                await asyncio.sleep(LOOK_S)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Proxy]:
        """Listen while a block lasts."""
        app = web.Application(client_max_size=1 << 22)
        app.router.add_route("*", "/{path:.*}", self.pass_on)
        runner = web.AppRunner(app, access_log=None)
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        async with aiohttp.ClientSession(connector=connector) as self._http, asyncio.TaskGroup() as group:
            looking = group.create_task(self.look())
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                looking.cancel()
                await runner.cleanup()


async def send_many(
    ask: Callable[[int], Awaitable[str]], *, number: int, per_second: float, done: Callable[[int], None]
) -> Counter[str]:
    """Send requests at a rate, whatever becomes of those before, and count what came of them.

    Args:
        ask: Sends one, and says what came of it.
        number: How many.
        per_second: At which rate.
        done: Told how many were begun.
    """
    found = Counter[str]()

    async def one(place: int) -> None:
        try:
            found[await ask(place)] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            found[f"{type(error).__name__}: {error}"] += 1

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for place in range(number):
            await asyncio.sleep(max(0.0, began + place / per_second - loop.time()))
            group.create_task(one(place))
            done(place)
    return found
