"""Does a refusal by the provider become the right error, and keep its secrets?"""

import json

import pytest

from quorate.errors import (
    BlockedByPolicy,
    NotFound,
    QuorateError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UnknownName,
    UpstreamError,
)
from quorate.models.facts import load_table
from quorate.models.providers.openai.failure import decode_error

OPENAI = load_table().providers["openai"]
CANARY = "sk-canary-1234567890"


def read(status: int, **error: object) -> QuorateError:
    body = json.dumps({"error": {"message": f"You sent {CANARY}", "param": CANARY, **error}}).encode()
    return decode_error(status, body, provider=OPENAI, model_name="gpt-5.2", retry_after_s=2.5)


@pytest.mark.parametrize(
    ("status", "code", "type_", "retryable"),
    [
        (400, "unsupported_parameter", UpstreamError, False),
        (400, "context_length_exceeded", TooLarge, False),
        (400, "exceed_context_size_error", TooLarge, False),
        (400, "invalid_model", UnknownName, False),
        (400, "tool_use_failed", UpstreamError, True),
        (401, "invalid_api_key", Unauthenticated, False),
        (402, None, RateLimited, False),
        (403, "unsupported_country", Unauthenticated, False),
        (404, "model_not_found", UnknownName, False),
        (404, "unknown_url", NotFound, False),
        (408, None, UpstreamError, True),
        (409, None, UpstreamError, False),
        (413, None, TooLarge, False),
        (429, "rate_limit_exceeded", RateLimited, True),
        (429, "insufficient_quota", RateLimited, False),
        (500, "server_error", UpstreamError, True),
        (501, None, UpstreamError, False),
        (502, None, UpstreamError, True),
        (503, "overloaded", UpstreamError, True),
        (504, None, UpstreamError, True),
        (302, None, UpstreamError, False),
    ],
)
def test_statuses_become_our_errors(status: int, code: str | None, type_: type, retryable: bool) -> None:
    """The provider's words and the key are in none of them."""
    error = read(status, code=code)
    assert type(error) is type_
    assert error.retryable is retryable
    assert CANARY not in f"{error} {error.context} {error!r}"


def test_the_message_says_what_to_do() -> None:
    assert str(read(401, code="invalid_api_key")) == (
        "`openai` refused the credential (HTTP 401, code `invalid_api_key`). Check `OPENAI_API_KEY`, or use "
        "`--model playbook`, which needs no key."
    )
    assert "`OPENAI_BASE_URL`" in str(read(404, code="unknown_url"))
    assert "billing" in str(read(429, code="insufficient_quota"))
    assert "parameter `messages[0].role`" in str(read(400, code="invalid_value", param="messages[0].role"))
    assert "not followed" in str(read(307))


def test_a_wait_that_was_asked_for_is_kept() -> None:
    error = read(429, code="rate_limit_exceeded")
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 2.5
    assert read(503).context["retry_after_s"] == 2.5


@pytest.mark.parametrize(
    "words", ["This model's maximum context length is 8192 tokens", "the context window is full", "too many tokens"]
)
def test_a_full_context_is_known_by_its_words_too(words: str) -> None:
    """Imitating servers have no code for it."""
    body = json.dumps({"object": "error", "message": words, "code": 400}).encode()
    assert isinstance(decode_error(400, body, provider=OPENAI, model_name="m"), TooLarge)


@pytest.mark.parametrize("body", [b"", b"<html>secret</html>", b"[1]", b'{"error": "secret"}', b"\xff", b"[" * 99999])
def test_a_body_that_is_no_error_still_gives_one(body: bytes) -> None:
    error = decode_error(500, body, provider=OPENAI, model_name="m")
    assert str(error) == "`openai` failed (HTTP 500)."


@pytest.mark.parametrize("code", [CANARY, "A" * 40, "x\ny", "<b>"])
def test_a_code_that_is_no_word_is_not_repeated(code: str) -> None:
    assert code not in str(read(500, code=code))


@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation", "invalid_prompt"])
def test_a_question_that_is_refused_for_its_contents_is_blocked(code: str) -> None:
    """As Azure's filters do; another attempt would end in the same way."""
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}
    body = json.dumps({"error": {"code": code, "message": "secret words", "innererror": inner}}).encode()
    error = decode_error(400, body, provider=OPENAI, model_name="m")
    assert isinstance(error, BlockedByPolicy)
    assert not error.retryable
    assert code in error.message
    assert "secret" not in error.message
