"""What may be stored, what does it become, and what is refused before anything is written?"""

import contextlib
import enum
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from quorate.errors import InvalidInput, TooLarge
from quorate.security.secrets import Secret
from quorate.state.leaks import HIDDEN
from quorate.state.plain import Rules, to_plain

REFUSE, REDACT = Rules(), Rules(secrets="redact")


def plain(value: object, *, name: str = "x", rules: Rules = REFUSE) -> object:
    return to_plain(value, name=name, where="state 'x'", rules=rules)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_data_stays_what_it_is(value: object) -> None:
    """What is JSON already is read back as it was, and is a copy through and through."""
    flat = plain(value)
    assert flat == value
    assert msgspec.json.decode(msgspec.json.encode(flat)) == value
    if isinstance(value, list | dict):
        assert flat is not value


class Colour(enum.StrEnum):
    RED = "red"


class Shape(str, enum.Enum):  # noqa: UP042 - the older way, whose members are shown by their names
    ROUND = "round"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Point:
    x: int
    y: object


class Item(Struct, tag="item"):
    name: str
    price: Decimal


class Compact(Struct, array_like=True):
    a: int
    b: str


def test_other_things_become_what_json_has_for_them() -> None:
    """Structs, dataclasses, enumerations, dates, mappings and sets."""
    given_ = {
        "enum": [Colour.RED, Level.HIGH],
        "point": Point(1, Point(2, None)),
        "item": Item("tea", Decimal("1.50")),
        "compact": Compact(1, "b"),
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "id": UUID(int=1),
        "bytes": b"\x00\x01",
        "tuple": (1, (2,)),
        "set": {3, 1, 2},
        "mapping": MappingProxyType(OrderedDict(a=1)),
        5: "a whole number as a key",
        Shape.ROUND: "an enumeration as a key",
    }
    assert plain(given_) == {
        "enum": ["red", 3],
        "point": {"x": 1, "y": {"x": 2, "y": None}},
        "item": {"type": "item", "name": "tea", "price": "1.50"},
        "compact": [1, "b"],
        "when": "2026-01-02T00:00:00Z",
        "id": "00000000-0000-0000-0000-000000000001",
        "bytes": "AAE=",
        "tuple": [1, [2]],
        "set": [1, 2, 3],
        "mapping": {"a": 1},
        "5": "a whole number as a key",
        "round": "an enumeration as a key",
    }


def test_the_same_part_twice_is_no_cycle() -> None:
    """Only what holds itself is refused; what is held twice is written twice."""
    part = [1]
    assert plain([part, part, {"a": part}]) == [[1], [1], {"a": [1]}]


def build_cycles() -> list[object]:
    in_list: list[object] = []
    in_list.append(in_list)
    in_dict: dict[str, object] = {}
    in_dict["a"] = {"b": [in_dict]}
    in_class = Point(1, None)
    in_class.y = (in_class,)
    first, second = {}, {}  # type: ignore[var-annotated]
    first["second"], second["first"] = second, first
    return [in_list, in_dict, in_class, first]


@pytest.mark.parametrize("value", build_cycles(), ids=["list", "dict", "dataclass", "two"])
def test_what_holds_itself_is_refused(value: object) -> None:
    """As a typed error that says where, long before Python's own limit. row: E5"""
    with pytest.raises(InvalidInput, match=r"^state 'x': `\$.*` holds itself: store what it refers to by a name"):
        plain(value)


def test_depth_is_bounded() -> None:
    """Thirty-two levels are kept and no more, also of a value far deeper than Python can recurse."""
    deep: list[object] = []
    for _ in range(31):
        deep = [deep]
    assert plain(deep) == deep
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="nests deeper than 32 levels"):
        plain(deep)
    while deep:  # freed one by one: the interpreter frees nested lists by recursion
        deep = deep.pop()  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, [{"a": math.nan}], Decimal("NaN"), {"d": Decimal("-Infinity")}]
)
def test_what_is_no_number_is_refused(value: object) -> None:
    """JSON has no word for it, and `null` would be another value."""
    with pytest.raises(InvalidInput, match="which JSON has no word for: store `None` or text"):
        plain(value)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, {"a": [10**30]}])
def test_numbers_beyond_64_bits_are_refused(value: object) -> None:
    """A reader would round them in silence."""
    with pytest.raises(InvalidInput, match="of more than 64 bits: store it as text"):
        plain(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), r"`\$` is a `object`, which cannot be stored"),
        ({"a": [1, lambda: 0]}, r"`\$\.a\[1\]` is a `function`"),
        ({"a": {1.5: 1}}, r"has a key that is a `float`: keys are text or whole numbers"),
        ({True: 1}, "has a key that is a `bool`"),
        ({1: "a", "1": "b"}, "has two keys that are the same as text"),
        (Point, "is a `type`"),
        (1j, "is a `complex`"),
    ],
)
def test_what_json_has_nothing_for_is_refused(value: object, words: str) -> None:
    """With the place, and what to give instead."""
    with pytest.raises(InvalidInput, match=words):
        plain(value)


