"""What does a function's signature say to a model, and how are arguments checked against it?"""

from __future__ import annotations

import builtins
import copy
import inspect
import re
from collections.abc import Callable
from types import FunctionType
from typing import Any, Protocol, cast, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.ports import RunContext

_SECTION = re.compile(r"^(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):\s*$")
_ITEM = re.compile(r"^\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")


Schema = dict[str, object]
_PLAIN: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


class PydanticModel(Protocol):
    """What is needed of a pydantic model's class, known by its methods so that pydantic need not be there."""

    @classmethod
    def model_validate(cls, obj: object) -> object:
        """Check plain data and build the model."""
        ...

    @classmethod
    def model_json_schema(cls) -> dict[str, object]:
        """Describe the model."""
        ...

    def model_dump(self, *, mode: str) -> object:
        """Give the plain data."""
        ...


class Signature(Struct, frozen=True, kw_only=True):
    """What a call to a function needs, read from its type hints once."""

    arguments: type[Struct]
    """A struct with one field for each parameter; decoding JSON into it is the whole check."""
    returns: object
    takes_context: bool


def read_signature(function: Callable[..., object], name: str) -> Signature:
    """Read a function's parameters and types.

    Raises:
        InvalidInput: A parameter has no type, cannot be named in JSON, or its type cannot be read.
    """
    hints = _read_hints(function, name)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []  # what `defstruct` takes
    takes_context = False
    for index, (parameter, default) in enumerate(_read_parameters(function, name)):
        hint = hints.get(parameter)
        if hint is None:
            raise InvalidInput(f"Parameter {parameter!r} of tool {name!r} has no type: write `{parameter}: str`.")
        if index == 0 and (hint is RunContext or get_origin(hint) is RunContext):
            takes_context = True
        elif default is inspect.Parameter.empty:
            fields.append((parameter, hint))
        else:
            fields.append((parameter, hint, _default(default)))
    arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    return Signature(arguments=arguments, returns=hints.get("return", Any), takes_context=takes_context)


def _read_hints(function: Callable[..., object], name: str) -> dict[str, object]:
    """Read the types; those written as bare class names are at hand without evaluating them, at a tenth of the cost."""
    if isinstance(function, FunctionType):
        known = function.__globals__
        plain: dict[str, object] = {
            key: known.get(hint, getattr(builtins, hint, None)) if isinstance(hint, str) else hint
            for key, hint in function.__annotations__.items()
        }
        if all(isinstance(hint, type) for hint in plain.values()):
            return plain
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"The types of tool {name!r} cannot be read: {error}. "
            "Import at run time what its signature names (not under `TYPE_CHECKING`)."
        ) from error


