"""What may an approver change in a call's arguments?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import InvalidInput
from quorate.tools.edits import build_edit, check_edit, get_edit_digest

ASKED = '{"amount": 1.50, "to": {"name": "ann", "tags": ["a", 1]}, "note": null}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_an_editable_field_may_change_vanish_or_come() -> None:
    """What is declared may be changed in any way; the order and the spacing of the text do not matter."""
    for given_text in (
        '{"to":{"tags":["a",1],"name":"ann"},"note":null,"amount":7}',
        '{"to":{"tags":["a",1],"name":"ann"},"note":null}',
        '{"to":{"tags":["a",1],"name":"ann"},"note":null,"amount":{"deep":[true]}}',
    ):
        check_edit(ASKED, given_text, ["amount"])
    check_edit("", '{"amount": 1}', ["amount"])


@pytest.mark.parametrize(
    "edited",
    [
        '{"amount": 1.50, "to": {"name": "bob", "tags": ["a", 1]}, "note": null}',
        '{"amount": 1.50, "to": {"name": "ann", "tags": ["a", 1.0]}, "note": null}',
        '{"amount": 1.50, "to": {"name": "ann", "tags": ["a", true]}, "note": null}',
        '{"amount": 1.50, "to": {"name": "ann", "tags": ["a", "1"]}, "note": null}',
        '{"amount": 1.50, "to": {"name": "ann", "tags": [1, "a"]}, "note": null}',
        '{"amount": 1.50, "to": {"name": "ann", "tags": ["a", 1], "x": 1}, "note": null}',
        '{"amount": 1.50, "to": {"name": "ann", "tags": ["a", 1]}, "note": false}',
        '{"amount": 1.50, "to": {"name": "ann", "tags": ["a", 1]}}',
        '{"amount": 1.50, "note": null}',
        '{"amount": 1.50, "to": {"name": "ann", "tags": ["a", 1]}, "note": null, "force": true}',
    ],
)
def test_no_other_field_may_differ(edited: str) -> None:
    """Not in a value, a type, an order, nor by coming or going, however deep. row: B6"""
    with pytest.raises(InvalidInput, match=r"differ in '(to|note|force)'; what may be changed is `amount`"):
        check_edit(ASKED, edited, ["amount"])


@pytest.mark.parametrize(
    ("asked", "edited", "words"),
    [
        (ASKED, '{"amount": 1, "amount": 2}', "'amount' is given twice"),
        (ASKED, '{"amount": 1, "\\u0061mount": 2}', "'amount' is given twice"),
        (ASKED, '{"to": {"name": "ann", "name": "bob"}}', "'name' is given twice"),
        (ASKED, '{"amount": NaN}', "NaN is not a number"),
        (ASKED, '{"amount": -Infinity}', "-Infinity is not a number"),
        (ASKED, "[1]", "not a JSON object"),
        (ASKED, "{", "not valid JSON"),
        (ASKED, '{"amount":' + "[" * 100 + "]" * 100 + "}", "deeper than 64"),
        (ASKED, '{"amount": "' + "x" * (1 << 20) + '"}', "at most 1048576"),
        ('{"amount": 1, "amount": 9}', '{"amount": 2}', "own arguments are not valid JSON: 'amount' is given twice"),
        ("not json", "{}", "own arguments are not valid"),
    ],
)
def test_what_reads_in_two_ways_is_refused(asked: str, edited: str, words: str) -> None:
    """Both texts are read strictly: who approves and what executes must see the same."""
    with pytest.raises(InvalidInput) as caught:
        check_edit(asked, edited, ["amount"])
    assert words in caught.value.message


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4), st.text(max_size=4), JSON)
def test_a_change_of_one_field_is_found_out(fields: dict[str, object], name: str, value: object) -> None:
    """For any object and any change: allowed where the field is editable, refused where it is another one."""
    asked = json.dumps(fields)
    edited = build_edit(asked, {name: value})
    check_edit(asked, edited, [name])
    check_edit(asked, asked, [])
    same = name in fields and json.dumps(fields[name], sort_keys=True) == json.dumps(value, sort_keys=True)
    if not same:
        with pytest.raises(InvalidInput, match="differ in"):
            check_edit(asked, edited, [f"{name}-other"])


def test_an_edit_leaves_the_rest_to_the_byte() -> None:
    """A number that no float can hold survives the edit of its neighbour."""
    asked = '{"amount":1,"id":123456789012345678901234567890,"rate":1.10,"far":1e400}'
    edited = build_edit(asked, {"amount": 2})
    assert edited == '{"amount":2,"id":123456789012345678901234567890,"rate":1.10,"far":1e400}'
    check_edit(asked, edited, ["amount"])


def test_an_answer_covers_the_question_and_the_edit() -> None:
    """Another question or another text is covered by another digest."""
    digests = {get_edit_digest(digest, text) for digest in ("a", "b") for text in ("{}", "{} ")}
    assert len(digests) == 4
