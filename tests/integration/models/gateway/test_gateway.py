"""Does a whole gateway hold together over real sockets?"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest

from quorate.errors import (
    BudgetExceeded,
    QuorateError,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UnknownName,
    UpstreamError,
)
from quorate.messages import Reply, ReplyDone, StreamItem, TextDelta, build_user_message
from quorate.models.batching import BatchRule
from quorate.models.bounded import BulkheadRule
from quorate.models.breaking import BreakerPolicy
from quorate.models.deadlines import Timeouts
from quorate.models.gateway import MAX_MODELS, Gateway, GatewayParts
from quorate.models.health import ProbeRule
from quorate.models.hedged import HedgeRule
from quorate.models.observed import CallRecord
from quorate.models.plan import CachePlan, GatewayPlan
from quorate.models.pooled import PoolRule
from quorate.models.retry import RetryPolicy
from quorate.models.routes import RouteRule
from quorate.models.shared import ShareRule
from quorate.ports import Model
from quorate.specs import Caller, EmbedRequest, Request
from quorate.testing.provider_server import Answer, ProviderServer, Script, Sent, provider_server

KEYS = {"OPENAI_API_KEY": "key-1", "KEY_2": "key-2", "KEY_3": "key-3", "GROQ_API_KEY": "groq"}
QUICK = RetryPolicy(base_s=0.01, cap_s=0.01)
MODEL = "openai:gpt-5.2"
CHAIN = RouteRule(name="chain", models=("openai:gpt-5.2", "groq:llama"))


def ask(text: str = "Hi", **caller: str | float) -> Request:
    return Request(messages=(build_user_message(text),), caller=Caller(**caller))  # type: ignore[arg-type]


async def read(model: Model, request: Request) -> tuple[str, Reply]:
    items: list[StreamItem] = [item async for item in model.stream(request)]
    done = items[-1]
    assert isinstance(done, ReplyDone)
    return "".join(item.text for item in items if isinstance(item, TextDelta)), done.reply


@asynccontextmanager
async def serve(
    script: Script, plan: GatewayPlan | None = None, *, parts: GatewayParts | None = None, groq: str = "", **more: str
) -> AsyncGenerator[tuple[ProviderServer, Gateway]]:
    async with provider_server(script) as server:
        urls = {"openai": server.url, "groq": groq or server.url, **more}
        plan = plan or GatewayPlan(retry=QUICK)
        async with Gateway(plan, credentials=KEYS.get, base_urls=urls, parts=parts) as gateway:
            yield server, gateway


def by_key(answers: Mapping[str, Answer | str]) -> Callable[[Sent], Answer | str]:
    return lambda sent: answers[sent.headers["authorization"].removeprefix("Bearer ")]


async def test_five_equal_calls_at_once_are_one_upstream_call() -> None:
    """N concurrent equal calls are 1 upstream; the next one, streams and other people's are made by themselves. row: A11"""
    async with serve(lambda _: Answer(text="Hello.", delay_s=0.1)) as (server, gateway):
        model = gateway.find_model(MODEL)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(model.complete(ask(run=f"r{number}"))) for number in range(5)]
            other = group.create_task(model.complete(ask(tenant="other")))
        assert len(server.requests) == 2
        assert {task.result().message.text for task in (*tasks, other)} == {"Hello."}
        assert sum(task.result().usage.requests for task in tasks) == 1
        await model.complete(ask())
        await read(model, ask())
        assert len(server.requests) == 4


