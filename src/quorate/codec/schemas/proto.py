"""How is the Protobuf schema written, for other languages? `python -m quorate.codec.schemas.proto` writes it anew."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from quorate.codec.envelope import Envelope
from quorate.codec.schemas import KINDS
from quorate.codec.schemas.shapes import NUMBERS, PACKAGE, UNION, Field, Shape, Shapes, load_numbers
from quorate.events import AnyEvent
from quorate.messages import AnyPart, Audio, File, Image, Text

PROTO = "quorate.proto"
UNIONS: Mapping[str, object] = {"Part": AnyPart, "Content": Text | Image | Audio | File, "Event": AnyEvent}
"""The unions of structs there are, and what each is called."""


@cache
def build_shapes() -> dict[str, Shape]:
    """Build every message, by name, with the numbers that are known."""
    return find_shapes(load_numbers())


def find_shapes(numbers: Mapping[str, Mapping[str, int]]) -> dict[str, Shape]:
    """Build every message from the structs, with the given numbers; a field without one has 0."""
    shapes = Shapes(numbers, UNIONS)
    for type_ in (Envelope, *KINDS.values(), AnyEvent):
        shapes.add(type_)
    return dict(sorted(shapes.found.items()))


def extend_numbers(numbers: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Give every field without a number the next one; a number that was given once is never given again."""
    extended = {name: dict(fields) for name, fields in numbers.items()}
    for shape in find_shapes(numbers).values():
        known = extended.setdefault(shape.name, {})
        for field in shape.fields:
            known.setdefault(field.name, max(known.values(), default=0) + 1)
    return dict(sorted(extended.items()))


def render_numbers(numbers: Mapping[str, Mapping[str, int]]) -> str:
    """Write the numbers as TOML."""
    lines = ["# The numbers of all fields in Protobuf. They never change; those of fields that are gone stay taken."]
    for name, fields in numbers.items():
        lines += ["", f"[{name}]", *[f"{field} = {number}" for field, number in fields.items()]]
    return "\n".join([*lines, ""])


def render_proto(shapes: Mapping[str, Shape]) -> str:
    """Write the schema in Protobuf's own language."""
    head = [
        "// Written by `python -m quorate.codec.schemas.proto` from the structs; do not edit.",
        "// A field that is not set has the default that the struct says. `bytes` marked JSON hold a JSON document.",
        'syntax = "proto3";',
        "",
        f"package {PACKAGE};",
    ]
    return "\n".join([*head, *[line for shape in shapes.values() for line in ("", *_render(shape))], ""])


def _render(shape: Shape) -> list[str]:
    lines = [f"// {shape.doc}"] if shape.doc else []
    if shape.role == "union":
        inner = [f"    {_name_type(field)} {field.name} = {field.number};" for field in shape.fields]
        return [*lines, f"message {shape.name} {{", f"  oneof {UNION} {{", *inner, "  }", "}"]
    inner = [
        f"  {_label(field)}{_name_type(field)} {field.name} = {field.number};{_say(field)}" for field in shape.fields
    ]
    return [*lines, f"message {shape.name} {{", *inner, "}"]


def _label(field: Field) -> str:
    return {"one": "optional ", "list": "repeated ", "map": ""}[field.node.many]


def _name_type(field: Field) -> str:
    node = field.node
    name = node.message if node.kind == "message" else "bytes" if node.kind in ("json", "raw") else node.kind
    return f"map<string, {name}>" if node.many == "map" else name


def _say(field: Field) -> str:
    return "  // JSON" if field.node.kind == "json" else ""


def main() -> None:
    """Add the numbers of new fields, and write the schema."""
    folder = Path(sys.modules[__name__].__file__ or "").parent
    numbers = extend_numbers(load_numbers())
    (folder / NUMBERS).write_text(render_numbers(numbers), encoding="utf-8")
    (folder / PROTO).write_text(render_proto(find_shapes(numbers)), encoding="utf-8")


if __name__ == "__main__":
    main()
