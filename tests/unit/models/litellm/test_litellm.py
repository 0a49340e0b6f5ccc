"""What is said of a `litellm:` model before LiteLLM is asked?"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec

import pytest

from quorate.errors import InvalidInput, MissingExtra, RateLimited, TooLarge, UpstreamError
from quorate.messages import build_user_message
from quorate.models.gateway import build_model
from quorate.models.providers.litellm.failure import build_error
from quorate.models.providers.litellm.model import LiteLLMModel
from quorate.models.target import Target, find_target
from quorate.specs import ModelSettings, Request

HI = (build_user_message("Hi"),)


def build_target(name: str = "litellm:groq/llama-3.3-70b", **base_urls: str) -> Target:
    return find_target(name, credentials={}.get, base_urls=base_urls)


def build(monkeypatch: pytest.MonkeyPatch, credentials: Mapping[str, str], **base_urls: str) -> LiteLLMModel:
    """Build a model where something called LiteLLM can be found; it is not loaded."""
    module = type(sys)("litellm")
    module.__spec__ = ModuleSpec("litellm", None)
    monkeypatch.setitem(sys.modules, "litellm", module)
    return LiteLLMModel(build_target(**base_urls), credentials=credentials.get)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and not in the middle of a run."""
    monkeypatch.setitem(sys.modules, "litellm", None)  # as if it were not installed
    with pytest.raises(MissingExtra, match=r"pip install 'quorate\[litellm\]'"):
        LiteLLMModel(build_target(), credentials={}.get)
    with pytest.raises(MissingExtra, match="`litellm`"):
        build_model("litellm:groq/llama-3.3-70b", credentials={}.get)


def test_a_request_is_written_as_chat_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key of its provider, no retries of LiteLLM's own, and no address unless an operator named one."""
    model = build(monkeypatch, {"GROQ_API_KEY": "canary-key"})
    request = Request(messages=HI, instructions="Be brief.", settings=ModelSettings(max_tokens=9))
    arguments, size = model.build_arguments(request, stream=True)
    assert size > 50
    assert arguments["model"] == "groq/llama-3.3-70b"
    assert arguments["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert (arguments["max_tokens"], arguments["stream"], arguments["api_key"]) == (9, True, "canary-key")
    assert (arguments["num_retries"], arguments["max_retries"]) == (0, 0)
    assert "api_base" not in arguments


def test_an_address_that_was_named_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the general key stands above the provider's own."""
    credentials = {"GROQ_API_KEY": "other", "LITELLM_API_KEY": "canary-key"}
    model = build(monkeypatch, credentials, litellm="http://127.0.0.1:4000")
    arguments, _ = model.build_arguments(Request(messages=HI))
    assert (arguments["api_base"], arguments["api_key"]) == ("http://127.0.0.1:4000", "canary-key")


@pytest.mark.parametrize("name", ["api_base", "api_key", "callbacks", "mock_response", "model"])
def test_a_request_does_not_say_where_it_goes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nor who hears of it."""
    model = build(monkeypatch, {})
    with pytest.raises(InvalidInput, match=f"`{name}`"):
        model.build_arguments(Request(messages=HI, settings=ModelSettings(extra={name: "x"})))


class RateLimitError(Exception):
    status_code = 429
    litellm_response_headers = {"Retry-After": "7"}  # noqa: RUF012


class ContextWindowExceededError(Exception):
    status_code = 400


class UnsupportedParamsError(Exception):
    status_code = 400


def test_what_it_raises_is_named_by_us() -> None:
    """And its sentences are not repeated."""
    target = build_target()
    limited = build_error(RateLimitError("canary"), target, now=0.0)
    assert isinstance(limited, RateLimited)
    assert limited.retry_after_s == 7.0
    assert isinstance(build_error(ContextWindowExceededError("canary"), target, now=0.0), TooLarge)
    assert isinstance(build_error(UnsupportedParamsError("canary"), target, now=0.0), InvalidInput)
    odd = build_error(AttributeError("canary"), target, now=0.0)
    assert isinstance(odd, UpstreamError)
    assert not odd.retryable
    assert "canary" not in f"{limited} {odd}"
