"""What values can a type of ours hold? Hypothesis strategies read from the structs themselves."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
from hypothesis import strategies as st

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS: dict[object, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    type(None): st.none(),
}


def build_values(kind: Any) -> st.SearchStrategy[Any]:
    """Every value that a type annotation allows, kept small."""
    if kind in SCALARS:
        return SCALARS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(build_values(argument) for argument in arguments))
    if origin is tuple:
        assert arguments[1] is Ellipsis
        return st.lists(build_values(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, build_values(arguments[1]), max_size=3)
    if kind is object:
        return st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXT),
            lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
            max_leaves=5,
        )
    return build_structs(kind)


def build_structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Every struct of a class: required fields always, the others sometimes."""
    hints = typing.get_type_hints(kind)
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(kind):
        (required if field.required else optional)[field.name] = build_values(hints[field.name])
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind(**fields))
