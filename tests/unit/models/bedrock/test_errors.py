"""What did Bedrock refuse, in our words?"""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.models.bedrock.cases import build_target

from quorate.errors import (
    Forbidden,
    InvalidInput,
    NotFound,
    QuorateError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UnknownName,
    UpstreamError,
)
from quorate.models.frames import name_error
from quorate.models.providers import bedrock


def refuse(status: int, name: str, message: str = "canary") -> QuorateError:
    """Build the error for a refusal whose name is in a header; in the body it is the same."""
    header = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/"} if name else {}
    target = build_target()
    error = bedrock.decode_error(status, name_error(header, msgspec.json.encode({"message": message})), target)
    body = msgspec.json.encode({"__type": f"com.amazon.coral#{name}", "message": message})
    same = bedrock.decode_error(status, body, target)
    assert (type(same), str(same)) == (type(error), str(error)) or not name
    assert "canary" not in f"{error} {error.context}"
    return error


@pytest.mark.parametrize(
    ("status", "name", "kind", "retryable"),
    [
        (400, "ValidationException", UpstreamError, False),
        (400, "ServiceQuotaExceededException", RateLimited, True),
        (401, "", Unauthenticated, False),
        (403, "UnrecognizedClientException", Unauthenticated, False),
        (403, "", Unauthenticated, False),
        (403, "AccessDeniedException", Forbidden, False),
        (404, "ResourceNotFoundException", UnknownName, False),
        (404, "", NotFound, False),
        (408, "ModelTimeoutException", UpstreamError, True),
        (413, "", TooLarge, False),
        (424, "ModelErrorException", UpstreamError, True),
        (424, "", UpstreamError, True),
        (429, "ThrottlingException", RateLimited, True),
        (429, "ModelNotReadyException", UpstreamError, True),
        (500, "InternalServerException", UpstreamError, True),
        (503, "ServiceUnavailableException", UpstreamError, True),
    ],
)
def test_each_has_a_name_of_ours(status: int, name: str, kind: type[QuorateError], retryable: bool) -> None:
    error = refuse(status, name)
    assert type(error) is kind
    assert error.retryable == retryable


def test_a_wrong_clock_is_said_to_be_one() -> None:
    """A signature is good for five minutes."""
    words = "Signature expired: 20260101T000000Z is now earlier than 20260102T000000Z (20260102T000500Z - 5 min.)"
    error = refuse(403, "InvalidSignatureException", words)
    assert isinstance(error, Unauthenticated)
    assert "check this machine's clock" in str(error)
    assert "clock" in str(
        refuse(403, "InvalidSignatureException", "Signature not yet current: 2026 is later than 2025")
    )


def test_a_session_that_is_over_is_said_to_be() -> None:
    for status in (400, 403):
        error = refuse(status, "ExpiredTokenException", "The security token included in the request is expired")
        assert isinstance(error, Unauthenticated)
        assert "The session is over" in str(error)
        assert "`AWS_SESSION_TOKEN`" in str(error)


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        ("The provided model identifier is invalid.", UnknownName, "does not serve it"),
        ("Input is too long for requested model.", TooLarge, "larger than"),
        ("Too many input tokens. Max input tokens: 8192", TooLarge, "larger than"),
        (
            "Invocation of model ID canary with on-demand throughput isn’t supported. Use an inference profile.",
            InvalidInput,
            "inference profile",
        ),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_told_apart(message: str, kind: type[QuorateError], words: str) -> None:
    """By the few sentences that a caller can do something about."""
    error = refuse(400, "ValidationException", message)
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"7", b'{"message":7}', b'{"a":{"message":[]}}', b"\xff", b"[" * 9_999]
)
def test_any_body_is_read(body: bytes) -> None:
    error = bedrock.decode_error(429, body, build_target(), retry_after_s=7.0)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 7.0