async def test_shared_streams_are_one_upstream_call() -> None:
    plan = GatewayPlan(share=ShareRule(streams=True))
    async with serve(lambda _: Answer(text="Hello, world.", pause_s=0.02), plan) as (server, gateway):
        model = gateway.find_model(MODEL)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(model, ask())) for _ in range(5)]
        assert {task.result()[0] for task in tasks} == {"Hello, world."}
        assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_a_dead_provider_is_hidden_by_one_that_lives(how: str) -> None:
    """Under load, from one moment to the next: every call is answered. row: B9"""
    left = 300

    def answer(_: Sent) -> Answer:
        nonlocal left
        left -= 1
        return Answer(text="one", delay_s=0.01) if left >= 0 else Answer(status=500, delay_s=0.01)

    async with provider_server(lambda _: Answer(text="two", delay_s=0.01)) as second:
        plan = GatewayPlan(retry=QUICK, routes=(CHAIN,), share=None, breaker=BreakerPolicy(open_s=600))
        async with serve(answer, plan, groq=second.url) as (first, gateway):
            model = gateway.find_model("chain")
            answered: list[str] = []

            async def call() -> None:
                reply = await model.complete(ask()) if how == "complete" else (await read(model, ask()))[1]
                assert reply.route is not None
                answered.append(reply.message.text)

            async def work() -> None:
                for _ in range(25):
                    await call()

            async with asyncio.TaskGroup() as group:
                for _ in range(40):
                    group.create_task(work())
            health = {one.model: one for one in gateway.health()}
    assert len(answered) == 1000
    assert set(answered) == {"one", "two"}
    assert health["openai:gpt-5.2"].state == "down"
    assert health["groq:llama"].state == "well"
    assert len(first.requests) + len(second.requests) <= 1.2 * 1000


async def test_a_provider_that_hangs_up_or_cannot_be_reached_is_left_too() -> None:
    async with provider_server(["two"]) as second:
        plan = GatewayPlan(retry=QUICK, routes=(CHAIN,))
        async with serve([], plan, groq=second.url) as (first, gateway):
            first_url = first.url
            gateway._base_urls = {"openai": "http://127.0.0.1:9/v1", "groq": second.url}
            reply = await gateway.find_model("chain").complete(ask())
    assert first_url
    assert reply.message.text == "two"
    assert reply.route is not None
    assert reply.route.tried == ("openai:gpt-5.2 upstream_error",)


async def test_the_wish_of_one_provider_to_wait_is_another_one_s_call() -> None:
    """And the first one is left in peace for as long as it asked."""
    async with provider_server(lambda _: "two") as second:
        plan = GatewayPlan(retry=QUICK, routes=(CHAIN,))
        limit = Answer(status=429, code="rate_limit_exceeded", headers={"Retry-After": "60"})
        async with serve(lambda _: limit, plan, groq=second.url) as (first, gateway):
            model = gateway.find_model("chain")
            texts = [(await model.complete(ask(str(number)))).message.text for number in range(10)]
    assert texts == ["two"] * 10
    assert len(first.requests) == 1


async def test_credentials_of_a_pool_take_turns_and_cover_for_each_other() -> None:
    plan = GatewayPlan(
        retry=QUICK, pools=(PoolRule(provider="openai", keys=("OPENAI_API_KEY", "KEY_2", "KEY_3", "NOT_SET")),)
    )
    limit = Answer(status=429, code="rate_limit_exceeded", headers={"Retry-After": "60"})
    answers = {"key-1": "one", "key-2": limit, "key-3": Answer(status=401, code="invalid_api_key")}
    async with serve(by_key(answers), plan) as (server, gateway):
        model = gateway.find_model(MODEL)
        for number in range(12):
            assert (await model.complete(ask(str(number)))).message.text == "one"
        (report,) = gateway.health()
    assert len(server.requests) == 14
    states = {one.name: (one.state, one.note) for one in report.credentials}
    assert states == {
        "OPENAI_API_KEY": ("ready", ""),
        "KEY_2": ("cooling", "rate limited"),
        "KEY_3": ("refused", "refused: check the credential"),
        "NOT_SET": ("refused", "refused: check the credential"),
    }
    assert "key-" not in repr(report)


async def test_when_all_credentials_rest_the_caller_hears_how_long() -> None:
    plan = GatewayPlan(retry=RetryPolicy(attempts=1), pools=(PoolRule(provider="openai", keys=("KEY_2", "KEY_3")),))
    answers = {
        f"key-{number}": Answer(status=429, code="rate_limit_exceeded", headers={"Retry-After": f"{wait}"})
        for number, wait in ((2, 90), (3, 30))
    }
    async with serve(by_key(answers), plan) as (server, gateway):
        for _ in range(3):
            with pytest.raises(RateLimited, match="All its 2 credentials rest") as caught:
                await gateway.find_model(MODEL).complete(ask())
            assert caught.value.retry_after_s is not None
            assert 0 < caught.value.retry_after_s <= 30
    assert len(server.requests) == 2


