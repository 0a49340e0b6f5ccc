"""Does what a model thought find its way back to it, through an agent's loop and its log?"""

import json

import pytest

from quorate.agent.agent import Agent
from quorate.errors import UpstreamError
from quorate.events import RunCompleted
from quorate.messages import TextDelta, ThinkingDelta, ToolCall, build_user_message
from quorate.models.gateway import build_model
from quorate.models.retry import Retrying, RetryPolicy
from quorate.specs import Request
from quorate.testing.provider_server import Answer, ProviderServer, provider_server
from quorate.tools.define import tool

ADD = ToolCall(id="call_a", name="add", arguments='{"a": 2, "b": 3}')
THOUGHT = Answer(thinking="Two and three.", signature="signed-1", calls=(ADD,), piece=4)
NAMES = ("anthropic:claude-sonnet-5-5", "gemini:gemini-3.8-flash", "vertex:gemini-3.8-flash")
PLACES = {"anthropic": "/anthropic/v1", "gemini": "/v1beta", "vertex": "/v1/projects/p/locations/eu"}
KEYS = {"ANTHROPIC_API_KEY": "k", "GEMINI_API_KEY": "k", "GOOGLE_ACCESS_TOKEN": "k"}


@tool(effect="idempotent")
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def connect(name: str, server: ProviderServer, **options: object) -> Retrying:
    provider = name.partition(":")[0]
    urls = {provider: server.origin + PLACES[provider]}
    return build_model(name, credentials=KEYS.get, base_urls=urls, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
async def test_a_signed_thought_goes_back_with_its_call_and_result(name: str) -> None:
    async with provider_server([THOUGHT, "It is 5."], key="k") as server, connect(name, server) as model:
        result = await Agent("sums", model=model, tools=[add], instructions="You add.").run("2 and 3?")
    assert result.output == "It is 5."
    assert result.cost_usd
    second = json.dumps(server.requests[1].body)
    assert "signed-1" in second
    assert second.index("signed-1") < second.rindex("call_a")


@pytest.mark.parametrize("name", NAMES)
async def test_a_stream_shows_the_thought_and_the_words_apart(name: str) -> None:
    script = [THOUGHT, Answer(text="It is 5, as expected.", piece=4)]
    async with provider_server(script, key="k") as server, connect(name, server) as model:
        seen = [item async for item in Agent("sums", model=model, tools=[add]).run_stream("2 and 3?")]
    assert "".join(item.text for item in seen if isinstance(item, ThinkingDelta)) == "Two and three."
    assert "".join(item.text for item in seen if isinstance(item, TextDelta)) == "It is 5, as expected."
    assert isinstance(seen[-1], RunCompleted)
    assert all(request.is_stream for request in server.requests)
    assert "signed-1" in json.dumps(server.requests[1].body)


@pytest.mark.parametrize("name", NAMES)
async def test_a_busy_provider_is_asked_again_after_as_long_as_it_says(name: str) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    status = 529 if name.startswith("anthropic") else 503
    busy = Answer(status=status, code="overloaded_error", headers={"Retry-After": "3"})
    async with provider_server([busy, "It is 5."], key="k") as server:
        model = connect(name, server)
        model = Retrying(model.inner, policy=RetryPolicy(), sleep=sleep)
        result = await Agent("sums", model=model).run("2 and 3?")
        await model.aclose()
    assert result.output == "It is 5."
    assert slept
    assert slept[0] >= 3


async def test_an_overload_in_the_middle_is_told_apart_by_what_was_given_out() -> None:
    """Before the first piece the call may be made again; the provider said so itself."""
    policy = RetryPolicy(attempts=1)
    script = [Answer(text="never", fail_at=0, code="overloaded_error")]
    async with provider_server(script) as server, connect(NAMES[0], server, retry=policy) as model:
        with pytest.raises(UpstreamError, match="failed in the middle \\(code `overloaded_error`\\)") as caught:
            [item async for item in model.stream(Request(messages=(build_user_message("Hi"),)))]
    assert caught.value.retryable
