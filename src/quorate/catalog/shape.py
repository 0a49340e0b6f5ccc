"""Do the keys and types of an agent file fit, and if not, which of them do not?"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct, structs

from quorate.catalog.body import Body, read_body
from quorate.catalog.definition import AgentDefinition
from quorate.catalog.frontmatter import FrontMatter, find_line
from quorate.catalog.tiers import add_limits
from quorate.catalog.toolsets import expand_tools
from quorate.specs import Limits

NOT_KEYS = frozenset(
    {"instructions", "source", "gates", "cases", "escalates_to", "hands_off", "has_playbook"}
)  # fmt: skip
"""What a definition has that is not in the front matter."""
_STAND_IN: Mapping[str, object] = {
    "description": "x", "tier": "task", "domain": "x", "triggers": ("x",), "examples": ("x",),
}  # fmt: skip
"""Values without fault, for keys that are missing or wrong, so that the others can be looked at all the same."""
_ERROR_PATH = re.compile(r" - at `\$([^`]*)`")
_PATH_PART = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")


class Fault(Struct, frozen=True, kw_only=True, order=True):
    """One thing wrong with one file."""

    path: str
    line: int
    what: str
    """What is wrong, and what to do."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


class AgentFile(Struct, frozen=True, kw_only=True):
    """A file that was split, before its values are trusted."""

    path: str
    stem: str
    """The file's name without `.md`."""
    front: FrontMatter
    builtin: bool = False

    def fault(self, what: str, *place: str | int, containing: str = "") -> Fault:
        """Build a fault at the line of a key; without a key, at the file's first line."""
        return Fault(path=self.path, line=find_line(self.front.toml, place, containing=containing), what=what)


def read_definition(file: AgentFile) -> tuple[AgentDefinition, list[Fault]]:
    """Read a file's values and list the keys that are missing, unknown or of another type.

    What is wrong is left out of the definition, or stood in for.
    """
    table = file.front.table
    body = read_body(file.front.body, first=file.front.body_line)
    faults = [Fault(path=file.path, line=remark.line, what=remark.what) for remark in body.remarks]
    values = {**table, "instructions": body.instructions, "source": file.path}
    if "limits" in table or "tier" in table:
        values["limits"] = add_limits(table.get("tier"), table.get("limits", {}))
    try:
        definition = msgspec.convert(values, AgentDefinition)
    except msgspec.ValidationError:
        definition = None
    if definition is None or not NOT_KEYS.isdisjoint(table):
        faults += _check_struct(file, table, AgentDefinition, ())
        return _add_body(_read_sound(file, values), body), faults
    limits = table.get("limits", {})
    faults += _check_struct(file, cast("dict[str, object]", limits), Limits, ("limits",))
    return _add_body(definition, body), faults


def suggest(name: str, choices: Iterable[str]) -> str:
    """Say which of the choices a name probably means, or what the choices are."""
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    shown = ", ".join(f"`{choice}`" for choice in known[:12])
    return f"known: {shown}{' …' if len(known) > 12 else ''}" if known else "there are none"


def _add_body(definition: AgentDefinition, body: Body) -> AgentDefinition:
    return structs.replace(
        definition,
        tools=expand_tools(definition.tools),
        gates=body.gates,
        cases=body.cases,
        escalates_to=body.escalates_to,
        hands_off=body.hands_off,
        has_playbook=definition.playbook is not None,
    )


def _read_sound(file: AgentFile, values: dict[str, object]) -> AgentDefinition:
    sound: dict[str, object] = {**_STAND_IN, "name": file.stem}
    for field in _list_fields(AgentDefinition):
        if field.name in values:
            try:
                sound[field.name] = msgspec.convert(values[field.name], field.type)
            except msgspec.ValidationError:
                continue
    return msgspec.convert(sound, AgentDefinition)


@functools.cache
def _list_fields(kind: type[Struct]) -> tuple[structs.FieldInfo, ...]:
    return structs.fields(kind)


def _check_struct(
    file: AgentFile, table: dict[str, object], kind: type[Struct], place: tuple[str | int, ...]
) -> Iterator[Fault]:
    fields = {field.name: field for field in _list_fields(kind) if place or field.name not in NOT_KEYS}
    where = f" in `{_spell(place)}`" if place else ""
    for key, value in table.items():
        if key not in fields:
            yield file.fault(f"there is no key `{key}`{where}; {suggest(key, fields)}", *place, key)
        else:
            yield from _check_value(file, value, fields[key].type, (*place, key))
    for field in fields.values():
        if field.required and field.name not in table:
            yield file.fault(f"the key `{field.name}` is missing{where}; add it", *place)


def _check_value(file: AgentFile, value: object, kind: object, place: tuple[str | int, ...]) -> Iterator[Fault]:
    if get_origin(kind) in {Union, UnionType}:
        kind = next((part for part in get_args(kind) if _is_struct(part)), kind)
    inner = get_args(kind)
    if _is_struct(kind) and isinstance(value, dict):
        yield from _check_struct(file, cast("dict[str, object]", value), cast("type[Struct]", kind), place)
    elif get_origin(kind) is tuple and _is_struct(inner[0]) and isinstance(value, list):
        for number, item in enumerate(cast("list[object]", value)):
            yield from _check_value(file, item, inner[0], (*place, number))
    elif get_origin(kind) is dict and _is_struct(inner[1]) and isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from _check_value(file, item, inner[1], (*place, key))
    else:
        yield from _check_plain(file, value, kind, place)


def _check_plain(file: AgentFile, value: object, kind: object, place: tuple[str | int, ...]) -> Iterator[Fault]:
    try:
        msgspec.convert(value, cast("type[object]", kind))
    except msgspec.ValidationError as error:
        found = _ERROR_PATH.search(str(error))
        parts = _PATH_PART.findall(found[1]) if found else []
        place = (*place, *(name or int(number) for name, number in parts if number != "..."))
        what = _ERROR_PATH.sub("", str(error))
        yield file.fault(f"`{_spell(place)}`: {what[:1].lower()}{what[1:]}; mend the value", *place)


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _spell(place: Iterable[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)[1:]
