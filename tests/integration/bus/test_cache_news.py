"""Does every process forget a kept answer at once when one of them says so, over a bus that may be away meanwhile?"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from quorate.bus.backends.local import open_local_bus
from quorate.bus.backends.nats import NatsPatience, open_nats_bus
from quorate.bus.events import Events, build_event_rules
from quorate.errors import QuorateError
from quorate.messages import build_user_message
from quorate.models.cache.caches import Caches
from quorate.models.cache.rule import Invalidation
from quorate.models.gateway import Gateway
from quorate.models.plan import CachePlan, GatewayPlan
from quorate.ports import Model
from quorate.ports.bus import Bus
from quorate.runtime.cache_news import KIND, CacheNews, obeying
from quorate.specs import Caller, ModelSettings, Request
from quorate.testing.nats_server import NatsServer, open_nats_server
from quorate.testing.provider_server import Answer, ProviderServer, provider_server

RULES = build_event_rules("acme")
PATIENCE_S = 60.0
SMALL, LARGE = "openai:gpt-4.1-mini", "openai:gpt-4.1"


def build_request(tenant: str) -> Request:
    return Request(
        messages=(build_user_message("What is a quorum?"),),
        settings=ModelSettings(temperature=0),
        caller=Caller(tenant=tenant, principal="ada"),
    )


class Process:
    """A gateway with a cache in its own memory, as another process would have."""

    def __init__(self, gateway: Gateway, news: CacheNews) -> None:
        self.gateway = gateway
        self.news = news

    async def ask(self, model: str = SMALL, tenant: str = "acme") -> bool:
        """Ask, and say whether the answer was kept."""
        found: Model = self.gateway.find_model(model)
        return (await found.complete(build_request(tenant))).cached

    async def wait_obeyed(self, count: int) -> None:
        """Wait until so many times something was forgotten."""
        async with asyncio.timeout(PATIENCE_S):
            while self.news.obeyed < count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def open_process(provider: ProviderServer, bus: Bus) -> AsyncGenerator[Process]:
    credentials = {"OPENAI_API_KEY": "a-key", "OPENAI_BASE_URL": provider.url}
    plan = GatewayPlan(cache=CachePlan(tags=("manual",)))
    async with (
        Gateway(plan, credentials=credentials.get) as gateway,
        obeying(gateway.caches, Events(bus, tenant="acme")) as news,
    ):
        yield Process(gateway, news)


@pytest.fixture(params=["local", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncGenerator[Bus]:
    if request.param == "local":
        async with open_local_bus("acme", streams=RULES) as local:
            yield local
    else:
        with open_nats_server() as server:
            async with open_nats_bus(server.url, tenant="acme", streams=RULES) as nats:
                yield nats


async def test_what_one_says_is_forgotten_in_all(bus: Bus) -> None:
    """By tenant, by model and how models begin, by tag, or everything; what is not meant stays."""
    async with provider_server(["Enough members."] * 40) as provider, AsyncExitStack() as stack:
        first, second, third = [await stack.enter_async_context(open_process(provider, bus)) for _ in range(3)]
        cases: list[tuple[Invalidation, list[tuple[str, str]]]] = [
            (Invalidation(tenant="acme"), [(SMALL, "other"), (LARGE, "other")]),
            (Invalidation(model=LARGE), [(SMALL, "acme"), (SMALL, "other")]),
            (
                Invalidation(model="openai:gpt-4.1-*", tenant="other"),
                [(SMALL, "acme"), (LARGE, "acme"), (LARGE, "other")],
            ),
            (Invalidation(tag="none"), [(model, tenant) for model in (SMALL, LARGE) for tenant in ("acme", "other")]),
            (Invalidation(tag="manual"), []),
            (Invalidation(), []),
        ]
        for number, (which, kept) in enumerate(cases, 1):
            everybody = [(model, tenant) for model in (SMALL, LARGE) for tenant in ("acme", "other")]
            for process in (second, third):
                for model, tenant in everybody:
                    await process.ask(model, tenant)
                    assert await process.ask(model, tenant)
            await first.gateway.caches.invalidate(which)
            for process in (second, third):
                await process.wait_obeyed(number)
                found = [(model, tenant) for model, tenant in everybody if await process.ask(model, tenant)]
                assert sorted(found) == sorted(kept), which


async def test_an_answer_that_is_under_way_meanwhile_is_not_kept(bus: Bus) -> None:
    """It was asked before, so it may be what was to be forgotten."""
    async with (
        provider_server([Answer(text="Enough members.", delay_s=0.3)] * 4) as provider,
        AsyncExitStack() as stack,
    ):
        first, second = [await stack.enter_async_context(open_process(provider, bus)) for _ in range(2)]
        under_way = asyncio.create_task(second.ask())
        async with asyncio.timeout(PATIENCE_S):
            while not provider.requests:
                await asyncio.sleep(0.001)
        await first.gateway.caches.invalidate(Invalidation())
        await second.wait_obeyed(1)
        assert not await under_way
        assert not await second.ask()
        assert await second.ask()


async def test_words_of_a_newer_version_forget_everything(bus: Bus) -> None:
    """What cannot be understood is taken for the most that it can mean."""
    async with provider_server(["Enough members."] * 4) as provider, open_process(provider, bus) as process:
        await process.ask()
        await Events(bus, tenant="acme").publish(KIND, ["what?"], kept=True)
        await process.wait_obeyed(1)
        assert not await process.ask()


async def test_a_clock_that_is_ahead_elsewhere_makes_nobody_deaf() -> None:
    """What is said after that, and before the next connection, is heard all the same."""
    caches = Caches()
    async with open_local_bus("acme", streams=RULES) as bus:
        events = Events(bus, tenant="acme")
        news = CacheNews(caches, events)
        await events.publish(KIND, Invalidation(), kept=True, time=1e12)
        for count in (1, 3):
            listening = asyncio.create_task(news.listen())
            async with asyncio.timeout(PATIENCE_S):
                while news.obeyed < count:
                    await asyncio.sleep(0.005)
            listening.cancel()
            await asyncio.wait({listening})
            await events.publish(KIND, Invalidation(model=LARGE), kept=True)


async def test_a_process_that_lost_the_bus_forgets_when_it_is_back() -> None:
    """Whoever says it while the broker is away is told that nobody heard; what was said meanwhile over a broker that
    one did not reach is obeyed afterwards."""
    with open_nats_server() as server:
        short = NatsPatience(request_s=3)
        async with (
            provider_server(["Enough members."] * 8) as provider,
            open_nats_bus(server.url, tenant="acme", streams=RULES, patience=short) as bus,
            open_process(provider, bus) as first,
            open_process(provider, bus) as second,
        ):
            await second.ask()
            await first.gateway.caches.invalidate(Invalidation(model=LARGE))
            await second.wait_obeyed(1)
            assert await second.ask()
            await asyncio.to_thread(server.kill)
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(QuorateError):
                    await first.gateway.caches.invalidate(Invalidation())
            assert await second.ask()
            await asyncio.to_thread(server.start)
            await tell_elsewhere(server)
            await second.wait_obeyed(2)
            assert not await second.ask()


async def tell_elsewhere(server: NatsServer) -> None:
    """Say that everything is to be forgotten, over a connection of one's own."""
    async with open_nats_bus(server.url, tenant="acme", streams=RULES) as bus:
        await Events(bus, tenant="acme").publish(KIND, Invalidation(), kept=True)
