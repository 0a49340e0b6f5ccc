"""What do these tests run on? A database of either kind with an outbox, a clock they move, and a real endpoint."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from tests.integration.runtime.webhooks.receiver import Receiver, open_receiver

from quorate import Agent, ScriptedModel, Settings
from quorate.assembly import open_runtime
from quorate.events import AnyEvent, RunCompleted, RunCreated, RunFailed
from quorate.messages import build_user_message
from quorate.ports import Store
from quorate.runtime import Runtime
from quorate.runtime.webhooks import Carried, Webhook, WebhookCourier, WebhookPolicy, Webhooks, WebhookSink
from quorate.runtime.webhooks.backoff import POLICY
from quorate.security.secrets import Secret
from quorate.settings.values import WebhookSettings
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing import ManualClock

SETTINGS = WebhookSettings(enabled=True, allow=("loopback",))
TASK = "a task that nobody else is to read"
OUTPUT = "an answer that nobody else is to read"


@dataclass
class World:
    """A runtime with webhooks, and what becomes of them."""

    runtime: Runtime
    clock: ManualClock
    receiver: Receiver
    carried: list[Carried] = field(default_factory=list[Carried])
    policy: WebhookPolicy = POLICY

    def __post_init__(self) -> None:
        self.webhooks = Webhooks(self.runtime, policy=self.policy)
        self.sink = WebhookSink(self.runtime.store, clock=self.clock)
        self.courier = self.build_courier()

    def build_courier(self, **options: object) -> WebhookCourier:
        given = {"policy": self.policy, "tell": self.carried.append, "random": lambda: 0.0, **options}
        return WebhookCourier(self.runtime, **given)  # pyright: ignore[reportArgumentType]

    async def add(self, id: str = "hook", **facts: object) -> Secret:
        webhook = Webhook(**{"id": id, "url": self.receiver.url, **facts})  # pyright: ignore[reportArgumentType]
        return (await self.webhooks.add(webhook))[1]

    async def record(self, run: str, *, end: str = "completed", agent: str = "clerk", tenant: str = "default") -> None:
        """Record a run from its beginning to its end."""
        created = RunCreated(
            run=run, seq=1, time=self.clock.now(), agent=agent, tenant=tenant, messages=(build_user_message(TASK),)
        )
        ending: AnyEvent = RunCompleted(run=run, seq=2, time=self.clock.now(), output=OUTPUT)
        if end == "failed":
            ending = RunFailed(run=run, seq=2, time=self.clock.now(), code="tool_error", message=OUTPUT)
        await self.runtime.store.log.append(run, [created, ending], expected=0)

    async def tell(self) -> None:
        """Give the sink what the outbox has, as a relay does."""
        while notices := await self.runtime.store.outbox.pending():
            await self.sink.take(notices)
            await self.runtime.store.outbox.done([notice.id for notice in notices])

    async def deliver(self) -> None:
        """Tell what the outbox has, and deliver what is due."""
        await self.tell()
        await self.courier.deliver_due()

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.deliver()

    async def statuses(self, id: str = "hook") -> list[tuple[str, str, int]]:
        return [(row.id, row.status, row.attempts) for row in await self.webhooks.list_deliveries(id)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as opened:
        yield opened


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: object) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield await stack.enter_async_context(open_memory_store(clock=clock, outbox=True))
        else:
            opened = open_sqlite_store(f"{tmp_path}/quorate.db", clock=clock, outbox=True)
            yield await stack.enter_async_context(opened)


@pytest.fixture
def settings() -> Settings:
    return Settings(webhooks=SETTINGS)


@pytest.fixture
async def world(store: Store, clock: ManualClock, receiver: Receiver, settings: Settings) -> AsyncIterator[World]:
    clerk = Agent("clerk", model=ScriptedModel([OUTPUT]))
    async with open_runtime(settings, store=store, clock=clock, agents=[clerk]) as runtime:
        yield World(runtime, clock, receiver)
