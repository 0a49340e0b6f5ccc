"""How must a JSON Schema be written for Gemini?

It knows most keywords and skips the rest; what it does not know and another keyword says as well is rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import msgspec

from quorate.errors import InvalidInput

Schema = dict[str, object]
DROPPED = frozenset({"$schema", "$id", "discriminator", "examples"})
MAPS = frozenset({"properties", "$defs", "definitions"})
LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
NESTED = frozenset({"items", "additionalProperties"})
MAX_DEPTH = 64
_REWRITTEN = re.compile(rb'"(?:const|\$schema|\$id|discriminator|examples)"')
_encode = msgspec.json.Encoder().encode


def write_schema(schema: Mapping[str, object]) -> object:
    """Write a schema with the keywords that Gemini knows; one that has no others, as nearly all, is not walked through.

    Raises:
        InvalidInput: It nests too deep.
    """
    written = _encode(schema)
    return fit_schema(schema) if _REWRITTEN.search(written) else msgspec.Raw(written)


def fit_schema(schema: Mapping[str, object], *, depth: int = 0) -> Schema:
    """Rewrite a schema with the keywords that Gemini knows; raises what `write_schema` raises."""
    if depth > MAX_DEPTH:
        raise InvalidInput(f"A schema nests deeper than {MAX_DEPTH}: write it flatter, or with `$ref`.")
    built: Schema = {}
    for keyword, value in schema.items():
        if keyword in DROPPED:
            continue
        if keyword in MAPS and isinstance(value, Mapping):
            children = cast("Mapping[str, object]", value)
            built[keyword] = {name: _fit(child, depth) for name, child in children.items()}
        elif keyword in LISTS and isinstance(value, list):
            built[keyword] = [_fit(child, depth) for child in cast("list[object]", value)]
        elif keyword in NESTED:
            built[keyword] = _fit(value, depth)
        elif keyword == "const":
            built["enum"] = [value]
        else:
            built[keyword] = value
    return built


def _fit(node: object, depth: int) -> object:
    return fit_schema(cast("Mapping[str, object]", node), depth=depth + 1) if isinstance(node, Mapping) else node