async def test_an_open_breaker_calls_nobody_and_can_be_moved_by_hand() -> None:
    plan = GatewayPlan(retry=RetryPolicy(attempts=1), breaker=BreakerPolicy(open_s=600))
    is_alive = False
    async with serve(lambda _: "yes" if is_alive else Answer(status=503), plan) as (server, gateway):
        model = gateway.find_model(MODEL)
        for _ in range(20):
            with pytest.raises((UpstreamError, Unavailable)):
                await model.complete(ask())
        assert len(server.requests) == 5
        is_alive = True
        gateway.close_breaker(MODEL)
        assert (await model.complete(ask())).message.text == "yes"
        gateway.hold_open(MODEL)
        with pytest.raises(Unavailable, match="by hand"):
            await model.complete(ask())
        assert gateway.health()[0].state == "down"
        with pytest.raises(UnknownName, match=r"openai:gpt-5\.2"):
            gateway.hold_open("openai:other")


async def test_a_total_failure_sees_hardly_more_attempts_than_requests() -> None:
    """Two providers, two credentials, all dead, a hundred calls at a time. row: C5"""
    plan = GatewayPlan(
        retry=QUICK,
        routes=(CHAIN,),
        share=None,
        pools=(PoolRule(provider="openai", keys=("OPENAI_API_KEY", "KEY_2")),),
        breaker=BreakerPolicy(open_s=600),
    )
    async with serve(lambda _: Answer(status=503, delay_s=0.02), plan) as (server, gateway):
        model = gateway.find_model("chain")

        async def call() -> None:
            with pytest.raises(QuorateError):
                await model.complete(ask())

        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                for _ in range(100):
                    group.create_task(call())
    assert len(server.requests) <= 1.2 * 300


async def test_a_bulkhead_keeps_one_slow_model_from_the_others() -> None:
    plan = GatewayPlan(bulkheads=(BulkheadRule(model=MODEL, max_in_flight=2, max_waiting=1),), share=None)
    slow_calls = 0

    def answer(sent: Sent) -> Answer:
        nonlocal slow_calls
        slow_calls += sent.body["model"] == "gpt-5.2"
        return Answer(text="x", delay_s=600 if sent.body["model"] == "gpt-5.2" and slow_calls <= 2 else 0)

    async with serve(answer, plan) as (server, gateway):
        slow, quick = gateway.find_model(MODEL), gateway.find_model("openai:gpt-5-mini")
        async with asyncio.TaskGroup() as group, asyncio.timeout(60):
            first, second, third = [group.create_task(slow.complete(ask())) for _ in range(3)]
            while slow_calls < 2 or next((one.in_flight, one.waiting) for one in gateway.health()) != (2, 1):
                await asyncio.sleep(0.01)
            with pytest.raises(Unavailable, match="2 calls under way and 1 waiting"):
                await slow.complete(ask())
            assert (await quick.complete(ask())).message.text == "x"
            assert slow_calls == 2
            first.cancel()
            assert (await third).message.text == "x"
            second.cancel()
    assert len(server.requests) == 4


async def test_a_slow_call_is_hedged() -> None:
    answers = [Answer(text="slow", delay_s=600), Answer(text="quick")]
    plan = GatewayPlan(hedge=HedgeRule(delay_s=0.1))
    async with serve(answers, plan) as (server, gateway):
        reply = await gateway.find_model(MODEL).complete(ask())
        assert reply.message.text == "quick"
        assert (reply.attempts, reply.usage.requests, reply.estimated) == (2, 2, True)
        async with asyncio.timeout(30):
            await server.wait_dropped()


