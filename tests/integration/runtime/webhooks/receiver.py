"""An endpoint on loopback that keeps what it is sent, and answers as it is told to."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import msgspec
from aiohttp import web

from quorate.security.secrets import Secret
from quorate.security.webhooks import verify_webhook

WAIT_S = 100.0


@dataclass
class Got:
    """A webhook that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])

    @property
    def kind(self) -> str:
        return str(self.told["type"])

    @property
    def data(self) -> dict[str, object]:
        found = self.told["data"]
        assert isinstance(found, dict)
        return cast("dict[str, object]", found)

    def verify(self, *secrets: Secret, now: float) -> str:
        return verify_webhook(self.headers, self.body, secrets=secrets, now=now)


@dataclass
class Receiver:
    """Answers with the next status, or the last one for ever; `headers` go with each answer."""

    statuses: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    got: list[Got] = field(default_factory=list[Got])
    url: str = ""
    at_once: int = 0
    most_at_once: int = 0
    hold: asyncio.Event | None = None
    """With one, nothing is answered before it is set."""

    def answer(self, *statuses: int) -> None:
        self.statuses = list(statuses)

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append(Got(request.path_qs, {k.lower(): v for k, v in request.headers.items()}, await request.read()))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.at_once -= 1
        status = self.statuses[0] if len(self.statuses) == 1 else self.statuses.pop(0)
        return web.Response(status=status, headers=self.headers)

    @property
    def kinds(self) -> list[str]:
        return [one.kind for one in self.got]


@asynccontextmanager
async def open_receiver() -> AsyncGenerator[Receiver]:
    """Listen until the end of the block."""
    receiver = Receiver()
    app = web.Application(client_max_size=1 << 22)
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    try:
        yield receiver
    finally:
        if receiver.hold is not None:
            receiver.hold.set()
        await runner.cleanup()


async def wait_until(is_so: Callable[[], bool], *, what: Callable[[], object] = lambda: "") -> None:
    """Wait for something that comes by itself."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"it did not come: {what()}") from None


def ids(got: Iterable[Got]) -> list[str]:
    return [one.id for one in got]
