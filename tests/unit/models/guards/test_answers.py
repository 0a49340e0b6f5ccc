"""Does a schema hold an answer to what it says, and does it say no more than it holds?"""

import json
from collections.abc import Mapping

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import InvalidInput
from quorate.models.guards.answers import AnswerSchema

SCHEMA: Mapping[str, object] = {
    "$defs": {"tag": {"type": "string", "minLength": 1, "maxLength": 5}},
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 0, "exclusiveMaximum": 10, "multipleOf": 2},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "maxItems": 3, "uniqueItems": True},
        "kind": {"enum": ["a", "b", 1, None]},
        "one": {"const": True},
        "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "only": {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]},
        "both": {"allOf": [{"minLength": 2}, {"maxLength": 3}]},
        "never": {"not": {"type": "string"}},
        "pair": {"prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": False},
        "free": True,
    },
    "required": ["n"],
    "additionalProperties": {"type": "number"},
    "maxProperties": 6,
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.floats(-2, 12).map(lambda v: round(v, 1))
    | st.sampled_from(["", "a", "ab", "abc", "abcdef"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*SCHEMA["properties"], "other"]), inner, max_size=3)
    ),  # type: ignore[misc]
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(value=st.dictionaries(st.sampled_from([*SCHEMA["properties"], "other"]), VALUES, max_size=7))  # type: ignore[misc]
def test_it_judges_as_the_reference_does(value: dict[str, object]) -> None:
    """The same yes and no as the well-known validator, for every keyword that is read."""
    fits = jsonschema.Draft202012Validator(SCHEMA).is_valid(value)  # type: ignore[arg-type]
    assert (AnswerSchema(SCHEMA).find_fault(json.dumps(value)) is None) == fits


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("no json", "it is not JSON"),
        ("[" * 100 + "]" * 100, "it is not JSON"),
        ("7", "`$` is not of type object"),
        ("{}", "`$.n` is missing"),
        ('{"n": 11}', "`$.n` is out of its range"),
        ('{"n": 3}', "`$.n` is no multiple of 2"),
        ('{"n": 2, "secret-name": "x"}', "`$` is not of type number"),
        ('{"n": 2, "tags": ["a", "a"]}', "`$.tags` has an item twice"),
        ('{"n": 2, "tags": ["a", ""]}', "`$.tags[1]` has 0 characters"),
        ('{"n": 2, "kind": "c"}', "`$.kind` is none of the values it may be"),
        ('{"n": 2, "one": 1}', "`$.one` is not the one value it may be"),
        ('{"n": 2, "only": 7}', "`$.only` fits 2 of the choices of `oneOf`"),
        ('{"n": 2, "never": "x"}', "`$.never` is what it must not be"),
        ('{"n": 2, "pair": ["x", true, 1]}', "nothing may stand at `$.pair[2]`"),
        ('```json\n{"n": 2}\n```', None),
    ],
)
def test_a_fault_says_where_and_not_what(answer: str, fault: str | None) -> None:
    """The words of an answer are not repeated, nor are names it made up."""
    assert AnswerSchema(SCHEMA).find_fault(answer) == fault


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"pattern": "^a"}, r"uses 'pattern' at `\$`, which is not checked here"),
        ({"properties": {"a": {"if": {}}}}, r"uses 'if' at `\$\.properties\.a`"),
        ({"type": "text"}, r"has the type 'text' at `\$`"),
        ({"$ref": "https://example.com/x"}, r"refers to 'https://example\.com/x'"),
        ({"$ref": "#/$defs/none"}, r"refers to '#/\$defs/none' at `\$`"),
        ({"items": 7}, r"is no object, or nests deeper than 32, at `\$\.items`"),
    ],
)
def test_what_would_not_be_held_is_refused(schema: dict[str, object], said: str) -> None:
    """A schema with a keyword that is not checked would promise more than it does."""
    with pytest.raises(InvalidInput, match=said):
        AnswerSchema(schema)


def test_a_schema_that_refers_to_itself_is_bounded() -> None:
    """A tree may be as deep as schemas may nest, and no deeper."""
    tree = AnswerSchema(
        {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"t": {"$ref": "#/$defs/t"}}}}}
    )
    assert tree.find_fault('{"t": {"t": {}}}') is None
    assert tree.find_fault('{"t": {"t": 7}}') == "`$.t.t` is not of type object"
    too_much = "it nests too deep, or fits in too many ways to be checked"
    assert tree.find_fault('{"t": ' * 40 + "{}" + "}" * 40) == too_much


def test_what_is_not_checked_to_its_end_does_not_fit() -> None:
    """Neither a choice of choices nor the opposite of one lets through what was not looked at."""
    node = {"$ref": "#/$defs/n"}
    kinds = [{"type": "object", "properties": {"x": node, "kind": {"const": kind}}} for kind in range(9)]
    schema = AnswerSchema({"not": node, "$defs": {"n": {"oneOf": kinds}}})
    answer = '{"x": ' * 9 + "{}" + "}" * 9
    assert schema.find_fault(answer) == "it nests too deep, or fits in too many ways to be checked"