async def test_a_model_that_nobody_calls_is_probed_until_it_is_well() -> None:
    plan = GatewayPlan(
        retry=RetryPolicy(attempts=1), breaker=BreakerPolicy(failures=1, open_s=0.05), probe=ProbeRule(every_s=1)
    )
    left = 1

    def answer(_: Sent) -> Answer | str:
        nonlocal left
        left -= 1
        return "OK" if left < 0 else Answer(status=500)

    async with serve(answer, plan) as (server, gateway):
        with pytest.raises(UpstreamError):
            await gateway.find_model(MODEL).complete(ask())
        async with asyncio.timeout(30):
            while gateway.health()[0].credentials[0].breaker.state != "closed":  # type: ignore[union-attr]
                await asyncio.sleep(0.05)
    assert len(server.requests) >= 3


async def test_listeners_hear_of_every_call_however_it_ends() -> None:
    """A client that leaves stops the spending at once, and what it used is booked."""
    heard: list[CallRecord] = []
    script = ["one", Answer(text="x" * 100_000, pause_s=0.02), Answer(status=400, code="bad")]
    async with serve(script, parts=GatewayParts(listeners=(heard.append,))) as (server, gateway):
        model = gateway.find_model(MODEL)
        await model.complete(ask(tenant="acme"))
        stream = model.stream(ask())
        for _ in range(5):
            await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            await server.wait_dropped()
        with pytest.raises(UpstreamError):
            await model.complete(ask())
    assert [one.outcome for one in heard] == ["ok", "cancelled", "upstream_error"]
    assert heard[0].caller.tenant == "acme"
    assert heard[1].usage.output_tokens == 10
    assert (heard[1].cost_usd or 0) > 0
    assert heard[2].cost_usd == 0


async def test_vectors_are_gathered_into_one_call() -> None:
    plan = GatewayPlan(batch=BatchRule(wait_s=0.5))
    async with serve(lambda _: Answer(), plan) as (server, gateway):
        embedder = gateway.find_embedder("openai:text-embedding-3-small")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(embedder.embed(EmbedRequest(texts=(f"text {n}",)))) for n in range(20)]
    assert len(server.requests) == 1
    assert all(len(task.result().vectors) == 1 for task in tasks)
    assert sum(task.result().usage.requests for task in tasks) == 1


async def test_names_are_found_by_alias_route_and_in_full() -> None:
    plan = GatewayPlan(routes=(CHAIN,), aliases={"best": "chain", "small": "openai:gpt-5-mini"})
    async with serve([], plan) as (_, gateway):
        assert gateway.find_model("best") is gateway.find_model("chain")
        assert gateway.find_model("small") is gateway.find_model("openai:gpt-5-mini")
        assert gateway.find_model("small").profile.name == "openai:gpt-5-mini"
        assert gateway.find_model("chain").profile.name == "chain"
        with pytest.raises(UnknownName, match="Did you mean `chain`"):
            gateway.find_model("chian")
        with pytest.raises(Unauthenticated, match="ANTHROPIC_API_KEY"):
            gateway.find_model("anthropic:claude-sonnet-4-5")


async def test_models_share_connections() -> None:
    """One client for all that may reach the same and wait as long."""
    async with serve(lambda _: "x", GatewayPlan(routes=(CHAIN,))) as (_, gateway):
        for name in (MODEL, "openai:gpt-5-mini", "groq:llama", "chain"):
            for number in range(3):
                await gateway.find_model(name).complete(ask(str(number)))
        clients = gateway._connections._clients
        (client,) = clients.values()
        _, session = next(iter(client._open.values()))
        assert session.connector is not None
        assert sum(map(len, session.connector._conns.values())) == 1  # type: ignore[attr-defined]


async def test_a_plan_s_cache_and_a_run_s_own_budget_hold() -> None:
    plan = GatewayPlan(cache=CachePlan(answers="all"))
    async with serve(lambda _: "x", plan) as (server, gateway):
        model = gateway.find_model(MODEL)
        assert [(await model.complete(ask())).cached for _ in range(3)] == [False, True, True]
        with pytest.raises(BudgetExceeded):
            await model.complete(ask("more", run="r1", cost_usd=0.000001))
    assert len(server.requests) == 1


