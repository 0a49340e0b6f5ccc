"""What may an agent answer, and how does its file's table of fields become a type?"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct, structs

FIELD_TYPES: Mapping[str, object] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "strings": tuple[str, ...],
    "numbers": tuple[float, ...],
}
"""What a field may be, beside a choice (`"yes|no"`) and `records`."""
RECORDS = "records"
PLAIN_OUTPUTS = ("text", "diagnosis", "fields")
"""What `output` may be, beside the names of shapes."""
MOST_FIELDS = 30
_OUTPUTS = Path(__file__).parent / "outputs.toml"
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CHOICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ .-]{0,39}")


class OutputField(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A field of an answer."""

    type: str
    """`string`, `integer`, `number`, `boolean`, `strings`, `numbers`, a choice such as `yes|no`, or `records`."""
    about: str = ""
    """What it is, in which unit or form: models read it in the schema."""
    fields: dict[str, str] = {}
    """The fields of each of `records`, with their types."""
    optional: bool = False
    """Whether an answer may be without it."""


class OutputShape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What many agents answer in."""

    about: str
    fields: dict[str, OutputField]


@functools.cache
def load_outputs() -> Mapping[str, OutputShape]:
    """Load the shapes that have a name."""
    return msgspec.convert(tomllib.loads(_OUTPUTS.read_text(encoding="utf-8")), dict[str, OutputShape])


def check_fields(fields: Mapping[str, OutputField]) -> Iterator[tuple[str, str]]:
    """Yield the fields that cannot be built, each with what is wrong with it."""
    if len(fields) > MOST_FIELDS:
        yield "", f"there are {len(fields)} fields; at most {MOST_FIELDS}, so put some into `records`"
    for name, field in fields.items():
        if not _FIELD_NAME.fullmatch(name):
            yield name, f"{name!r} is not a field's name; use `a-z`, `0-9` and `_`, a letter first"
        if field.type == RECORDS:
            if not field.fields:
                yield name, "`records` need `fields`; say what each of them has"
            for inner, kind in field.fields.items():
                if not _FIELD_NAME.fullmatch(inner):
                    yield name, f"{inner!r} is not a field's name; use `a-z`, `0-9` and `_`, a letter first"
                elif what := _find_fault(kind):
                    yield name, f"`{inner}`: {what}"
        elif field.fields:
            yield name, f"only `records` have `fields`, and this is {field.type!r}; take them out"
        elif what := _find_fault(field.type):
            yield name, what


def build_type(
    name: str, fields: Mapping[str, OutputField], *, check: Callable[[object], None] | None = None
) -> type[object]:
    """Build the type of an answer.

    Args:
        name: Of the agent or the shape; the type is called after it.
        fields: What an answer has; they were checked.
        check: Called with each answer that is read; a `ValueError` from it refuses the answer, with its words.
    """
    title = "".join(word.capitalize() for word in name.split("-"))
    parts: list[tuple[str, object] | tuple[str, object, object]] = []
    for field_name, field in fields.items():
        kind = _build_kind(f"{title}{field_name.title().replace('_', '')}", field)
        told = Annotated[kind, Meta(description=field.about)] if field.about else kind
        if not field.optional:
            parts.append((field_name, told))
        elif _is_list(field):
            parts.append((field_name, told, ()))
        else:
            parts.append((field_name, cast("object", told | None), None))  # pyright: ignore[reportOperatorIssue]  # a type, built just now
    return _define(title, parts, check=check)


def add_check(base: type[Struct], check: Callable[[object], None]) -> type[object]:
    """Build a type whose values are those of another that a check does not refuse with a `ValueError`."""
    # Named again, since readers of types look at a type's own annotations.
    fields: list[tuple[str, object] | tuple[str, object, object]] = [
        (field.name, field.type) if field.required else (field.name, field.type, field.default)
        for field in structs.fields(base)
    ]
    return _define(base.__name__, fields, check=check, bases=(base,))


def _define(
    title: str,
    fields: list[tuple[str, object] | tuple[str, object, object]],
    *,
    check: Callable[[object], None] | None,
    bases: tuple[type[Struct], ...] = (),
) -> type[object]:
    known = cast("list[tuple[str, type[object], object]]", fields)  # what the library's own signature calls them
    namespace: dict[str, object] = {} if check is None else {"__post_init__": check}
    return msgspec.defstruct(
        title, known, bases=bases, namespace=namespace, frozen=True, kw_only=True, forbid_unknown_fields=not bases
    )


def _build_kind(title: str, field: OutputField) -> object:
    if field.type != RECORDS:
        return _read_kind(field.type)
    inner: list[tuple[str, object] | tuple[str, object, object]]
    inner = [(name, _read_kind(kind)) for name, kind in field.fields.items()]
    record = _define(title, inner, check=None)
    return tuple[record, ...]  # pyright: ignore[reportInvalidTypeForm]  # a type, built just now


def _read_kind(kind: str) -> object:
    return Literal[tuple(_split_choice(kind))] if "|" in kind else FIELD_TYPES[kind]  # pyright: ignore[reportInvalidTypeForm]


def _is_list(field: OutputField) -> bool:
    return field.type in (RECORDS, "strings", "numbers")


def _split_choice(kind: str) -> list[str]:
    return [choice.strip() for choice in kind.split("|")]


def _find_fault(kind: str) -> str:
    if "|" not in kind:
        known = ", ".join(f"`{name}`" for name in FIELD_TYPES)
        return "" if kind in FIELD_TYPES else f"{kind!r} is not a type; known: {known}, `records`, `this|or|that`"
    choices = _split_choice(kind)
    if len(set(choices)) < len(choices):
        return f"{kind!r} names a choice twice; take one out"
    odd = next((choice for choice in choices if not _CHOICE.fullmatch(choice)), None)
    return "" if odd is None else f"{odd!r} is not a choice; use letters, digits, space, `_`, `.` and `-`"
