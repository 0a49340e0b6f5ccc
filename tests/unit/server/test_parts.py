"""Are the parts of other protocols read as what they are, and refused by their names?"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.messages import Thinking
from quorate.server.gate import compile_path
from quorate.server.parts import SEAL, check_unset, read_body, read_data_url, seal, unseal


class Inner(Struct, forbid_unknown_fields=True):
    count: int


class Outer(Struct, forbid_unknown_fields=True):
    inner: tuple[Inner, ...]
    note: str | None = None


@given(st.text(), st.text(), st.text(), st.booleans())
def test_seals_bring_back_what_was_sealed(text: str, signature: str, name: str, redacted: bool) -> None:
    thought = Thinking(text=text, signature=signature, id=name, provider="p", redacted=redacted)
    assert unseal(seal(thought), text=text) == thought


@given(st.text() | st.text().map(lambda text: SEAL + text))
def test_what_is_no_seal_is_nothing(text: str) -> None:
    found = unseal(text)
    assert found is None or isinstance(found, Thinking)
    assert unseal("sig-1") is None
    assert seal(Thinking(text="x")) == ""


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"inner": [{"count": "x"}]}', "inner[0].count"),
        (b'{"inner": [{"count": 1, "sum": 2}]}', "inner[0].sum"),
        (b'{"inner": [{}]}', "inner[0].count"),
        (b'{"note": "x"}', "inner"),
        (b'{"inner": [], "nobody": 1}', "nobody"),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_the_field_that_does_not_fit_is_named(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidInput, match="no thing that is known here") as caught:
        read_body(msgspec.json.Decoder(Outer), body, what="thing")
    assert caught.value.context["param"] == param


def test_long_values_are_cut_in_refusals() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_unset(Outer(inner=(), note="secret" * 100), {"note": ()}, why="not here.")
    assert len(caught.value.message) < 120


@pytest.mark.parametrize("url", ["http://x", "data:,x", "data:text/plain,x", "data:text/plain;base64,*", ""])
def test_addresses_that_hold_no_bytes(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_data_url(url, "messages[0]")
    assert caught.value.context["param"] == "messages[0]"


def test_ids_in_paths() -> None:
    pattern = compile_path("/responses/{response_id:str}/cancel")
    assert (pattern.fullmatch("/responses/a.b/cancel") or [""])[1] == "a.b"
    assert pattern.fullmatch("/responses/a/b/cancel") is None
    assert (compile_path("/models/{model_id:path}").fullmatch("/models/a:b/c") or [""])[1] == "a:b/c"
