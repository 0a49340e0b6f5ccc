"""Which schemas can Bedrock hold an answer to?"""

from __future__ import annotations

import pytest

from quorate.models.providers.bedrock.schema import narrow_schema

TEXT = {"type": "string"}


def test_a_schema_is_closed_and_loses_its_bounds() -> None:
    """An answer that fits the narrowed one fits the original, but for the bounds, which are checked afterwards."""
    schema = {
        "type": "object",
        "title": "Pet",
        "properties": {
            "name": {"type": "string", "minLength": 1, "pattern": "^a"},
            "born": {"type": "string", "format": "date"},
            "odd": {"type": "string", "format": "odd"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}, "maxItems": 3},
            "kind": {"anyOf": [{"const": "cat"}, {"type": "null"}], "default": None},
        },
        "required": ["name"],
        "$defs": {"Tag": {"enum": ["a", "b"]}, "Unused": {"type": "object", "properties": {}}},
    }
    assert narrow_schema(schema) == {
        "type": "object",
        "title": "Pet",
        "properties": {
            "name": {"type": "string"},
            "born": {"type": "string", "format": "date"},
            "odd": {"type": "string"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}},
            "kind": {"anyOf": [{"const": "cat"}, {"type": "null"}]},
        },
        "required": ["name"],
        "$defs": {
            "Tag": {"enum": ["a", "b"]},
            "Unused": {"type": "object", "properties": {}, "additionalProperties": False},
        },
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "object"},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"oneOf": [TEXT]}}},
        {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": TEXT}}},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/Gone"}}},
        {"type": "object", "properties": {"a": {"$ref": "https://elsewhere.test"}}},
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/A"}},
            "$defs": {"A": {"type": "object", "properties": {"b": {"anyOf": [{"$ref": "#/$defs/A"}, TEXT]}}}},
        },
    ],
)
def test_what_cannot_be_enforced_is_found_out(schema: dict[str, object]) -> None:
    """Maps of anything, anything at all, and what contains itself."""
    assert narrow_schema(schema) is None


def test_many_references_take_no_time() -> None:
    """Each definition is looked at once."""
    names = [f"D{number}" for number in range(60)]
    definitions: dict[str, object] = {"D60": TEXT}
    for name, below in zip(names, [*names[1:], "D60"], strict=True):
        reference = {"$ref": f"#/$defs/{below}"}
        definitions[name] = {"type": "object", "properties": {"a": reference, "b": reference}}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/D0"}}, "$defs": definitions}
    assert narrow_schema(schema) is not None


def test_depth_is_bounded() -> None:
    schema: dict[str, object] = TEXT
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}}
    assert narrow_schema(schema) is None
