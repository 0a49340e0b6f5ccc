"""Is a request signed as AWS asks for it?"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import pytest
from tests.unit.models.bedrock.cases import ask, build_target
from tests.unit.models.bedrock.steps import work_out

from quorate.errors import InvalidInput, MissingExtra, Unauthenticated
from quorate.models.providers import bedrock
from quorate.models.providers.bedrock.signing import find_region, sign
from quorate.models.target import Sending

KEY = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
SIGNED = {"AWS_ACCESS_KEY_ID": KEY[0], "AWS_SECRET_ACCESS_KEY": KEY[1], "AWS_SESSION_TOKEN": "session"}


def test_a_signature_is_the_one_that_aws_works_out() -> None:
    """These were worked out apart from the code that is tested, from the published steps alone."""
    sending = Sending(
        url="https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b-v1:0/converse",
        body=b'{"messages":[]}',
        headers={"Content-Type": "application/json"},
    )
    headers = sign(sending, key=KEY, region="us-east-1", now=NOW)
    wanted = work_out(
        method="POST",
        path="/model/a.b-v1:0/converse",
        query="",
        headers={
            "content-type": "application/json",
            "host": "bedrock-runtime.us-east-1.amazonaws.com",
            "x-amz-date": "20150830T123600Z",
        },
        body=sending.body,
        secret=KEY[1],
        region="us-east-1",
    )
    assert headers["X-Amz-Date"] == "20150830T123600Z"
    assert headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, "
        f"SignedHeaders=content-type;host;x-amz-date, Signature={wanted}"
    )


def test_the_clock_is_the_one_that_is_given() -> None:
    """Not the machine's, which may be wrong: the sender knows by how much."""
    sending = Sending(url="https://bedrock-runtime.us-east-1.amazonaws.com/x")
    first, again, later = (sign(sending, key=KEY, region="us-east-1", now=now) for now in (NOW, NOW, NOW + 60))
    assert first == again
    assert first["Authorization"] != later["Authorization"]


def test_a_session_is_signed_too() -> None:
    target = build_target()
    signed = bedrock.sign(bedrock.encode(ask(), target), target, credentials=SIGNED.get, now=NOW)
    assert signed.headers["X-Amz-Security-Token"] == "session"
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token" in signed.headers["Authorization"]


def test_a_bearer_key_needs_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands above the rest, and needs no library."""
    monkeypatch.setitem(sys.modules, "botocore.auth", None)  # as if it were not installed
    target = build_target()
    given = {**SIGNED, "AWS_BEARER_TOKEN_BEDROCK": " bedrock-api-key-x "}
    signed = bedrock.sign(bedrock.encode(ask(), target), target, credentials=given.get, now=NOW)
    assert signed.headers["Authorization"] == "Bearer bedrock-api-key-x"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)  # as if it were not installed
    target = build_target()
    with pytest.raises(MissingExtra, match=r"pip install 'quorate\[bedrock\]'"):
        bedrock.sign(bedrock.encode(ask(), target), target, credentials=SIGNED.get, now=NOW)


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_credential_that_is_missing_is_named(missing: str) -> None:
    target = build_target()
    given = {name: value for name, value in SIGNED.items() if name != missing}
    with pytest.raises(Unauthenticated, match=f"`{missing}` is not set: set `AWS_BEARER_TOKEN_BEDROCK`"):
        bedrock.sign(bedrock.encode(ask(), target), target, credentials=given.get, now=NOW)


@pytest.mark.parametrize("name", ["AWS_BEARER_TOKEN_BEDROCK", *SIGNED])
def test_a_credential_that_is_none_is_named(name: str) -> None:
    """Its value is not shown."""
    target = build_target()
    given = {**SIGNED, name: "canary\nX-Evil: 1"}
    with pytest.raises(Unauthenticated, match=f"`{name}` holds a space") as caught:
        bedrock.sign(bedrock.encode(ask(), target), target, credentials=given.get, now=NOW)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://bedrock-runtime.ap-southeast-2.amazonaws.com/x", "ap-southeast-2"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/x", "us-gov-west-1"),
        ("https://vpce-0a.bedrock-runtime.eu-central-1.vpce.amazonaws.com/x", "eu-central-1"),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn/x", "cn-north-1"),
        ("http://127.0.0.1:9000/x", "us-west-2"),
    ],
)
def test_the_region_is_that_of_the_address(url: str, wanted: str) -> None:
    """Else the one that is set."""
    assert find_region(url, {"AWS_DEFAULT_REGION": "us-west-2"}.get) == wanted


def test_a_region_that_is_none_is_said() -> None:
    for given in ({}, {"AWS_REGION": "moon"}):
        with pytest.raises(InvalidInput, match="set `AWS_REGION`"):
            find_region("http://127.0.0.1:9000/x", given.get)