def test_size_is_bounded_while_it_is_looked_at() -> None:
    """A small value that unfolds into a huge one is not unfolded."""
    bomb: object = "x"
    for _ in range(30):
        bomb = [bomb, bomb]
    with pytest.raises(TooLarge, match="has more than 262144 bytes as JSON: save it as an artifact"):
        plain(bomb)
    with pytest.raises(TooLarge):
        plain("x" * 300_000)


KEYS = {
    "provider": "sk-proj-abcdefghijklmnop0123",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "github": "ghp_" + "a1B2" * 9,
    "github-fine": "github_pat_" + "a1B2c3" * 5,
    "gitlab": "glpat-" + "x" * 20,
    "slack": "xoxb-123456789012-abcdef",
    "google": "AIza" + "b" * 35,
    "stripe": "sk_live_" + "9" * 24,
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "login": "postgresql://ann:hunter2@db.example/shop",
    "header": "Authorization: Bearer abcdefghijklmnop1234",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_what_looks_like_a_key_is_refused_or_redacted(key: str) -> None:
    """Wherever it stands, alone or in a sentence; the message does not show it. row: E5"""
    for value in (key, [key], {"note": f"use {key} for it"}, Point(1, {"deep": (key,)})):
        with pytest.raises(
            InvalidInput, match="looks like a key, a token or a login: secrets are not stored"
        ) as caught:
            plain(value)
        assert key not in str(caught.value)
    assert plain({"note": f"use {key}", "n": 1}, rules=REDACT) == {"note": HIDDEN, "n": 1}
    with pytest.raises(InvalidInput, match="has a key that looks like a secret") as caught:
        plain({key: 1}, rules=REDACT)
    assert key not in str(caught.value)


def test_a_secret_in_bytes_is_one_too() -> None:
    """It would be stored as base64, which hides nothing."""
    for value in (b"sk-proj-abcdefghijklmnop0123", bytearray(b"AKIAIOSFODNN7EXAMPLE")):
        with pytest.raises(InvalidInput, match="looks like a key"):
            plain({"a": value})
        assert plain({"a": value}, rules=REDACT) == {"a": HIDDEN}
    assert plain({"password": b"hunter2"}, rules=REDACT) == {"password": HIDDEN}


class SecretStr:
    """As other libraries have it."""

    def __init__(self, value: str) -> None:
        self.value = value

    def get_secret_value(self) -> str:
        return self.value


@pytest.mark.parametrize("secret", [Secret("a"), SecretStr("a"), Secret("")], ids=["ours", "theirs", "empty"])
def test_typed_secrets_are_refused_or_redacted(secret: object) -> None:
    """Nothing of them is looked at but their class. row: E5"""
    with pytest.raises(InvalidInput, match=r"`\$\.a\[0\]` is a secret: secrets are not stored"):
        plain({"a": [secret]})
    assert plain({"a": [secret]}, rules=REDACT) == {"a": [HIDDEN]}


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "DB-Password", "apiKey", "api_key", "client_secret", "secret", "access_token",
     "privateKey", "passphrase", "Authorization", "credentials", "pwd", "secrets"],
)  # fmt: skip
def test_a_name_makes_a_secret_of_any_text(name: str) -> None:
    """In a mapping, a struct, a list below the name, and as the name of the value itself. row: E5"""
    for value in ({name: "hunter2"}, {name: ["hunter2"]}, {"a": [{name: "hunter2"}]}):
        with pytest.raises(InvalidInput, match="so it is a secret"):
            plain(value)
    with pytest.raises(InvalidInput, match="so it is a secret"):
        plain("hunter2", name=f"login/{name}")
    assert plain({name: "hunter2", "user": "ann"}, rules=REDACT) == {name: HIDDEN, "user": "ann"}


@pytest.mark.parametrize(
    "value",
    [
        {"tokens": 12, "max_tokens": "many", "token": "short", "next_token": "page-2"},
        {"password": "", "api_key": "env:OPENAI_API_KEY", "secret": "${SECRET}", "passwords": 3},
        {"secretary": "ann", "passwordless": "yes", "keys": ["a"], "key": "value"},
        "a task-sketch of the disk-usage; see https://example.org/a?b=c and ann@example.org",
        "eyJ is how a token begins, sk- how a key does, and AKIA nothing",
        {"digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
    ],
)
def test_what_is_no_secret_is_kept(value: object) -> None:
    """Counts, references to secrets, words that only sound like one."""
    assert plain(value) == value


def test_looking_for_secrets_takes_linear_time() -> None:
    """Texts made to slow the search down are read in a moment."""
    for piece in (
        "eyJ",
        "eyJa.",
        "sk-",
        "://a:b",
        "-----BEGIN ",
        "AKIA",
        "Bearer ",
        "ghp_a",
        "eyJ" + "a" * 20 + ".eyJ",
    ):
        text = piece * (200_000 // len(piece))
        began = time.process_time()
        with contextlib.suppress(InvalidInput):
            plain(text)
        assert time.process_time() - began < 3, piece
