"""What may an artifact be called, and can a name lead anywhere but to its own key?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import InvalidInput
from quorate.state.artifacts.names import Keys, check_labels, check_media_type, check_name, is_handle, read_version
from quorate.state.backends._checks import check_key

GOOD = ("a", "report.md", "Über uns.txt", "a/b/c d", "日本語", "...", ".hidden", "a" * 255)
BAD = (
    *("", " ", "/", "/etc/passwd", "a//b", "a/", "..", "../x", "a/../b", "a/.", "a\\b"),
    *("a\0b", "a\nb", "a\x1fb", "a\x7f", "\ud800", "a\u202eb", "x" * 256, "ü" * 128),
    "art-0123456789abcdef0123456789ab",
)


@pytest.mark.parametrize("name", GOOD)
def test_names_of_people_are_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_names_that_lead_elsewhere_or_hide_something_are_refused(name: str) -> None:
    """Paths that climb, NUL, line breaks, marks that turn the direction, handles."""
    with pytest.raises(InvalidInput, match="artifact name"):
        check_name(name)


@given(st.text(max_size=300), st.text(max_size=300), st.integers(1, 10**9))
def test_no_two_names_share_a_key(one: str, other: str, version: int) -> None:
    """A name is a part of its key and of no other one's, and the key is one that a store takes."""
    try:
        names = [check_name(one), check_name(other)]
    except InvalidInput:
        return
    keys = Keys("acme")
    found = [keys.of_version("session/s-1", name, version) for name in names]
    assert all(check_key(key) for key in found)
    assert (found[0] == found[1]) == (one == other)
    assert found[0].startswith(keys.of_name("session/s-1", one))
    assert found[1].startswith(keys.of_name("session/s-1", one)) == (one == other)
    assert read_version(found[0]) == version


def test_the_last_version_stands_first() -> None:
    keys = Keys("acme")
    listed = [keys.of_version("run/r", "a", version) for version in (1, 2, 9, 10, 11, 100)]
    assert sorted(listed) == listed[::-1]


def test_the_longest_name_is_still_a_key() -> None:
    tenant = session = "a" * 63
    assert check_key(Keys(tenant).of_version(f"session/{session}", "ü" * 127, 10**9))


@pytest.mark.parametrize("media_type", ["text/plain", "application/vnd.a+json", "text/plain; charset=utf-8"])
def test_media_types_are_kept(media_type: str) -> None:
    assert check_media_type(media_type) == media_type


@pytest.mark.parametrize(
    "media_type", ["text", "text/", "text/plain\nX: y", "a/b/c", "../x", "text/plain; a=\r\n", "T/P"]
)
def test_what_is_no_media_type_is_refused(media_type: str) -> None:
    """It may end up in a header."""
    with pytest.raises(InvalidInput, match="media type"):
        check_media_type(media_type)


@pytest.mark.parametrize("labels", [{"": "x"}, {"a\n": "x"}, {"a": "x" * 257}, {str(n): "" for n in range(33)}])
def test_labels_are_bounded(labels: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="label"):
        check_labels(labels)


@pytest.mark.parametrize("tenant", ["", "../x", "a/b", "A", "a\0"])
def test_a_tenant_is_an_identifier(tenant: str) -> None:
    with pytest.raises(InvalidInput, match="tenant"):
        Keys(tenant)


def test_handles_are_told_from_names() -> None:
    assert is_handle("art-0123456789abcdef0123456789ab")
    assert not is_handle("art-0123456789abcdef0123456789aB")