async def test_a_wrong_clock_is_put_right_by_the_provider_s_own() -> None:
    """A refusal whose date is far from ours is tried once more, signed with the provider's time."""
    refusal = Answer(status=401, code="expired", headers={"Date": formatdate(time.time() + 7200, usegmt=True)})
    async with serve([refusal, "Hello."]) as (server, gateway):
        assert (await gateway.find_model(MODEL).complete(ask())).message.text == "Hello."
    assert len(server.requests) == 2
    async with serve([Answer(status=401, code="wrong"), "never"]) as (server, gateway):
        with pytest.raises(Unauthenticated):
            await gateway.find_model(MODEL).complete(ask())
    assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_a_call_cut_at_any_moment_leaves_nothing_behind(how: str) -> None:
    """No task, no place in a queue, no call counted as under way, no socket that still waits."""
    plan = GatewayPlan(
        retry=QUICK, routes=(CHAIN,), timeouts=Timeouts(), hedge=HedgeRule(delay_s=0.004), share=ShareRule(streams=True)
    )

    def answer(_: Sent) -> Answer:
        return Answer(text="Hello, world.", delay_s=0.006, pause_s=0.002, status=200)

    async with serve(answer, plan) as (server, gateway):
        model = gateway.find_model("chain")
        await (model.complete(ask("warm")) if how == "complete" else read(model, ask("warm")))
        before = asyncio.all_tasks()
        for turn in range(60):
            work = model.complete(ask(str(turn))) if how == "complete" else read(model, ask(str(turn)))
            task = asyncio.ensure_future(work)
            for _ in range(turn % 30):
                await asyncio.sleep(0)
            await asyncio.sleep(0.0005 * turn if turn > 30 else 0)
            task.cancel()
            await asyncio.wait((task,))
        async with asyncio.timeout(30):
            while any(one.in_flight or one.waiting for one in gateway.health()) or any(
                "provider_server" not in repr(one) and "web_protocol" not in repr(one)
                for one in asyncio.all_tasks() - before
            ):
                await asyncio.sleep(0.01)
        assert [(one.in_flight, one.waiting) for one in gateway.health()] == [(0, 0)] * 2
        assert all(credential.in_flight == 0 for one in gateway.health() for credential in one.credentials)
        assert gateway.budget._active == gateway.budget._under_way == 0
        assert gateway.health()[0].credentials[0].breaker.failures == 0  # type: ignore[union-attr]
        assert server.requests
        assert (await model.complete(ask("after"))).message.text == "Hello, world."


async def test_vectors_are_booked_and_their_breaker_holds() -> None:
    plan = GatewayPlan(retry=RetryPolicy(attempts=1), batch=None, breaker=BreakerPolicy(open_s=600))
    async with serve(lambda _: Answer(status=503), plan) as (server, gateway):
        embedder = gateway.find_embedder("openai:text-embedding-3-small")
        with pytest.raises(BudgetExceeded):
            await embedder.embed(EmbedRequest(texts=("a" * 1000,), caller=Caller(run="r", cost_usd=1e-9)))
        for _ in range(20):
            with pytest.raises((UpstreamError, Unavailable)):
                await embedder.embed(EmbedRequest(texts=("a",)))
    assert len(server.requests) == 5


async def test_names_that_anybody_may_think_of_are_not_held_for_ever() -> None:
    async with serve([]) as (_, gateway):
        first = gateway.find_model("openai:m-0")
        for number in range(MAX_MODELS + 10):
            gateway.find_model(f"openai:m-{number}")
        assert len(gateway.health()) == MAX_MODELS
        assert gateway.find_model("openai:m-0") is not first


async def test_the_provider_that_answered_is_told_in_its_own_name() -> None:
    heard: list[CallRecord] = []
    rule = RouteRule(name="chain", models=("openai:gpt-5.2", "groq:llama"))
    async with provider_server(["two"]) as second:
        plan = GatewayPlan(retry=QUICK, routes=(rule,))
        parts = GatewayParts(listeners=(heard.append,))
        async with serve([Answer(status=500)], plan, parts=parts, groq=second.url) as (_, gateway):
            await gateway.find_model("chain").complete(ask())
    assert (heard[0].model, heard[0].answered, heard[0].provider) == ("chain", "groq:llama", "groq")
    assert heard[0].attempts == 2
