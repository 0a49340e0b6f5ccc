"""Is a webhook signed as the Standard Webhooks specification says, and is what it does not sign refused?

The vectors are those of the specification's own libraries (standard-webhooks/standard-webhooks, Apache 2.0).
"""

import base64

import pytest

from quorate.errors import InvalidInput, Unauthenticated
from quorate.security.secrets import Secret
from quorate.security.webhooks import new_webhook_secret, read_webhook_secret, sign_webhook, verify_webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {"webhook-id": MESSAGE, "webhook-timestamp": str(TIMESTAMP), "webhook-signature": SIGNATURE}
OTHERS = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="


def verify(headers: dict[str, str], *, body: bytes = BODY, secret: str = SECRET, now: float = TIMESTAMP) -> str:
    return verify_webhook(headers, body, secrets=[secret], now=now)


def test_the_vector_of_the_specification() -> None:
    """The same id, time, body and secret give the very signature that its libraries give."""
    assert sign_webhook(MESSAGE, BODY, timestamp=TIMESTAMP, secrets=[SECRET]) == HEADERS
    assert verify(HEADERS) == MESSAGE


def test_what_else_the_libraries_of_the_specification_accept() -> None:
    """Names in any case, secrets without prefix or padding, several signatures of which one fits."""
    assert verify({name.title(): value for name, value in HEADERS.items()}) == MESSAGE
    assert verify(HEADERS, secret=SECRET.removeprefix("whsec_")) == MESSAGE
    assert verify({**HEADERS, "webhook-signature": f"{OTHERS} {SIGNATURE} {OTHERS}"}) == MESSAGE
    for unpadded, padded in (
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr", "=="),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBrM", "="),
    ):
        key = base64.b64decode(unpadded + padded)
        assert read_webhook_secret(f"whsec_{unpadded}") == read_webhook_secret(f"whsec_{unpadded}{padded}") == key


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**HEADERS, "webhook-id": ""},
        {**HEADERS, "webhook-id": "msg other"},
        {**HEADERS, "webhook-id": "msg_other"},
        {**HEADERS, "webhook-id": "m" * 300},
        {**HEADERS, "webhook-timestamp": ""},
        {**HEADERS, "webhook-timestamp": "hello"},
        {**HEADERS, "webhook-timestamp": "1614265330.0"},
        {**HEADERS, "webhook-timestamp": "-1614265330"},
        {**HEADERS, "webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
        {**HEADERS, "webhook-timestamp": "9" * 400},
        {**HEADERS, "webhook-timestamp": "1614265331"},
        {**HEADERS, "webhook-signature": ""},
        {**HEADERS, "webhook-signature": "v1,"},
        {**HEADERS, "webhook-signature": "v1"},
        {**HEADERS, "webhook-signature": SIGNATURE.removeprefix("v1,")},
        {**HEADERS, "webhook-signature": SIGNATURE.replace("v1", "v2")},
        {**HEADERS, "webhook-signature": SIGNATURE.replace("OE=", "OA=")},
        {**HEADERS, "webhook-signature": "v1,é\udc80"},
        {**HEADERS, "webhook-signature": f"{'v1,x ' * 100_000}{SIGNATURE}"},
    ],
)
def test_what_is_not_ours_is_refused(headers: dict[str, str]) -> None:
    """Whatever the headers hold, it is one typed error."""
    with pytest.raises(Unauthenticated):
        verify(headers)


def test_what_was_signed_cannot_be_parted_elsewhere() -> None:
    """An id holds no dot: else a part of one message could be given out as another one, under the same signature."""
    signed = sign_webhook("msg", b"1700000000.{}", timestamp=1_600_000_000, secrets=[SECRET])
    moved = {**signed, "webhook-id": "msg.1600000000", "webhook-timestamp": "1700000000"}
    with pytest.raises(Unauthenticated):
        verify_webhook(moved, b"{}", secrets=[SECRET], now=1_700_000_000)


def test_a_body_or_secret_that_is_another_is_refused() -> None:
    """Every byte counts."""
    for body in (b"", BODY + b" ", BODY.replace(b" ", b""), b"\xff"):
        with pytest.raises(Unauthenticated, match="bears no signature that fits"):
            verify(HEADERS, body=body)
    with pytest.raises(Unauthenticated):
        verify(HEADERS, secret=new_webhook_secret().reveal())


@pytest.mark.parametrize(("now", "is_good"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_five_minutes_are_allowed_either_way(now: int, is_good: bool) -> None:
    """An old one cannot be played again."""
    if is_good:
        assert verify(HEADERS, now=TIMESTAMP + now) == MESSAGE
        return
    with pytest.raises(Unauthenticated, match=r"was sent 301 s (ago|ahead of our clock), and 300 s are allowed"):
        verify(HEADERS, now=TIMESTAMP + now)


def test_while_a_secret_is_replaced_either_one_will_do() -> None:
    """The sender signs with both, the receiver may know either or both."""
    old, new, other = (new_webhook_secret() for _ in range(3))
    headers = sign_webhook(MESSAGE, BODY, timestamp=TIMESTAMP, secrets=[new, old])
    assert headers["webhook-signature"].count("v1,") == 2
    for known in ([old], [new], [other, old]):
        assert verify_webhook(headers, BODY, secrets=known, now=TIMESTAMP) == MESSAGE
    with pytest.raises(Unauthenticated):
        verify_webhook(headers, BODY, secrets=[other], now=TIMESTAMP)
    with pytest.raises(Unauthenticated):
        verify_webhook(headers, BODY, secrets=[], now=TIMESTAMP)


def test_a_new_secret_is_long_and_hidden() -> None:
    """32 random bytes, written as the specification says, and shown by no text form."""
    secret = new_webhook_secret()
    assert isinstance(secret, Secret)
    assert len(read_webhook_secret(secret)) == 32
    assert secret.reveal().startswith("whsec_")
    assert secret.reveal() not in f"{secret} {secret!r} {[secret]}"


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_short", "whsec_" + "A" * 120, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2Laé"]
)
def test_a_secret_that_is_none_is_not_repeated(text: str) -> None:
    """Too short, too long, or not base64."""
    with pytest.raises(InvalidInput, match="24 to 64 bytes in base64") as caught:
        read_webhook_secret(text)
    assert text.removeprefix("whsec_") == "" or text not in caught.value.message
