"""Can an answer's schema be enforced strictly, and how must it be written for that?

Strict schemas know a part of JSON Schema: every object closed, every property required. Closing an object and
requiring what has a default only narrows a schema, so an answer that fits the narrowed one fits the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

Schema = dict[str, object]

KEPT = frozenset({
    "type", "enum", "const", "description", "title", "pattern", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minItems", "maxItems",
})  # fmt: skip
NESTED_MAPS = frozenset({"properties", "$defs"})
DROPPED = frozenset({
    "default", "examples", "$schema", "$id", "deprecated", "discriminator", "required", "additionalProperties",
    "minLength", "maxLength", "uniqueItems", "contentEncoding", "format",
})  # fmt: skip
"""Keywords that strict schemas refuse or that are rebuilt here; the answer is checked against the original anyway."""
FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
MAX_DEPTH = 64


class _Unfit(ValueError):
    """A schema that cannot be strict."""


def narrow_schema(schema: Mapping[str, object]) -> Schema | None:
    """Write a schema so that it can be enforced strictly, or return `None` where that is impossible."""
    if schema.get("type") != "object":
        return None
    try:
        return _narrow(schema, 0)
    except _Unfit:
        return None


def _narrow(node: object, depth: int) -> Schema:
    if not isinstance(node, dict) or not node or depth > MAX_DEPTH:
        raise _Unfit
    source = cast("Schema", node)
    if "$ref" in source:
        return {"$ref": source["$ref"]}
    if not source.keys() & {"type", "enum", "const", "anyOf"}:
        raise _Unfit
    built: Schema = {}
    for keyword, value in source.items():
        if keyword in KEPT:
            built[keyword] = value
        elif keyword in NESTED_MAPS:
            children = cast("Schema", value)
            built[keyword] = {name: _narrow(child, depth + 1) for name, child in children.items()}
        elif keyword == "items":
            built[keyword] = _narrow(value, depth + 1)
        elif keyword == "anyOf":
            built[keyword] = [_narrow(child, depth + 1) for child in cast("list[object]", value)]
        elif keyword == "format" and value in FORMATS:
            built[keyword] = value
        elif keyword not in DROPPED:
            raise _Unfit
    if source.get("type") == "object":
        _close(source, built)
    if source.get("type") == "array" and "items" not in source:
        raise _Unfit
    return built


def _close(source: Schema, built: Schema) -> None:
    """Close an object that lists its properties; one that is a map of anything cannot be strict."""
    if source.get("additionalProperties", False) is not False and "properties" not in source:
        raise _Unfit
    if isinstance(source.get("additionalProperties"), dict):
        raise _Unfit
    properties = cast("Schema", built.setdefault("properties", {}))
    built["required"] = list(properties)
    built["additionalProperties"] = False
