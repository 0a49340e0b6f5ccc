"""Are limits and arguments of the command line read as meant, and refused with a way out?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.cli.options import read_arguments, read_limits
from quorate.errors import InvalidInput
from quorate.specs import Limits


def test_limits_are_laid_over_the_agents_own() -> None:
    """The last of a name counts; what is not named stays. row: C17"""
    limits = read_limits(["steps=3", "cost_usd=0.5", "steps=4"], base=Limits(seconds=9))
    assert limits == Limits(steps=4, seconds=9, cost_usd=0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps", "`--limit steps` has no value: write it like `--limit seconds=60`."),
        ("stps=3", "There is no limit 'stps'. Did you mean `steps`?"),
        ("steps=many", "'many' is not a number: write `steps=10`, for example."),
        ("steps=1.5", "'1.5' is not a number"),
        ("steps=0", "a limit is a number above 0."),
        ("seconds=-1", "a limit is a number above 0."),
        ("seconds=nan", "a limit is a number above 0."),
        ("seconds=inf", "a limit is a number above 0."),
        ("cost_usd=null", "a limit is a number above 0."),
    ],
)
def test_a_bad_limit_says_what_to_write(text: str, said: str) -> None:
    """Each message names the option as it was typed. row: C17"""
    with pytest.raises(InvalidInput) as caught:
        read_limits([text], base=Limits())
    assert said in caught.value.message


def test_arguments_are_json_where_they_read_so() -> None:
    """Numbers, truth, lists; everything else is text."""
    given_ = ["host=localhost", "port=9", "deep=true", 'names=["a"]', "empty=", "eq=a=b"]
    assert json.loads(read_arguments(given_, None)) == {
        "host": "localhost", "port": 9, "deep": True, "names": ["a"], "empty": "", "eq": "a=b",
    }  # fmt: skip


@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), st.text(alphabet=st.characters(codec="utf-8"))))
def test_any_text_is_taken(values: dict[str, str]) -> None:
    """No value makes the reader fail."""
    read = json.loads(read_arguments([f"{key}={value}" for key, value in values.items()], None))
    assert read.keys() == values.keys()


def test_one_way_to_give_arguments() -> None:
    """Both at once would leave open which counts."""
    assert read_arguments([], '{"a": 1}') == '{"a": 1}'
    with pytest.raises(InvalidInput, match="exclude each other"):
        read_arguments(["a=1"], "{}")
    with pytest.raises(InvalidInput, match="has no value"):
        read_arguments(["a"], None)
