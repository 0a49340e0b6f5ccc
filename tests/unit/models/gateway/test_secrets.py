"""Does any text form of a secret show it?"""

import copy
import pickle

import msgspec
import pytest

from quorate.security.secrets import HIDDEN, Secret, decode_secret, encode_secret

SECRET = Secret("sk-canary")


class Holder(msgspec.Struct):
    key: Secret


@pytest.mark.parametrize(
    "text",
    [
        str(SECRET),
        repr(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        f"{SECRET:>40}",
        "{}".format(SECRET),  # noqa: UP032
        repr([SECRET]),
        repr(Holder(SECRET)),
        msgspec.json.encode(Holder(SECRET), enc_hook=encode_secret).decode(),
    ],
)
def test_no_text_form_shows_it(text: str) -> None:
    assert "canary" not in text
    assert HIDDEN in text


@pytest.mark.parametrize("write", [pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode])
def test_it_is_not_written_down(write: object) -> None:
    with pytest.raises(TypeError):
        write(SECRET)  # type: ignore[operator]


def test_it_is_read_where_it_is_used() -> None:
    assert SECRET.reveal() == "sk-canary"
    assert not hasattr(SECRET, "__dict__")


def test_equal_secrets_are_equal() -> None:
    assert Secret("sk-canary") == SECRET
    assert Secret("other") != SECRET
    assert SECRET != "sk-canary"
    assert len({SECRET, Secret("sk-canary")}) == 1
    assert not Secret("")


def test_settings_decode_into_it() -> None:
    held = msgspec.convert({"key": "sk-canary"}, Holder, dec_hook=decode_secret)
    assert held.key == SECRET
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"key": 7}, Holder, dec_hook=decode_secret)
    with pytest.raises(TypeError):
        encode_secret(object())
