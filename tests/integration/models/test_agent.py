"""Does an agent work with a provider's model, in every way an agent is used?"""

import asyncio
import gc
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from quorate.agent.agent import Agent
from quorate.errors import Unauthenticated
from quorate.events import ModelReplied, RunCompleted, RunIncomplete, ToolFinished
from quorate.messages import TextDelta, ToolCall
from quorate.models.gateway import build_model
from quorate.models.retry import Retrying, RetryPolicy
from quorate.specs import Limits
from quorate.testing.provider_server import Answer, ProviderServer, Script, provider_server
from quorate.tools.define import tool

ADD = ToolCall(id="call_1", name="add", arguments='{"a": 2, "b": 3}')


@tool(effect="idempotent")
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def connect(url: str, **options: object) -> Retrying:
    return build_model("openai:gpt-5.2", credentials={"OPENAI_API_KEY": "k"}.get, base_urls={"openai": url}, **options)  # type: ignore[arg-type]


async def test_an_agent_calls_a_tool_and_answers() -> None:
    async with provider_server([ADD, "It is 5."]) as server, connect(server.url) as model:
        result = await Agent("sums", model=model, tools=[add], instructions="You add.").run("2 and 3?")
    assert result.output == "It is 5."
    assert result.usage.requests == 2
    assert result.usage.input_tokens == 24
    assert result.cost_usd
    second = server.requests[1].body["messages"]
    assert isinstance(second, list)
    assert [m["role"] for m in second] == ["system", "user", "assistant", "tool"]
    assert second[3] == {"role": "tool", "tool_call_id": "call_1", "content": "5"}


async def test_an_agent_streams_text_and_calls_a_tool() -> None:
    script = [ADD, Answer(text="It is 5, as expected.", piece=4)]
    async with provider_server(script) as server, connect(server.url) as model:
        seen = [item async for item in Agent("sums", model=model, tools=[add]).run_stream("2 and 3?")]
    assert "".join(item.text for item in seen if isinstance(item, TextDelta)) == "It is 5, as expected."
    assert any(isinstance(item, ToolFinished) for item in seen)
    assert isinstance(seen[-1], RunCompleted)
    assert all(request.is_stream for request in server.requests)
    assert all(item.reply.usage.output_tokens == 7 for item in seen if isinstance(item, ModelReplied))


async def test_malformed_arguments_go_back_to_the_model() -> None:
    """The model mends them; the run goes on."""
    broken = ToolCall(id="call_0", name="add", arguments='{"a": 2, "b":')
    async with provider_server([broken, ADD, "5"]) as server, connect(server.url) as model:
        result = await Agent("sums", model=model, tools=[add]).run("2 and 3?")
    assert result.output == "5"
    second = server.requests[1].body["messages"]
    assert isinstance(second, list)
    assert second[-2]["tool_calls"][0]["function"]["arguments"] == '{"a": 2, "b":'
    assert "not valid" in second[-1]["content"]


class Sum(msgspec.Struct):
    """A sum."""

    value: int
    words: str = ""


async def test_a_typed_answer_is_enforced_by_the_provider() -> None:
    async with provider_server(['{"value": 5, "words": ""}']) as server, connect(server.url) as model:
        result = await Agent("sums", model=model, output_type=Sum).run("2 and 3?")
    assert result.output == Sum(value=5)
    format_ = msgspec.convert(server.requests[0].body["response_format"], dict)
    assert format_["json_schema"]["strict"] is True
    assert format_["json_schema"]["schema"]["required"] == ["value", "words"]


async def test_a_cut_stream_ends_the_run_incomplete_with_its_part() -> None:
    answer = Answer(text="Half of it is here", piece=4, cut_at=700)
    async with provider_server([answer]) as server, connect(server.url) as model:
        seen = [item async for item in Agent("sums", model=model).run_stream("Say it")]
    assert isinstance(seen[-1], RunIncomplete)
    assert seen[-1].limit == "stream"


async def test_a_run_s_time_limit_reaches_the_provider() -> None:
    """The run ends in time and the call is given up."""
    async with provider_server([Answer(delay_s=600)]) as server, connect(server.url) as model:
        result = await Agent("sums", model=model).run("Wait", limits=Limits(seconds=1))
        assert result.status == "incomplete"
        async with asyncio.timeout(30):
            await server.wait_dropped()


async def test_a_model_s_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key and an address in the environment are all a user needs."""
    async with provider_server(["Hello."], key="k") as server:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert (await Agent("greeter", model="openai:anything").run("Hi")).output == "Hello."


async def test_without_a_key_the_run_says_which_variable() -> None:
    with pytest.raises(Unauthenticated, match="OPENAI_API_KEY"):
        await Agent("greeter", model="openai:gpt-5.2").run("Hi")


async def test_a_hundred_runs_share_a_model() -> None:
    def answer(sent: object) -> Answer:
        return Answer(text="Hello.", delay_s=0.05)

    async with provider_server(answer) as server, connect(server.url) as model:
        agent = Agent("greeter", model=model)
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(agent.run("Hi")) for _ in range(100)]
    assert {run.result().output for run in runs} == {"Hello."}
    assert len(server.requests) == 100


@contextmanager
def serve_in_a_thread(script: Script) -> Iterator[ProviderServer]:
    """Serve from a loop of its own, for code that has none."""
    ready: list[ProviderServer] = []
    started, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with provider_server(script) as server:
            ready.append(server)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert started.wait(60)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("swept")
def test_one_agent_runs_in_one_event_loop_after_the_other() -> None:
    """`run_sync` twice with one model, and nothing is left open, though nobody closed it."""
    with serve_in_a_thread([ADD, "5", ADD, "5", "Hello."]) as server:
        model = connect(server.url, retry=RetryPolicy(attempts=1))
        agent = Agent("sums", model=model, tools=[add])
        assert agent.run_sync("2 and 3?").output == "5"
        assert agent.run_sync("2 and 3?").output == "5"
        assert asyncio.run(agent.run("Hi")).output == "Hello."
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del agent, model
            gc.collect()


def test_two_event_loops_use_one_model_at_the_same_time() -> None:
    with serve_in_a_thread(lambda _: Answer(text="Hello.", delay_s=0.1)) as server:
        agent = Agent("greeter", model=connect(server.url))
        outputs: list[str] = []
        threads = [threading.Thread(target=lambda: outputs.append(agent.run_sync("Hi").output)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert outputs == ["Hello."] * 4
