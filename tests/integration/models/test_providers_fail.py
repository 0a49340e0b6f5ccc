"""What becomes of a call when its provider is in trouble, whichever provider it is?"""

import pytest
from tests.contract.test_models import CASES

from quorate.errors import QuorateError, Unavailable, UpstreamError
from quorate.messages import ReplyDone, build_user_message
from quorate.models.gateway import Gateway, build_model
from quorate.models.plan import GatewayPlan
from quorate.models.retry import Retrying, RetryPolicy
from quorate.models.routes import RouteRule
from quorate.specs import Request
from quorate.testing.contracts.model_case import CANARY, ModelCase
from quorate.testing.provider_server import Answer, provider_server

REQUEST = Request(messages=(build_user_message("Hi"),))
ONCE = RetryPolicy(attempts=1)


@pytest.fixture(params=CASES, ids=[case.model.replace(":", "-") for case in CASES])
def case(request: pytest.FixtureRequest) -> ModelCase:
    return request.param


@pytest.fixture
def other(case: ModelCase) -> ModelCase:
    """A provider that lives, and is not the one in trouble."""
    name = "ollama" if case.model.startswith("openai") else "openai"
    return next(one for one in CASES if one.model.startswith(f"{name}:"))


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_the_wait_that_a_provider_asks_for_is_kept(case: ModelCase, how: str) -> None:
    """Within a tenth, and then the call is made again.

    row: B9
    """
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    script = [Answer(status=429, headers={"Retry-After": "7"}), Answer(status=503), "Hello."]
    async with case.connect(script) as (remote, server):
        model = Retrying(remote, sleep=sleep)
        if how == "complete":
            reply = await model.complete(REQUEST)
        else:
            *_, done = [item async for item in model.stream(REQUEST)]
            assert isinstance(done, ReplyDone)
            reply = done.reply
    assert reply.message.text == "Hello."
    assert 7 <= waits[0] <= 7.7
    assert waits[1] <= 1
    assert len(server.requests) == 3


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_another_provider_answers_for_a_dead_one(case: ModelCase, other: ModelCase, how: str) -> None:
    """And the reply says who did, and why.

    row: B9
    """
    rule = RouteRule(name="any", models=(case.model, other.model))
    async with (
        provider_server(lambda _: Answer(status=503), key=case.key) as dead,
        provider_server(["Hello."], key=other.key) as alive,
        Gateway(
            GatewayPlan(routes=(rule,), retry=ONCE),
            credentials={**other.credentials, **case.credentials}.get,
            base_urls={
                other.model.partition(":")[0]: other.locate(alive),
                case.model.partition(":")[0]: case.locate(dead),
            },
        ) as gateway,
    ):
        model = gateway.find_model("any")
        if how == "complete":
            reply = await model.complete(REQUEST)
        else:
            *_, done = [item async for item in model.stream(REQUEST)]
            assert isinstance(done, ReplyDone)
            reply = done.reply
    assert reply.message.text == "Hello."
    assert reply.route is not None
    assert (reply.route.asked, reply.route.model) == ("any", other.model)
    assert [one.partition(" ")[0] for one in reply.route.tried] == [case.model]
    assert len(dead.requests) == len(alive.requests) == 1


async def test_a_provider_that_fails_five_times_is_left_alone(case: ModelCase) -> None:
    """The next call fails at once, and nobody is asked.

    row: B9
    """
    async with provider_server(lambda _: Answer(status=500), key=case.key) as server:
        name = case.model.partition(":")[0]
        model = build_model(
            case.model, credentials=case.get_credential, base_urls={name: case.locate(server)}, retry=ONCE
        )
        async with model:
            errors: list[QuorateError] = []
            for _ in range(7):
                try:
                    await model.complete(REQUEST)
                except QuorateError as error:
                    errors.append(error)
    assert len(server.requests) == 5
    assert all(isinstance(error, UpstreamError) for error in errors[:5])
    assert all(isinstance(error, Unavailable) for error in errors[5:])
    assert all(CANARY not in f"{error} {error.context}" for error in errors)
