"""Are the servers understood that imitate OpenAI and do it otherwise?"""

import json

import pytest

from quorate.errors import Incomplete, InvalidInput, RateLimited, TooLarge, Unauthenticated, UpstreamError
from quorate.messages import ReplyDone, StreamItem, ToolCall, ToolCallDelta, Usage
from quorate.models.cost import Price, cost_usd
from quorate.models.facts import load_provider
from quorate.models.providers import find_dialect, openai
from quorate.models.providers.openai.failure import decode_error
from quorate.models.providers.openai.reply import decode
from quorate.models.target import find_target

GPT = "openai:gpt-5.2"
TOOLS = "Function tools with reasoning_effort are not supported for x in /v1/chat/completions. Use /v1/responses."


def feed(*events: object, of: str = GPT, done: bool = True) -> list[StreamItem]:
    decoder = openai.build_decoder(find_target(of, credentials={}.get, base_urls={}))
    items: list[StreamItem] = []
    for event in (*events, *([b"[DONE]"] if done else [])):
        items += decoder.feed(event if isinstance(event, bytes) else json.dumps(event).encode())
    return [*items, decoder.finish()]


def chunk(delta: dict, finish: str | None = None, **rest: object) -> dict:
    return {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **rest}


def get_usage(counts: dict) -> Usage:
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    return decode(json.dumps({"id": "x", "choices": [choice], "usage": counts}).encode()).usage


def test_reasoning_that_only_the_total_counts_is_paid_for() -> None:
    """xAI counts it beside what was said."""
    usage = get_usage(
        {
            "prompt_tokens": 10_120,
            "completion_tokens": 1_499,
            "total_tokens": 14_428,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 2_809},
        }
    )
    assert usage == Usage(
        input_tokens=10_120, output_tokens=4_308, cached_tokens=128, reasoning_tokens=2_809, requests=1
    )
    assert usage.total_tokens == 14_428
    assert cost_usd(usage, Price(input=1.25, cached=0.20, output=2.50)) == pytest.approx(0.0232856)


@pytest.mark.parametrize("total", [None, 0, -5, 15, 14])
def test_a_total_that_says_no_more_changes_nothing(total: int | None) -> None:
    usage = get_usage({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": total})
    assert (usage.input_tokens, usage.output_tokens) == (10, 5)


def test_groq_says_aside_what_a_stream_used_up() -> None:
    last = chunk({}, "stop", x_groq={"id": "req", "usage": {"prompt_tokens": 21, "completion_tokens": 9}})
    done = feed(chunk({"content": "x"}, x_groq={"id": "req"}), last)[-1]
    assert isinstance(done, ReplyDone)
    assert done.reply.usage == Usage(input_tokens=21, output_tokens=9, requests=1)


def test_calls_that_all_have_the_index_0_are_told_apart() -> None:
    """Gateways to Gemini do so; each call comes whole, with an id of its own."""
    items = feed(
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"at": 1}'}}]}),
        chunk({"tool_calls": [{"index": 0, "id": "b", "function": {"name": "f", "arguments": '{"at'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '": 2}'}}]}),
        chunk({}, "tool_calls"),
    )
    done = items[-1]
    assert isinstance(done, ReplyDone)
    assert done.reply.message.tool_calls == (
        ToolCall(id="a", name="f", arguments='{"at": 1}'),
        ToolCall(id="b", name="f", arguments='{"at": 2}'),
    )
    assert [one.call_id for one in items if isinstance(one, ToolCallDelta)] == ["a", "b", "b"]


def test_a_call_whose_id_changes_from_piece_to_piece_is_one_call() -> None:
    done = feed(
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]}),
        chunk({"tool_calls": [{"index": 0, "id": "b", "function": {"name": None, "arguments": "}"}}]}),
        chunk({}, "tool_calls"),
    )[-1]
    assert isinstance(done, ReplyDone)
    assert done.reply.message.tool_calls == (ToolCall(id="a", name="f", arguments="{}"),)


def test_a_provider_may_end_its_streams_without_a_word() -> None:
    """Perplexity does: the reason why the model stopped is the end."""
    done = feed(chunk({"content": "x"}), chunk({}, "stop"), of="perplexity:sonar", done=False)[-1]
    assert isinstance(done, ReplyDone)
    assert done.reply.message.text == "x"
    with pytest.raises(Incomplete, match="the reason why it ended never came"):
        feed(chunk({"content": "x"}), of="perplexity:sonar", done=False)
    with pytest.raises(Incomplete, match="its last event never came"):
        feed(chunk({"content": "x"}), chunk({}, "stop"), done=False)


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        ({"code": 400, "message": "Bad"}, UpstreamError, False),
        ({"code": 401, "message": "User not found"}, Unauthenticated, False),
        ({"code": 402, "message": "Insufficient credits"}, RateLimited, False),
        ({"code": 403, "message": "Moderated"}, Unauthenticated, False),
        ({"code": 408, "message": "Timed out"}, UpstreamError, True),
        ({"code": 429, "message": "Slow down"}, RateLimited, True),
        ({"code": 502, "message": "Provider disconnected"}, UpstreamError, True),
        ({"code": 400, "message": "maximum context length is 100 tokens"}, TooLarge, False),
        ({"type": "server_error", "message": "x"}, UpstreamError, True),
    ],
)
def test_a_status_inside_an_answer_is_read_as_one(fault: dict, kind: type, retryable: bool) -> None:
    """Gateways say so, as their own status was sent long before."""
    for event in ({"error": fault, "choices": []}, {"error": fault, **chunk({}, "error")}):
        with pytest.raises(kind) as caught:
            feed(event)
        assert caught.value.retryable is retryable
        assert str(fault["message"]) not in str(caught.value)


def test_a_model_that_takes_no_tools_in_chat_completions_is_asked_by_responses() -> None:
    for name in ("openai:gpt-6.1-sol", "openai:gpt-5.6-terra", "openai:gpt-5.4-mini"):
        target = find_target(name, credentials={}.get, base_urls={})
        assert target.provider.dialect == "responses", name
        assert find_dialect(target.provider).__name__.endswith(".responses")
    assert find_target(GPT, credentials={}.get, base_urls={}).provider.dialect == "openai"
    values = {"AZURE_OPENAI_RESOURCE": "acme"}
    assert find_target("azure:gpt-5.6-sol", credentials=values.get, base_urls={}).provider.dialect == "azure"


def test_a_model_of_ones_own_that_wants_responses_says_so() -> None:
    body = json.dumps({"error": {"message": TOOLS, "type": "invalid_request_error", "param": "reasoning_effort"}})
    row = load_provider("openai").find_provider("openai")
    error = decode_error(400, body.encode(), provider=row, model_name="gpt-7")
    assert isinstance(error, InvalidInput)
    assert "name `openai-responses:gpt-7`" in str(error)
