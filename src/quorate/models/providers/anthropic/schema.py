"""How must an answer's schema be written for Anthropic to hold the model to it?

It knows a part of JSON Schema: every object closed, no bounds. Closing an object only narrows a schema, and the
answer is checked against the original anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from quorate.errors import InvalidInput

Schema = dict[str, object]
KEPT = frozenset({"type", "enum", "const", "description", "title", "default", "$ref", "required"})
CHOICES = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
MAPS = frozenset({"properties", "$defs", "definitions"})
FORMATS = frozenset({
    "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
})  # fmt: skip
MAX_DEPTH = 64


def close_schema(schema: Mapping[str, object]) -> Schema:
    """Write a schema so that it can be enforced.

    Raises:
        InvalidInput: It cannot be; the message says where.
    """
    return _close(schema, "$", 0)


def _close(node: object, path: str, depth: int) -> Schema:
    if not isinstance(node, Mapping) or not node:
        raise InvalidInput(f"The schema at `{path}` allows anything, which cannot be enforced: say what it is.")
    if depth > MAX_DEPTH:
        raise InvalidInput(f"The schema nests deeper than {MAX_DEPTH} at `{path}`.")
    source = cast("Mapping[str, object]", node)
    built: Schema = {}
    for keyword, value in source.items():
        if keyword in KEPT:
            built[keyword] = value
        elif keyword in MAPS and isinstance(value, Mapping):
            children = cast("Mapping[str, object]", value)
            built[keyword] = {
                name: _close(child, f"{path}.{keyword}.{name}", depth + 1) for name, child in children.items()
            }
        elif keyword in CHOICES and isinstance(value, list):
            choices = cast("list[object]", value)
            built[CHOICES[keyword]] = [
                _close(child, f"{path}.{keyword}[{place}]", depth + 1) for place, child in enumerate(choices)
            ]
        elif keyword == "items" and value is not True:
            built[keyword] = _close(value, f"{path}.items", depth + 1)
        elif (keyword == "format" and value in FORMATS) or (keyword == "minItems" and value in (0, 1)):
            built[keyword] = value
    if source.get("type") == "object":
        _check_closed(source, path)
        built.setdefault("properties", {})
        built["additionalProperties"] = False
    return built


def _check_closed(source: Mapping[str, object], path: str) -> None:
    """Refuse an object whose keys are not known: closing it would leave no room for an answer."""
    rest = source.get("additionalProperties", False)
    if isinstance(rest, Mapping) or (rest is not False and not source.get("properties")):
        raise InvalidInput(
            f"The schema at `{path}` is an object with any keys, which Anthropic cannot enforce: "
            "name its properties, or ask for a list of pairs."
        )
