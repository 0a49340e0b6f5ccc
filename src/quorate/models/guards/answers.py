"""Does an answer fit a JSON Schema, in the part of 2020-12 that needs no expressions and nothing from elsewhere?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from quorate.codec.json import check_depth
from quorate.errors import InvalidInput

MOST_DEPTH = 32
"""Levels of schemas inside schemas, references followed."""
MOST_STEPS = 50_000
"""Values held against a schema: choices inside choices multiply."""
_NOTES = frozenset(
    [
        "$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "format", "deprecated",
        "readOnly", "writeOnly", "contentMediaType", "contentEncoding",
    ]
)  # fmt: skip
_KNOWN = frozenset(
    [
        "$ref", "type", "enum", "const", "anyOf", "oneOf", "allOf", "not", "properties", "required", "items",
        "additionalProperties", "minProperties", "maxProperties", "prefixItems", "minItems", "maxItems", "uniqueItems",
        "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    ]
)  # fmt: skip
_TYPES = frozenset(["object", "array", "string", "number", "integer", "boolean", "null"])

Schema = Mapping[str, object]


class AnswerSchema:
    """A schema that was read and found sound.

    Raises:
        InvalidInput: It uses a keyword that is not checked here, so it would not hold what it says; or a reference
            leads nowhere.
    """

    def __init__(self, schema: Schema) -> None:
        self._root = schema
        self._check(schema, "$", 0)

    def find_fault(self, text: str) -> str | None:
        """Say where an answer does not fit, without repeating it, or `None` when it does."""
        body = text.strip()
        if body.startswith("```") and body.endswith("```") and "\n" in body:
            body = body[body.index("\n") + 1 : -3]
        try:
            check_depth(body, what="the answer")
            value: object = msgspec.json.decode(body)
        except (msgspec.DecodeError, InvalidInput, UnicodeError):
            return "it is not JSON"
        try:
            return _Judge(self._root).find(value, self._root, "$", 0)
        except _TooMuch:
            return "it nests too deep, or fits in too many ways to be checked"

    def _check(self, schema: object, where: str, depth: int) -> None:
        if isinstance(schema, bool):
            return
        if not isinstance(schema, Mapping) or depth > MOST_DEPTH:
            raise InvalidInput(f"The schema is no object, or nests deeper than {MOST_DEPTH}, at `{where}`.")
        node = cast("Schema", schema)
        for word in node.keys() - _KNOWN - _NOTES:
            raise InvalidInput(
                f"The schema uses {word!r} at `{where}`, which is not checked here: leave it out, and look for "
                "expressions with a guard of kind `patterns`."
            )
        for name in _get_types(node):
            if name not in _TYPES:
                raise InvalidInput(f"The schema has the type {name!r} at `{where}`; there are {sorted(_TYPES)}.")
        reference = node.get("$ref")
        if reference is not None:
            _follow(self._root, reference, where)
        for name, below in _iterate(node):
            self._check(below, f"{where}.{name}", depth + 1)


class _TooMuch(Exception):
    """An answer that is not checked to its end fits nothing: not even what it must not be."""


class _Judge:
    """One answer under judgement, which has an end."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._steps = 0

    def find(self, value: object, schema: object, where: str, depth: int) -> str | None:
        if isinstance(schema, bool):
            return None if schema else f"nothing may stand at `{where}`"
        self._steps += 1
        if depth > MOST_DEPTH or self._steps > MOST_STEPS:
            raise _TooMuch
        node = cast("Schema", schema)  # `_check` has seen that it is
        if "$ref" in node:
            fault = self.find(value, _follow(self._root, node["$ref"], where), where, depth + 1)
            if fault:
                return fault
        types = _get_types(node)
        if types and not any(_is_of_type(value, name) for name in types):
            return f"`{where}` is not of type {' or '.join(types)}"
        fault = _find_plain_fault(value, node, where) or self._find_joined(value, node, where, depth)
        if fault:
            return fault
        if isinstance(value, dict):
            return self._find_in_object(cast("dict[str, object]", value), node, where, depth)
        return self._find_in_array(cast("list[object]", value), node, where, depth) if isinstance(value, list) else None

    def _find_joined(self, value: object, node: Schema, where: str, depth: int) -> str | None:
        for below in _get_list(node, "allOf"):
            fault = self.find(value, below, where, depth + 1)
            if fault:
                return fault
        for word, least, most in (("anyOf", 1, math.inf), ("oneOf", 1, 1)):
            choices = _get_list(node, word)
            fitting = sum(self.find(value, below, where, depth + 1) is None for below in choices)
            if choices and not least <= fitting <= most:
                return f"`{where}` fits {fitting} of the choices of `{word}`"
        if "not" in node and self.find(value, node["not"], where, depth + 1) is None:
            return f"`{where}` is what it must not be"
        return None

    def _find_in_object(self, value: dict[str, object], node: Schema, where: str, depth: int) -> str | None:
        for name in cast("Sequence[str]", _get_list(node, "required")):
            if name not in value:
                return f"`{where}.{name}` is missing"
        if not _get_number(node, "minProperties", 0) <= len(value) <= _get_number(node, "maxProperties", math.inf):
            return f"`{where}` has {len(value)} fields"
        properties = cast("Schema", node.get("properties", {}))
        rest = node.get("additionalProperties", True)
        for name, below in value.items():
            known = name in properties
            if not known and rest is False:
                return f"`{where}` has a field that is not declared"
            fault = self.find(
                below, properties[name] if known else rest, f"{where}.{name}" if known else where, depth + 1
            )
            if fault:
                return fault
        return None

    def _find_in_array(self, value: list[object], node: Schema, where: str, depth: int) -> str | None:
        if not _get_number(node, "minItems", 0) <= len(value) <= _get_number(node, "maxItems", math.inf):
            return f"`{where}` has {len(value)} items"
        if node.get("uniqueItems") and len({msgspec.json.encode(one, order="sorted") for one in value}) < len(value):
            return f"`{where}` has an item twice"
        first = _get_list(node, "prefixItems")
        for place, below in enumerate(value):
            schema = first[place] if place < len(first) else node.get("items", True)
            fault = self.find(below, schema, f"{where}[{place}]", depth + 1)
            if fault:
                return fault
        return None


