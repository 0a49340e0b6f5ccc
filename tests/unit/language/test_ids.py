"""Are names unique, sortable by age, and safe wherever they go?"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import InvalidInput
from quorate.ids import PATTERN, check_id, new_id


def test_ids_do_not_collide() -> None:
    assert len({new_id("run") for _ in range(100_000)}) == 100_000


def test_ids_sort_by_the_millisecond_they_were_made_in() -> None:
    made: list[tuple[int, str]] = []
    while not made or made[-1][0] <= made[0][0] + 10:
        before = time.time_ns() // 1_000_000
        made.append((before, new_id("run")))
    later = [(m, i) for m, i in made if m > made[0][0] + 1]
    assert later
    assert all(name > made[0][1] for _, name in later)


@pytest.mark.parametrize("kind", ["run", "attempt", "call", "a"])
def test_an_id_is_a_safe_identifier(kind: str) -> None:
    name = new_id(kind)
    assert name.startswith(f"{kind}-")
    assert check_id(name) == name


@given(st.from_regex(PATTERN, fullmatch=True))
def test_what_the_grammar_allows_is_returned(name: str) -> None:
    assert check_id(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "-a", "A", "a.b", "a/b", "../a", "a b", "a\n", "\na", "a\0", "*", ">", "é", "а", "٣", "a" * 64,
        "a_b", "a:b", "%2e",
    ],
)  # fmt: skip
def test_what_could_mean_something_elsewhere_is_refused(name: str) -> None:
    """No path, subject token, wildcard, header or look-alike gets through."""
    with pytest.raises(InvalidInput, match="is not an identifier: use 1 to 63"):
        check_id(name, "tenant")


@given(st.text(max_size=100))
def test_any_text_is_an_identifier_or_a_typed_error(name: str) -> None:
    safe = bool(name) and len(name) <= 63 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    if safe and not name.startswith("-"):
        assert check_id(name) == name
        return
    with pytest.raises(InvalidInput):
        check_id(name)


def test_the_refusal_names_the_field_and_cuts_the_value() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_id("X" * 10_000, "session")
    assert caught.value.message.startswith("session 'XXX")
    assert len(caught.value.message) < 250
    assert caught.value.context == {"what": "session"}
