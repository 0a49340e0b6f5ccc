"""Does an envelope keep its letter, and keep it from others?"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.language.strategies import TEXT, build_values

from quorate.codec.envelope import MAJOR, MINOR, Envelope, seal, unseal
from quorate.codec.json import decode, encode
from quorate.errors import Forbidden, InvalidInput, TooLarge
from quorate.testing.samples import build_every_event


def build(**fields: str) -> Envelope:
    return Envelope(**{"id": "m1", "kind": "task", "tenant": "acme", **fields}, time=1.5)


@given(
    body=build_values(object),
    headers=st.dictionaries(TEXT, TEXT, max_size=3),
    correlation=st.none() | TEXT,
    trace=st.none() | TEXT,
)
def test_what_is_sealed_is_unsealed(
    body: object, headers: dict[str, str], correlation: str | None, trace: str | None
) -> None:
    """Every field of the outside and the body come back."""
    envelope = Envelope(
        id="m1", kind="task", tenant="acme", time=1.5, headers=headers, correlation=correlation, trace=trace
    )
    read = unseal(seal(envelope, body), tenant="acme")
    assert msgspec.structs.replace(read, body=envelope.body) == envelope
    assert decode(bytes(read.body), object) == body


def test_the_body_may_be_an_event() -> None:
    event = build_every_event("run-1")[0]
    read = unseal(seal(build(), event), tenant="acme")
    assert bytes(read.body) == encode(event)


def test_another_tenants_envelope_is_refused() -> None:
    """The message does not say whose it is."""
    with pytest.raises(Forbidden, match="'m1' belongs to another tenant") as caught:
        unseal(seal(build(), 1), tenant="other")
    assert "acme" not in caught.value.message


@pytest.mark.parametrize("version", [f"{MAJOR}.{MINOR + 1}", f"{MAJOR}.99", f"{MAJOR}.0"])
def test_another_minor_version_is_read_and_its_additions_passed_over(version: str) -> None:
    """Unknown newer minor is readable."""
    sealed = msgspec.json.decode(seal(build(version=version), {"a": 1}))
    read = unseal(encode({**sealed, "priority": 3}), tenant="acme")
    assert (read.id, read.version) == ("m1", version)


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0", "", "x"])
def test_another_major_version_is_refused(version: str) -> None:
    """Unknown major is refused, with what is readable."""
    with pytest.raises(InvalidInput, match=r"this version reads 1\.x"):
        unseal(seal(build(version=version), 1), tenant="acme")


def test_a_letter_that_is_too_large_or_too_deep_is_refused() -> None:
    with pytest.raises(TooLarge, match="envelope has"):
        unseal(seal(build(), "x" * 1000), tenant="acme", max_bytes=999)
    with pytest.raises(InvalidInput, match="nests deeper"):
        unseal(b'{"body":' + b"[" * 100 + b"]" * 100 + b"}", tenant="acme")


@given(st.data())
def test_cut_bytes_are_a_typed_error(data: st.DataObject) -> None:
    """Truncated bytes raise a typed error."""
    sealed = seal(build(), {"a": [1, 2, {"b": "c"}]})
    with pytest.raises(InvalidInput):
        unseal(sealed[: data.draw(st.integers(0, len(sealed) - 1))], tenant="acme")


@given(st.binary(max_size=300))
def test_garbage_is_a_typed_error(data: bytes) -> None:
    """No bytes bring about another exception."""
    with pytest.raises((InvalidInput, Forbidden)):
        unseal(data, tenant="acme")
