"""How are the types of routes written as JSON Schema, with what is said below their fields?"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from types import ModuleType
from typing import cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

Schema = dict[str, object]
REF = "#/components/schemas/{name}"
MOST_DEPTH = 6
MOST_NAME = 100


class Types:
    """The types of a document: each is named as it is met, and all of them are written together at the end."""

    def __init__(self) -> None:
        self._types: list[object] = []
        self._places: list[Schema] = []

    def write(self, kind: object, **facts: object) -> Schema:
        """Return what a type's schema will be, once `finish` is called; facts stand beside it."""
        place: Schema = dict(facts)
        self._types.append(kind)
        self._places.append(place)
        return place

    def finish(self) -> dict[str, Schema]:
        """Write all schemas, and return those that others refer to, by name."""
        written, components = msgspec.json.schema_components(
            cast("Iterable[type]", self._types), schema_hook=_write_foreign, ref_template=REF
        )
        for place, schema in zip(self._places, written, strict=True):
            place.update({**schema, **place})
        structs = find_structs(self._types)
        sources: dict[str, dict[str, dict[str, str]]] = {}
        for component in components.values():
            kind = str(component.get("title", "")).partition("[")[0]
            _add_words(component, [one for one in structs if one.__name__ == kind], sources)
        return self._shorten(components)

    def _shorten(self, components: dict[str, Schema]) -> dict[str, Schema]:
        """Give what is of many types a name that can be read."""
        shorter = {name: f"{name.partition('_')[0]}_several_" for name in components if len(name) > MOST_NAME}
        for place in self._places:
            name = str(place.get("$ref", "")).rpartition("/")[2]
            if name in shorter:
                place["$ref"] = REF.format(name=shorter[name])
        for name, component in components.items():
            if name in shorter:
                component["title"] = shorter[name]
        return {shorter.get(name, name): component for name, component in components.items()}


def find_structs(kinds: Iterable[object]) -> list[type[Struct]]:
    """Find all structs that some types are made of."""
    found: dict[type[Struct], None] = {}
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        origin = get_origin(kind)
        waiting += get_args(kind)
        plain = origin if origin is not None else kind
        if isinstance(plain, type) and issubclass(plain, Struct) and plain not in found:
            found[plain] = None
            scope = vars(sys.modules[plain.__module__])
            waiting += _read_hints(plain, scope)
    return list(found)


def _read_hints(kind: type[Struct], scope: Mapping[str, object]) -> list[object]:
    return list(get_type_hints(kind, globalns=dict(scope), include_extras=True).values())


def read_words(kind: type, sources: dict[str, dict[str, dict[str, str]]]) -> dict[str, str]:
    """Read what is said below the fields of a class, those of the classes it is made from too.

    Args:
        kind: The class.
        sources: What was read already: by module, class and field.
    """
    words: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if one.__module__.startswith("quorate."):
            if one.__module__ not in sources:
                sources[one.__module__] = _read_module(sys.modules[one.__module__])
            words.update(sources[one.__module__].get(one.__name__, {}))
    return words


def _read_module(module: ModuleType) -> dict[str, dict[str, str]]:
    """Read what is said below the fields of a module's classes; nothing where its source is not there."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return {}
    return {item.name: dict(_list_words(item)) for item in tree.body if isinstance(item, ast.ClassDef)}


def _list_words(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for item, after in pairwise(node.body):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and isinstance(after, ast.Expr):
            said = after.value
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                yield item.target.id, " ".join(said.value.split())


def build_example(schema: Mapping[str, object], components: Mapping[str, Schema], *, depth: int = 0) -> object:
    """Build a value that fits a schema, of its examples and constants where it has some."""
    if "examples" in schema:
        return cast("list[object]", schema["examples"])[0]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return cast("list[object]", schema["enum"])[0]
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return build_example(components[name], components, depth=depth + 1)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return build_example(cast("list[Schema]", schema[several])[0], components, depth=depth)
    kind = schema.get("type")
    if kind == "object":
        return _build_object(schema, components, depth)
    if kind == "array":
        items = schema.get("items")
        if depth > MOST_DEPTH or not isinstance(items, dict):
            return []
        return [build_example(cast("Schema", items), components, depth=depth + 1)]
    return {"string": "…", "integer": 1, "number": 1.0, "boolean": True}.get(str(kind))


def _build_object(schema: Mapping[str, object], components: Mapping[str, Schema], depth: int) -> object:
    properties = cast("dict[str, Schema]", schema.get("properties", {}))
    required = cast("list[str]", schema.get("required", []))
    return {
        name: build_example(one, components, depth=depth + 1)
        for name, one in properties.items()
        if name in required or "examples" in one
    }


def _add_words(component: Schema, kinds: list[type[Struct]], sources: dict[str, dict[str, dict[str, str]]]) -> None:
    """Add to a schema what is said below the fields of the class that it is of."""
    properties = cast("dict[str, Schema]", component.get("properties", {}))
    for kind in kinds:
        named = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
        tag = kind.__struct_config__.tag_field
        if set(properties) - {tag} != set(named):
            continue
        words = read_words(kind, sources)
        for written, schema in properties.items():
            said = words.get(named.get(written, ""))
            if said and "description" not in schema:
                schema["description"] = said
        return


def _write_foreign(kind: type) -> Schema:
    """Write a type that msgspec does not know: it may be anything."""
    del kind
    return {"description": "Any JSON."}
