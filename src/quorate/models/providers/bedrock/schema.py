"""Can Bedrock hold an answer to this schema, and how must it be written for that?

It knows a part of JSON Schema: every object closed, no recursion, no bounds on numbers and lengths. Bounds are left
out, as an answer is checked against the whole schema anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

Schema = dict[str, object]

KEPT = frozenset({"type", "enum", "const", "description", "title", "required"})
DROPPED = frozenset({
    "default", "examples", "$schema", "$id", "$comment", "deprecated", "discriminator", "additionalProperties",
    "minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minItems", "maxItems", "uniqueItems", "contentEncoding", "contentMediaType", "readOnly", "writeOnly",
})  # fmt: skip
FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
MAX_DEPTH = 64


class _Unfit(ValueError):
    """A schema that cannot be enforced."""


def narrow_schema(schema: Mapping[str, object]) -> Schema | None:
    """Write a schema so that it can be enforced, or return `None` where that is impossible."""
    if schema.get("type") != "object":
        return None
    try:
        narrowed = _narrow(schema, 0)
        _check_finite(narrowed)
    except _Unfit:
        return None
    return narrowed


def _narrow(node: object, depth: int) -> Schema:
    if not isinstance(node, dict) or not node or depth > MAX_DEPTH:
        raise _Unfit
    source = cast("Schema", node)
    built: Schema = {}
    for keyword, value in source.items():
        if keyword in KEPT or (keyword == "$ref" and isinstance(value, str) and value.startswith("#/$defs/")):
            built[keyword] = value
        elif keyword in ("properties", "$defs") and isinstance(value, dict):
            children = cast("Schema", value)
            built[keyword] = {name: _narrow(child, depth + 1) for name, child in children.items()}
        elif keyword == "items":
            built[keyword] = _narrow(value, depth + 1)
        elif keyword in ("anyOf", "allOf") and isinstance(value, list):
            built[keyword] = [_narrow(child, depth + 1) for child in cast("list[object]", value)]
        elif keyword == "format":
            if value in FORMATS:
                built[keyword] = value
        elif keyword not in DROPPED:
            raise _Unfit
    if not built.keys() & {"type", "enum", "const", "anyOf", "allOf", "$ref"}:
        raise _Unfit
    if source.get("type") == "object" or "properties" in source:
        if "properties" not in source or isinstance(source.get("additionalProperties"), dict):
            raise _Unfit  # a map of anything
        built["additionalProperties"] = False
    if source.get("type") == "array" and "items" not in source:
        raise _Unfit
    return built


def _check_finite(schema: Schema) -> None:
    """Refuse a schema that contains itself, or that refers to what is not there."""
    definitions = cast("Schema", schema.get("$defs", {}))
    finite: set[str] = set()

    def visit(node: object, above: tuple[str, ...]) -> None:
        for name in _find_names(node):
            if name in above or name not in definitions:
                raise _Unfit
            if name not in finite:
                visit(definitions[name], (*above, name))
                finite.add(name)

    visit({keyword: value for keyword, value in schema.items() if keyword != "$defs"}, ())


def _find_names(node: object) -> set[str]:
    """Find the names of the definitions that a schema refers to."""
    if isinstance(node, list):
        return {name for child in cast("list[object]", node) for name in _find_names(child)}
    if not isinstance(node, dict):
        return set()
    found: set[str] = set()
    for keyword, value in cast("Schema", node).items():
        if keyword == "$ref" and isinstance(value, str):
            found.add(value.removeprefix("#/$defs/"))
        elif keyword not in ("enum", "const"):
            found |= _find_names(value)
    return found