def _follow(root: object, reference: object, where: str) -> object:
    found = root
    parts = str(reference).split("/")
    for part in parts[1:]:
        found = _get_below(found, part)
    if parts[0] != "#" or found is None:
        raise InvalidInput(f"The schema refers to {reference!r} at `{where}`: write `#/$defs/NAME`.")
    return found


def _get_below(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None


def _find_plain_fault(value: object, node: Schema, where: str) -> str | None:
    if "const" in node and not _equals(value, node["const"]):
        return f"`{where}` is not the one value it may be"
    if "enum" in node and not any(_equals(value, choice) for choice in _get_list(node, "enum")):
        return f"`{where}` is none of the values it may be"
    if isinstance(value, str):
        if not _get_number(node, "minLength", 0) <= len(value) <= _get_number(node, "maxLength", math.inf):
            return f"`{where}` has {len(value)} characters"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        low, high = _get_number(node, "minimum", -math.inf), _get_number(node, "maximum", math.inf)
        above, below = _get_number(node, "exclusiveMinimum", -math.inf), _get_number(node, "exclusiveMaximum", math.inf)
        if not (low <= value <= high and above < value < below):
            return f"`{where}` is out of its range"
        step = _get_number(node, "multipleOf", 0)
        if step and abs(value / step - round(value / step)) > 1e-9:
            return f"`{where}` is no multiple of {step:g}"
    return None


def _is_of_type(value: object, name: str) -> bool:
    match name:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool)


def _equals(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _get_types(node: Schema) -> tuple[str, ...]:
    types = node.get("type", ())
    return (types,) if isinstance(types, str) else tuple(cast("Sequence[str]", types))


def _get_list(node: Schema, word: str) -> Sequence[object]:
    found = node.get(word, ())
    return cast("Sequence[object]", found) if isinstance(found, list | tuple) else ()


def _get_number(node: Schema, word: str, usual: float) -> float:
    found = node.get(word, usual)
    return found if isinstance(found, int | float) else usual


def _iterate(node: Schema) -> list[tuple[str, object]]:
    """List the schemas inside a schema."""
    found: list[tuple[str, object]] = []
    for word in ("properties", "$defs"):
        below = node.get(word, {})
        if isinstance(below, Mapping):
            found += [(f"{word}.{name}", one) for name, one in cast("Schema", below).items()]
    for word in ("items", "additionalProperties", "not"):
        if word in node:
            found.append((word, node[word]))
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        found += [(f"{word}[{place}]", below) for place, below in enumerate(_get_list(node, word))]
    return found
