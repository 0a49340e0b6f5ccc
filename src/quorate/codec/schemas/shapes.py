"""Which messages, fields and numbers do our structs have in Protobuf? Worked out from the structs themselves.

What Protobuf has no word for becomes the nearest it has: a union is a message with one `oneof`, a list in a list has a
message between them, a number of a set of words is a string, and a value of any shape is JSON in bytes.
Numbers stand in `numbers.toml` and never change; `python -m quorate.codec.schemas.proto` adds those of new fields.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Literal, cast

from msgspec import Struct, inspect

from quorate.errors import InvalidInput

Scalar = Literal["string", "bytes", "int64", "double", "bool"]
NUMBERS = "numbers.toml"
PACKAGE = "quorate.v1"
VALUES = "values"
"""The field of a message that only stands between two lists."""
UNION = "value"
"""The `oneof` of a message that stands for a union."""
NONE = "_none"
"""How the field ends that says that another one is `None`, where its default is something else."""
_SCALARS: Mapping[type[inspect.Type], Scalar] = {
    inspect.StrType: "string",
    inspect.BytesType: "bytes",
    inspect.IntType: "int64",
    inspect.FloatType: "double",
    inspect.BoolType: "bool",
    inspect.LiteralType: "string",
}

_ALTERNATIVES = {
    "string": "text", "bytes": "data", "int64": "count", "double": "number", "bool": "flag", "json": "json",
    "raw": "data", "message": "list",
}  # fmt: skip
"""What the alternatives of a union are called that are no structs."""


class Node(Struct, frozen=True, kw_only=True):
    """What a field holds."""

    kind: Scalar | Literal["json", "raw", "message"]
    many: Literal["one", "list", "map"] = "one"
    message: str = ""
    """Which message, where `kind` says so."""


class Field(Struct, frozen=True, kw_only=True):
    """One field of a message."""

    name: str
    number: int
    node: Node
    tag: str = ""
    """What stands in the tag of a struct of a union; empty where there is none."""


class Shape(Struct, frozen=True, kw_only=True):
    """One message."""

    name: str
    fields: tuple[Field, ...]
    role: Literal["struct", "union", "list"] = "struct"
    tag_field: str = ""
    """Where a union's structs say which one they are, outside of Protobuf."""
    doc: str = ""


def load_numbers() -> dict[str, dict[str, int]]:
    """Load the numbers of all fields, by message."""
    text = files(__package__ or "").joinpath(NUMBERS).read_text(encoding="utf-8")
    return cast("dict[str, dict[str, int]]", tomllib.loads(text))  # a test checks the file


class Shapes:
    """The messages that a few structs and unions need, found by walking through them."""

    def __init__(self, numbers: Mapping[str, Mapping[str, int]], unions: Mapping[str, object]) -> None:
        self.found: dict[str, Shape] = {}
        self._numbers = numbers
        self._unions = {_find_classes(inspect.type_info(type_)): name for name, type_ in unions.items()}

    def add(self, type_: object) -> Node:
        """Add what a type needs, and return what a field of it would hold.

        Raises:
            InvalidInput: It holds something that has no place in Protobuf.
        """
        return self._build(inspect.type_info(type_), "")

    def _build(self, info: inspect.Type, owner: str) -> Node:
        scalar = _SCALARS.get(type(info))
        if scalar is not None:
            return Node(kind=scalar)
        if isinstance(info, inspect.AnyType) or (isinstance(info, inspect.CustomType) and info.cls is object):
            return Node(kind="json")
        if isinstance(info, inspect.RawType):  # what is inside of an envelope, in the envelope's own format
            return Node(kind="raw")
        if isinstance(info, inspect.StructType):
            return self._build_struct(info)
        if isinstance(info, (inspect.VarTupleType, inspect.ListType)):
            return self._build_list(info.item_type, owner)
        if isinstance(info, inspect.DictType):
            inner = self._build(info.value_type, owner)
            return (
                Node(kind="json") if inner.kind == "json" else Node(kind=inner.kind, many="map", message=inner.message)
            )
        if isinstance(info, inspect.UnionType):
            return self._build_union(info, owner)
        raise InvalidInput(f"{owner} holds {type(info).__name__}, which has no place in Protobuf.")

    def _build_list(self, item: inspect.Type, owner: str) -> Node:
        inner = self._build(item, f"{owner}Item")
        if inner.many == "one":
            return Node(kind=inner.kind, many="list", message=inner.message)
        name = f"{owner}Row"
        self._put(name, [(VALUES, inner, "")], role="list")
        return Node(kind="message", many="list", message=name)

    def _build_struct(self, info: inspect.StructType) -> Node:
        name = info.cls.__name__
        if name not in self.found:
            self.found[name] = Shape(name=name, fields=())  # it may hold itself
            parts = list[tuple[str, Node, str]]()
            for field in info.fields:
                parts.append((field.encode_name, self._build(field.type, f"{name}{_camel(field.encode_name)}"), ""))
                if _can_be_none(field):
                    parts.append((f"{field.encode_name}{NONE}", Node(kind="bool"), ""))
            self._put(name, parts, doc=(info.cls.__doc__ or "").partition("\n")[0])
        return Node(kind="message", message=name)

    def _build_union(self, info: inspect.UnionType, owner: str) -> Node:
        kinds = [one for one in info.types if not isinstance(one, inspect.NoneType)]
        if len(kinds) == 1:
            return self._build(kinds[0], owner)
        if all(type(one) in (inspect.IntType, inspect.FloatType) for one in kinds):
            return Node(kind="double")
        structs = [one for one in kinds if isinstance(one, inspect.StructType)]
        if len(structs) == len(kinds):
            name = self._unions.get(_find_classes(info))
            if name is None:
                raise InvalidInput(f"{owner} holds a union that has no name: add it to `UNIONS`.")
            parts = [(str(one.tag).replace(".", "_"), self._build(one, owner), str(one.tag)) for one in structs]
            self._put(name, parts, role="union", tag_field=str(structs[0].tag_field))
            return Node(kind="message", message=name)
        parts = list[tuple[str, Node, str]]()
        for one in kinds:
            inner = self._build(one, f"{owner}Item")
            if inner.many != "one":
                self._put(f"{owner}List", [(VALUES, inner, "")], role="list")
                inner = Node(kind="message", message=f"{owner}List")
            parts.append((_ALTERNATIVES[inner.kind], inner, ""))
        self._put(owner, parts, role="union")
        return Node(kind="message", message=owner)

    def _put(
        self,
        name: str,
        parts: Sequence[tuple[str, Node, str]],
        *,
        role: Literal["struct", "union", "list"] = "struct",
        tag_field: str = "",
        doc: str = "",
    ) -> None:
        numbers = self._numbers.get(name, {})
        fields = tuple(Field(name=part, number=numbers.get(part, 0), node=node, tag=tag) for part, node, tag in parts)
        self.found[name] = Shape(name=name, fields=fields, role=role, tag_field=tag_field, doc=doc)


def _can_be_none(field: inspect.Field) -> bool:
    """Whether `None` is something else than the default, so that it has to be said."""
    kinds = field.type.types if isinstance(field.type, inspect.UnionType) else ()
    return field.default is not None and any(isinstance(one, inspect.NoneType) for one in kinds)


def _find_classes(info: inspect.Type) -> frozenset[str]:
    if not isinstance(info, inspect.UnionType):
        return frozenset()
    return frozenset(one.cls.__name__ for one in info.types if isinstance(one, inspect.StructType))


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
