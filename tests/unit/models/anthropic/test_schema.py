"""Is an answer's schema written so that Anthropic enforces it, or refused?"""

import pytest

from quorate.errors import InvalidInput
from quorate.models.providers.anthropic.schema import close_schema


def test_objects_are_closed_and_bounds_left_out_at_every_depth() -> None:
    """The answer is checked against the original anyway."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "Answer",
        "properties": {
            "many": {"type": "array", "minItems": 1, "maxItems": 9, "items": {"$ref": "#/$defs/One"}},
            "either": {"oneOf": [{"type": "string", "minLength": 2, "format": "date"}, {"type": "null"}]},
            "format": {"type": "string", "format": "iban", "default": "x"},
        },
        "required": ["many"],
        "$defs": {"One": {"type": "object", "properties": {"kind": {"const": "one"}}, "additionalProperties": True}},
    }
    assert close_schema(schema) == {
        "type": "object",
        "title": "Answer",
        "properties": {
            "many": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/One"}},
            "either": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "format": {"type": "string", "default": "x"},
        },
        "required": ["many"],
        "$defs": {"One": {"type": "object", "properties": {"kind": {"const": "one"}}, "additionalProperties": False}},
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"type": "object", "additionalProperties": {"type": "string"}}, r"`\$.properties.x` is an object with any keys"),
        ({"type": "object", "additionalProperties": True}, "name its properties"),
        ({}, r"`\$.properties.x` allows anything"),
        (True, "allows anything"),
        ({"type": "array", "items": {}}, r"`\$.properties.x.items` allows anything"),
        ({"anyOf": [{"type": "string"}, {}]}, r"`\$.properties.x.anyOf\[1\]`"),
    ],
)  # fmt: skip
def test_what_cannot_be_enforced_is_refused_with_its_place(node: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        close_schema({"type": "object", "properties": {"x": node}})


def test_depth_is_bounded() -> None:
    schema: dict = {"type": "string"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidInput, match="deeper than 64"):
        close_schema(schema)
