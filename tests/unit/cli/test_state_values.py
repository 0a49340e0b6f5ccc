"""Are values and schemas of `quorate state` read as meant, and refused with a way out?"""

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.cli.state import load_schemas, read_input, read_value
from quorate.errors import InvalidInput

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_is_taken_as_what_it_says(value: object) -> None:
    """Any of it."""
    assert read_value(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["hello", "", "a b", "01234", "ann@example.org", "1.2.3", "true!", "nul", "a{b}"])
def test_everything_else_is_text(text: str) -> None:
    """As it was typed."""
    assert read_value(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1', "The value begins like JSON and is none: .* Mend it, or add `--text`"),
        ("[1,", "begins like JSON and is none"),
        ('"open', "begins like JSON and is none"),
        ('{"a": 1, "b": {"x": 1, "x": 2}}', "The value has 'x' twice: keep one of them"),
        ("NaN", "NaN is no JSON: store `null`, or add `--text`"),
        ("[Infinity]", "Infinity is no JSON"),
        ("[" * 5000, "nests deeper than 64 levels"),
    ],
)
def test_what_is_meant_as_json_and_is_none(text: str, words: str) -> None:
    """It is not stored as text in silence."""
    with pytest.raises(InvalidInput, match=words):
        read_value(text)


class Input(io.StringIO):
    """What somebody pipes in, or types."""

    def __init__(self, data: bytes, *, tty: bool = False) -> None:
        super().__init__()
        self.buffer = io.BytesIO(data)
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """One newline at the end is the pipe's, not the value's."""
    monkeypatch.setattr(sys, "stdin", Input(b'{"a": 1}\n\n'))
    assert read_input() == '{"a": 1}\n'
    for data, tty, words in (
        (b"", True, "There is no value: give it behind the name, or on standard input"),
        (b"x" * ((1 << 20) + 1), False, "more than 1048576 bytes: save it as an artifact"),
        (b"\xff\xfe", False, "The value is not UTF-8"),
    ):
        monkeypatch.setattr(sys, "stdin", Input(data, tty=tty))
        with pytest.raises(InvalidInput, match=words):
            read_input()


def test_schemas_are_found_beside_the_one_who_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One, or a sequence of them."""
    text = "from quorate.state.schemas import StateSchema\nONE = StateSchema(name='a')\nALL = [ONE]\nNONE = 5\nSOME = [ONE, 5]\n"
    (tmp_path / "cli_state_schemas.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert [schema.name for schema in load_schemas("cli_state_schemas:ONE")] == ["a"]
    assert [schema.name for schema in load_schemas("cli_state_schemas:ALL")] == ["a"]
    for given_, words in (
        ("cli_state_schemas", "does not say where schemas are: write it like `shop.schemas:SCHEMAS`"),
        ("cli_state_schemas:GONE", "cannot be loaded: module 'cli_state_schemas' has no attribute 'GONE'"),
        ("cli_state_schemata:ONE", "cannot be loaded: No module named 'cli_state_schemata'"),
        (":ONE", "cannot be loaded"),
        ("cli_state_schemas:NONE", "is no `StateSchema` and no sequence of them"),
        ("cli_state_schemas:SOME", "is no `StateSchema` and no sequence of them"),
    ):
        with pytest.raises(InvalidInput, match=words):
            load_schemas(given_)
