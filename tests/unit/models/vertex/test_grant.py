"""Is a token asked for as Google wants it, and is nothing of the key shown?"""

import json
from base64 import urlsafe_b64decode
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from quorate.errors import InvalidInput, QuorateError, RateLimited, Unauthenticated, UpstreamError
from quorate.models.providers.vertex import grant
from quorate.models.target import find_target

TARGET = find_target("vertex:m", credentials={}.get, base_urls={"vertex": "https://x.test/v1"})
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
FILE = "GOOGLE_APPLICATION_CREDENTIALS"
ACCOUNT = {
    "type": "service_account",
    "client_email": "a@shop-1.iam.gserviceaccount.com",
    "private_key": PEM,
    "private_key_id": "k1",
    "token_uri": "https://oauth2.googleapis.com/token",
}
PERSON = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}


def read_part(part: str) -> dict:
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_a_service_accounts_key_signs_who_it_is() -> None:
    sending = grant.encode(json.dumps(ACCOUNT), TARGET, now=1000.7)
    form = parse_qs(sending.body.decode(), strict_parsing=True)
    assert sending.url == "https://oauth2.googleapis.com/token"
    assert sending.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims, signature = form["assertion"][0].split(".")
    assert read_part(head) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert read_part(claims) == {
        "iss": "a@shop-1.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": 1000,
        "exp": 4600,
    }
    raw = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    KEY.public_key().verify(raw, f"{head}.{claims}".encode(), padding.PKCS1v15(), SHA256())


def test_a_persons_file_holds_a_refresh_token() -> None:
    sending = grant.encode(json.dumps(PERSON), TARGET, now=0)
    assert sending.url == "https://oauth2.googleapis.com/token"
    assert parse_qs(sending.body.decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["c"],
        "client_secret": ["s"],
        "refresh_token": ["r"],
    }


def test_a_token_that_is_given_needs_no_file() -> None:
    assert grant.find_source(TARGET, {"GOOGLE_ACCESS_TOKEN": "t", FILE: "/x"}.get) is None
    assert grant.find_source(TARGET, {FILE: " /x "}.get) == "/x"
    with pytest.raises(Unauthenticated, match="set `GOOGLE_ACCESS_TOKEN`, or `GOOGLE_APPLICATION_CREDENTIALS`"):
        grant.find_source(TARGET, {}.get)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("canary", "no JSON of a Google credential"),
        ("[" * 100_000, "no JSON"),
        ("{}", "its type is ''"),
        (json.dumps({"type": "external_account"}), "its type is 'external_account'; known are `service_account`"),
        (json.dumps(ACCOUNT | {"private_key": ""}), "no `private_key`"),
        (json.dumps(ACCOUNT | {"private_key": 5}), "no JSON of a Google credential"),
        (json.dumps(ACCOUNT | {"private_key": "canary"}), "its `private_key` is none"),
        (json.dumps(PERSON | {"refresh_token": ""}), "no `refresh_token`"),
    ],
)
def test_a_file_that_is_none_is_refused_without_being_shown(source: str, said: str) -> None:
    with pytest.raises(Unauthenticated, match=said) as caught:
        grant.encode(source, TARGET, now=0)
    assert "canary" not in f"{caught.value} {caught.value.__cause__} {caught.value.context}"


def test_a_key_of_another_kind_is_refused() -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(Unauthenticated, match="no RSA key"):
        grant.encode(json.dumps(ACCOUNT | {"private_key": pem.decode()}), TARGET, now=0)


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "https://u:p@x.test/", "x"])
def test_a_token_address_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match="`token_uri`"):
        grant.encode(json.dumps(ACCOUNT | {"token_uri": uri}), TARGET, now=0)


def test_keys_and_tokens_are_never_shown() -> None:
    key = grant.read_key(json.dumps(ACCOUNT), file=FILE)
    assert "PRIVATE" not in f"{key!r}{key}"
    token = grant.decode(b'{"access_token": "ya29.canary", "expires_in": 3599, "token_type": "Bearer"}')
    assert (token.value, token.lasts_s) == ("ya29.canary", 3599.0)
    assert "canary" not in f"{token!r}{token}"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"access_token": ""}', b'{"access_token": "a\\nb"}', b"[" * 100_000])
def test_an_answer_without_a_token_is_an_error(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="gave no token"):
        grant.decode(body)


def test_a_token_never_lasts_for_ever_or_less_than_nothing() -> None:
    assert grant.decode(b'{"access_token": "a", "expires_in": 1e9}').lasts_s == 43_200
    assert grant.decode(b'{"access_token": "a", "expires_in": -5}').lasts_s == 0


@pytest.mark.parametrize(
    ("status", "body", "error", "retryable"),
    [
        (400, b'{"error": "invalid_grant", "error_description": "canary"}', Unauthenticated, False),
        (401, b"canary", Unauthenticated, False),
        (429, b"{}", RateLimited, True),
        (503, b'{"error": "canary-0"}', UpstreamError, True),
    ],
)
def test_refusals_have_our_names(status: int, body: bytes, error: type[QuorateError], retryable: bool) -> None:
    got = grant.decode_error(status, body, TARGET, retry_after_s=4)
    assert type(got) is error
    assert got.retryable == retryable
    assert "canary" not in str(got)
    assert f"HTTP {status}" in str(got)
