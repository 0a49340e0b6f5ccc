"""Which keys may be written, of which types, and how does a written value become one of ours?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Literal, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, structs

from quorate.codec.json import encode_text
from quorate.errors import InvalidInput, QuorateError
from quorate.security.secrets import Secret
from quorate.settings.values import Settings

KeyPath = tuple[str, ...]
_ERROR_PATH = re.compile(r" - at `\$[^`]*`")
_BOUND = re.compile(r"Expected `(?:int|float)` (?:> 0|>= 1)")


class Key(Struct, frozen=True, kw_only=True):
    """One setting that may be written."""

    path: KeyPath
    type: object
    description: str
    example: object
    default: object

    @property
    def name(self) -> str:
        """How a settings file spells it, such as `openai.base_url`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """How the environment spells it, such as `QUORATE_OPENAI__BASE_URL`."""
        return "QUORATE_" + "__".join(self.path).upper()

    @property
    def is_secret(self) -> bool:
        """Whether its value is hidden."""
        return Secret in get_args(_strip_meta(self.type))

    @property
    def is_table(self) -> bool:
        """Whether it takes values by names that are not ours."""
        return get_origin(_strip_meta(self.type)) is dict

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return get_origin(_strip_meta(self.type)) is tuple


@cache
def list_keys() -> tuple[Key, ...]:
    """List every key, tables spelled out, in the order of `Settings`."""
    return tuple(_walk(Settings, ()))


def find_key(path: Iterable[str]) -> Key | None:
    """Find a key by its path."""
    wanted = tuple(path)
    return next((key for key in list_keys() if key.path == wanted), None)


@cache
def list_tables() -> frozenset[KeyPath]:
    """List the tables that keys are in, those that hold only tables among them."""
    return frozenset(key.path[:end] for key in list_keys() for end in range(1, len(key.path)))


def suggest(name: str, choices: Iterable[str]) -> str:
    """Say which of the choices a name probably means, or what they are."""
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(f'`{choice}`' for choice in known)}"


def convert(key: Key, value: object, *, is_text: bool, is_shown: bool = True) -> object:
    """Turn what was written into what the setting holds.

    Args:
        key: Which setting.
        value: What was written.
        is_text: Whether it comes from a place that knows text only, so that `5` is written `"5"`.
        is_shown: Whether a message may repeat the value.

    Raises:
        InvalidInput: It does not fit; the message says what to write.
    """
    if is_text and isinstance(value, str) and (key.is_list or key.is_table):
        value = _split(value) if key.is_list else _read_table(value)
    try:
        return cast("object", msgspec.convert(value, key.type, strict=not is_text, dec_hook=_make_secret))
    except msgspec.ValidationError as error:
        what = str(error) if _is_inner(key) else _ERROR_PATH.sub("", str(error))
        what = what.replace(" | null", "").replace("`array`", "a list")
        if key.is_secret:
            what = "expected text"
        elif _BOUND.search(what):
            what = f"{value!r} is not more than 0" if is_shown else "it is not more than 0"
        elif what.startswith("Invalid enum") and not _is_inner(key):
            what = f"{value!r} is unknown" if is_shown else "it is unknown"
        elif is_shown and isinstance(value, str | int | float):
            what = f"{value!r} does not fit: {what[:1].lower()}{what[1:]}"
        raise InvalidInput(f"{what[:1].lower()}{what[1:]}; write {show_example(key)}") from error
    except QuorateError as error:
        raise InvalidInput(error.message) from error


def show_example(key: Key) -> str:
    """Show how a key is written in a settings file."""
    if _is_inner(key):
        return f"each of them as a table `[[{key.name}]]`"
    kind = _strip_meta(key.type)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        return "one of " + ", ".join(f'`"{choice}"`' for choice in choices)
    if key.is_table:
        inner = ", ".join(
            f"{name} = {encode_text(one)}" for name, one in cast("dict[str, object]", key.example).items()
        )
        return f"for example `{key.path[-1]} = {{ {inner} }}`"
    return f"for example `{key.path[-1]} = {encode_text(key.example)}`"


def _split(text: str) -> object:
    if text.lstrip().startswith("["):
        try:
            return cast("object", msgspec.json.decode(text))
        except msgspec.DecodeError as error:
            raise InvalidInput(f"this is no JSON list ({error}); write it like `one,two`") from error
    return [item.strip() for item in text.split(",") if item.strip()]


def _read_table(text: str) -> object:
    try:
        return cast("object", msgspec.json.decode(text))
    except msgspec.DecodeError:
        # The cause may show a secret.
        raise InvalidInput('this is no JSON object; write it like `{"NAME": "value"}`') from None


def _is_inner(key: Key) -> bool:
    """Whether it takes tables, so that a fault is somewhere inside of one."""
    return any(isinstance(one, type) and issubclass(one, Struct) for one in get_args(_strip_meta(key.type)))


def _make_secret(kind: type[object], value: object) -> object:
    if kind is Secret and isinstance(value, Secret):
        return value
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise msgspec.ValidationError("Expected text")


def _walk(struct: type[Struct], place: KeyPath) -> Iterator[Key]:
    for field in structs.fields(struct):
        path = (*place, field.name)
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            yield from _walk(field.type, path)
            continue
        kind = cast("object", field.type)
        meta = _find_meta(kind)
        if meta is not None:
            examples = cast("list[object]", meta.examples or [""])
            yield Key(
                path=path,
                type=kind,
                description=meta.description or "",
                example=examples[0],
                default=field.default,
            )


def _find_meta(kind: object) -> Meta | None:
    """Find what a key says about itself; what says nothing is no key."""
    found = [item for item in getattr(kind, "__metadata__", ()) if isinstance(item, Meta)]
    return found[-1] if found else None


def _strip_meta(kind: object) -> object:
    return cast("tuple[object, ...]", get_args(kind))[0] if get_origin(kind) is Annotated else kind


def nest(values: Mapping[KeyPath, object]) -> dict[str, object]:
    """Turn values by path into nested tables."""
    whole: dict[str, object] = {}
    for path, value in values.items():
        table = whole
        for part in path[:-1]:
            table = cast("dict[str, object]", table.setdefault(part, {}))
        table[path[-1]] = value
    return whole
