"""How are our structs written as Protobuf, and read back?

The messages are built from the same shapes as `quorate.proto`, so that programs in other languages, which are made from
that file, read what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from quorate.codec.formats import MAX_BYTES, PROTOBUF
from quorate.codec.json import decode as decode_json
from quorate.codec.json import encode as encode_json
from quorate.codec.schemas.proto import UNIONS, build_shapes
from quorate.codec.schemas.shapes import NONE, PACKAGE, UNION, Field, Node, Shape
from quorate.errors import InvalidInput, MissingExtra, TooLarge

T = TypeVar("T")
Message = Any
"""A message of Protobuf's runtime; its fields are known to the descriptor alone."""
Json = dict[str, object]
_ALTERNATIVES: Mapping[type, str] = {
    str: "text", bytes: "data", bool: "flag", int: "count", float: "number", tuple: "list", list: "list",
}  # fmt: skip


class ProtobufCodec:
    """Protobuf, for the structs and unions that `quorate.proto` describes."""

    name = "protobuf"
    content_type = PROTOBUF

    def __init__(self) -> None:
        self._classes = build_classes()
        self._shapes = build_shapes()

    def encode(self, value: object) -> bytes:
        """Write a value; see `Codec`. An event is written as itself, not as one of all events."""
        shape = self._find(type(value))
        try:
            message = self._classes[shape.name]()
            self._fill(message, shape, value)
            return message.SerializeToString(deterministic=True)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInput(f"{type(value).__name__} cannot be written as Protobuf: {error}.") from error

    def decode(self, data: bytes, type_: type[T], *, what: str = "Protobuf", max_bytes: int = MAX_BYTES) -> T:
        """Read and check a value; see `Codec`."""
        from google.protobuf.message import DecodeError

        if len(data) > max_bytes:
            raise TooLarge(f"{what} has {len(data)} bytes; at most {max_bytes} are read.", what=what)
        shape = self._find(type_)
        try:
            message = self._classes[shape.name].FromString(data)
            return msgspec.convert(self._read(message, shape), type_, builtin_types=(bytes,))
        except (DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise InvalidInput(f"{what} is not valid: {error}", what=what) from error

    def _find(self, type_: object) -> Shape:
        name = next((name for name, union in UNIONS.items() if union is type_ or union == type_), None)
        shape = self._shapes.get(name or getattr(type_, "__name__", ""))
        if shape is None:
            raise InvalidInput(
                f"{getattr(type_, '__name__', type_)} has no place in Protobuf: send one of the kinds of "
                "`quorate.codec.schemas.KINDS`, an event, or use JSON or MessagePack."
            )
        return shape

    def _fill(self, message: Message, shape: Shape, value: object) -> None:
        if shape.role == "union":
            field = _choose(shape, value)
            self._write(message, field, value)
            return
        message.SetInParent()
        for field in shape.fields:
            inner = value if shape.role == "list" else _get(value, field.name)
            if inner is not None:
                self._write(message, field, inner)

    def _write(self, message: Message, field: Field, value: Any) -> None:
        node, name = field.node, field.name
        if node.many == "one":
            if node.kind == "message":
                self._fill(getattr(message, name), self._shapes[node.message], value)
            else:
                setattr(message, name, encode_json(value) if node.kind == "json" else _plain(node, value))
        elif node.many == "map":
            target = getattr(message, name)
            for key, one in value.items():
                if node.kind == "message":
                    self._fill(target[key], self._shapes[node.message], one)
                else:
                    target[key] = one
        elif node.kind == "message":
            target = getattr(message, name)
            for one in value:
                self._fill(target.add(), self._shapes[node.message], one)
        else:
            getattr(message, name).extend(encode_json(one) if node.kind == "json" else one for one in value)

    def _read(self, message: Message, shape: Shape) -> object:
        if shape.role == "list":
            return self._read_field(message, shape.fields[0])
        if shape.role == "union":
            chosen = message.WhichOneof(UNION)
            if chosen is None:
                raise InvalidInput(f"{shape.name} holds nothing that this version knows.")
            field = next(field for field in shape.fields if field.name == chosen)
            read = self._read_field(message, field)
            return {shape.tag_field: field.tag, **cast("Json", read)} if field.tag else read  # a struct is read as one
        read = {
            field.name: self._read_field(message, field)
            for field in shape.fields
            if field.node.many != "one" or message.HasField(field.name)
        }
        for name in [name for name in read if name.endswith(NONE)]:
            if read.pop(name):
                read[name.removesuffix(NONE)] = None
        return read

    def _read_field(self, message: Message, field: Field) -> Any:
        node, value = field.node, getattr(message, field.name)
        if node.many == "map":
            return {key: self._read_one(node, one) for key, one in value.items()}
        return self._read_one(node, value) if node.many == "one" else [self._read_one(node, one) for one in value]

    def _read_one(self, node: Node, value: Any) -> Any:
        if node.kind == "message":
            return self._read(value, self._shapes[node.message])
        if node.kind == "json":
            return decode_json(value, object, what="JSON in Protobuf", max_bytes=len(value))
        return msgspec.Raw(value) if node.kind == "raw" else value


def _get(value: object, name: str) -> object:
    """Get what a field of the message says; `None` is nothing to be written."""
    if name.endswith(NONE):
        return True if getattr(value, name.removesuffix(NONE)) is None else None
    return getattr(value, name)


def _plain(node: Node, value: Any) -> Any:
    return bytes(value) if node.kind in ("bytes", "raw") else value


def _choose(shape: Shape, value: object) -> Field:
    """Find the field of a union that a value goes into."""
    kind = type(value)
    tag = str(value.__struct_config__.tag) if isinstance(value, msgspec.Struct) else ""
    for field in shape.fields:
        if field.tag == tag if tag else field.name == _ALTERNATIVES.get(kind):
            return field
    raise InvalidInput(f"{type(value).__name__} is none of the alternatives of {shape.name}.")


@cache
def build_classes() -> Mapping[str, type[Message]]:
    """Build the runtime's class of every message.

    Raises:
        MissingExtra: Protobuf's runtime is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
    except ImportError as error:
        raise MissingExtra("Protobuf", "protobuf") from error
    shapes = build_shapes()
    described = [_describe(shape) for shape in shapes.values()]
    facts = {"name": "quorate.proto", "package": PACKAGE, "syntax": "proto3", "messageType": described}
    pool = descriptor_pool.DescriptorPool()
    pool.Add(json_format.ParseDict(facts, descriptor_pb2.FileDescriptorProto()))
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"{PACKAGE}.{name}")) for name in shapes}


def _describe(shape: Shape) -> Json:
    """Describe a message in the words of `descriptor.proto`."""
    oneofs = [{"name": UNION}] if shape.role == "union" else []
    fields: list[Json] = []
    nested: list[Json] = []
    for field in shape.fields:
        made = _describe_field(field.name, field.number, field.node)
        if field.node.many == "map":
            entry = "".join(part.capitalize() for part in field.name.split("_")) + "Entry"  # as protoc names it
            inner = Node(kind=field.node.kind, message=field.node.message)
            parts = [_describe_field("key", 1, Node(kind="string")), _describe_field("value", 2, inner)]
            nested.append({"name": entry, "field": parts, "options": {"mapEntry": True}})
            made = {**made, "type": "TYPE_MESSAGE", "typeName": f".{PACKAGE}.{shape.name}.{entry}"}
        if shape.role == "union":
            made["oneofIndex"] = 0
        elif field.node.many == "one":  # what is not set can be told from what is empty
            made |= {"proto3Optional": True, "oneofIndex": len(oneofs)}
            oneofs.append({"name": f"_{field.name}"})
        fields.append(made)
    return {"name": shape.name, "field": fields, "oneofDecl": oneofs, "nestedType": nested}


def _describe_field(name: str, number: int, node: Node) -> Json:
    kind = "bytes" if node.kind in ("json", "raw") else node.kind
    label = "LABEL_OPTIONAL" if node.many == "one" else "LABEL_REPEATED"
    made: Json = {"name": name, "number": number, "type": f"TYPE_{kind.upper()}", "label": label}
    return {**made, "typeName": f".{PACKAGE}.{node.message}"} if node.kind == "message" else made