def _read_parameters(function: Callable[..., object], name: str) -> list[tuple[str, object]]:
    """List parameters with their defaults; a plain function's are at hand without `inspect`, at a tenth of its cost."""
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        code = function.__code__
        if not code.co_posonlyargcount and not code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            defaults: dict[str, object] = dict(function.__kwdefaults__ or {})
            given = function.__defaults__ or ()
            defaults.update(zip(names[code.co_argcount - len(given) : code.co_argcount], given, strict=True))
            return [(parameter, defaults.get(parameter, inspect.Parameter.empty)) for parameter in names]
    listed: list[tuple[str, object]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise InvalidInput(
                f"Parameter {str(parameter)!r} of tool {name!r} cannot be filled by name: give each argument a name."
            )
        listed.append((parameter.name, parameter.default))
    return listed


def _default(value: object) -> object:
    """A mutable default is copied for each call, as a struct asks for."""
    if isinstance(value, (list, dict, set)):
        return msgspec.field(default_factory=lambda: copy.copy(cast("object", value)))
    return value


def build_schema(type_: object, descriptions: dict[str, str] | None = None) -> Schema:
    """Build the JSON Schema (2020-12) of a type, its definitions inside, its parameters described.

    Raises:
        InvalidInput: The type has no schema; the message names it.
    """
    schema = _build_plain(type_) or _build_general(type_)
    if descriptions:
        properties = cast("dict[str, Schema]", schema.get("properties", {}))
        for name, property_ in properties.items():
            if name in descriptions and "description" not in property_:
                property_["description"] = descriptions[name]
    return schema


def _build_general(type_: object) -> Schema:
    try:
        schemas, components = msgspec.json.schema_components(
            (type_,), schema_hook=_foreign_schema, ref_template="#/$defs/{name}"
        )
    except TypeError as error:
        raise InvalidInput(f"No JSON Schema can be made of {type_!r}: {error}") from error
    schema: Schema = schemas[0]
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    if reference in components:
        schema = components.pop(reference)
        schema.pop("title", None)
    if components or "$defs" in schema:
        for foreign in _hoisted(schema, components):
            components.update(foreign)
        schema["$defs"] = components
    return schema


def _build_plain(type_: object) -> Schema | None:
    """Build the schema of a struct of plain values, as most tools' arguments are, at a fifth of the general cost."""
    hints: dict[str, object] = getattr(type_, "__annotations__", {})
    if not hasattr(type_, "__struct_fields__") or not all(isinstance(hint, type) for hint in hints.values()):
        return None
    struct, properties, required = cast("type[Struct]", type_), dict[str, object](), list[str]()
    names, given = struct.__struct_fields__, struct.__struct_defaults__
    defaults = (*((msgspec.NODEFAULT,) * (len(names) - len(given))), *given)
    for name, default in zip(names, defaults, strict=True):
        hint = hints.get(name)  # one that is inherited is not among them
        kind = None if hint is None else _PLAIN.get(cast("type", hint))
        if kind is None:
            return None
        properties[name] = {"type": kind} if default is msgspec.NODEFAULT else {"type": kind, "default": default}
        if default is msgspec.NODEFAULT:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _hoisted(*roots: object) -> list[Schema]:
    """Take the `$defs` of foreign schemas out of the places they stand in; references to them are from the root."""
    found: list[Schema] = []
    queue: list[object] = list(roots)
    while queue:
        node = queue.pop()
        if isinstance(node, dict):
            schema = cast("Schema", node)
            if "$defs" in schema:
                found.append(cast("Schema", schema.pop("$defs")))
                queue.append(found[-1])
            queue.extend(schema.values())
        elif isinstance(node, list):
            queue.extend(cast("list[object]", node))
    return found


def _foreign_schema(type_: type) -> Schema:
    """Pydantic models describe themselves."""
    if type_ is object:
        return {"description": "Any JSON value."}
    if hasattr(type_, "model_json_schema"):
        return cast("PydanticModel", type_).model_json_schema()
    raise TypeError(f"{type_!r} is neither a JSON type nor a Struct, dataclass, TypedDict, enum or pydantic model")


def decode_foreign(type_: type, value: object) -> object:
    """Let a pydantic model check decoded data; for msgspec's `dec_hook`."""
    if isinstance(value, type_):
        return value
    if hasattr(type_, "model_validate"):
        return cast("PydanticModel", type_).model_validate(value)
    raise TypeError(f"a {type(value).__name__} cannot be read as {type_!r}")


def encode_foreign(value: object) -> object:
    """Turn a pydantic model into plain data; for msgspec's `enc_hook`."""
    if hasattr(value, "model_dump"):
        return cast("PydanticModel", value).model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Split a Google-style docstring into its description and what it says of each parameter."""
    description: list[str] = []
    parameters: dict[str, str] = {}
    section, current, indent = "", "", 0
    for line in inspect.cleandoc(text or "").splitlines():
        bare = line.strip()
        if not line.startswith(" ") and (match := _SECTION.match(bare)):
            section = match[1]
        elif not section:
            description.append(line)
        elif section in ("Args", "Arguments", "Parameters") and bare:
            depth = len(line) - len(line.lstrip())
            if (match := _ITEM.match(bare)) and (not current or depth <= indent):
                current, indent = match[1], depth
                parameters[current] = match[2].strip()
            elif current:
                parameters[current] = f"{parameters[current]} {bare}".strip()
    return "\n".join(description).strip(), parameters
