"""Do the keys and types of a case fit, and if not, which of them do not?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast, get_args

import msgspec
from msgspec import Struct, structs

from quorate.catalog.evaluation.case import Case, Grader
from quorate.catalog.evaluation.check import Fault, Place, find_faults
from quorate.catalog.shape import suggest

_ERROR_PATH = re.compile(r" - at `(?:key in )?\$([^`]*)`")
_PATH_PART = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")


def read_case(value: object) -> tuple[Case | None, list[Fault]]:
    """Read a case, and list everything that is wrong with it; there is no case where a key or a type does not fit."""
    try:
        case = msgspec.convert(value, Case)
    except msgspec.ValidationError as error:
        faults = list(_check_struct(value, Case, ()))
        return None, faults or [((), _spell_error(error))]
    return case, find_faults(case)


def _check_struct(value: object, kind: type[Struct], place: Place) -> Iterator[Fault]:
    if not isinstance(value, Mapping):
        yield place, f"it is {value!r:.60}, and must be a table"
        return
    table = cast("Mapping[str, object]", value)
    fields = {field.name: field for field in structs.fields(kind)}
    tag_field = kind.__struct_config__.tag_field
    where = f" in `{_spell(place)}`" if place else ""
    for key, item in table.items():
        if key == tag_field:
            continue
        if key not in fields:
            yield (*place, key), f"there is no key `{key}`{where}; {suggest(str(key), fields)}"
        elif kind is Case and key == "expects" and isinstance(item, list):
            for number, grader in enumerate(cast("list[object]", item)):
                yield from _check_grader(grader, (*place, key, number))
        else:
            yield from _check_value(item, fields[key].type, (*place, key))
    for field in fields.values():
        if field.required and field.name not in table:
            yield place, f"the key `{field.name}` is missing{where}; add it"


def _check_grader(value: object, place: Place) -> Iterator[Fault]:
    kinds = {str(one.__struct_config__.tag): cast("type[Struct]", one) for one in get_args(Grader)}
    if not isinstance(value, Mapping):
        yield place, f"it is {value!r:.60}, and must be a table with `grader`"
        return
    name = cast("Mapping[str, object]", value).get("grader")
    if not isinstance(name, str) or name not in kinds:
        what = "the key `grader` is missing" if name is None else f"there is no grader {name!r:.60}"
        yield (*place, "grader"), f"{what}; {suggest(str(name), kinds)}"
        return
    yield from _check_struct(cast("object", value), kinds[name], place)


def _check_value(value: object, kind: object, place: Place) -> Iterator[Fault]:
    try:
        msgspec.convert(value, cast("type[object]", kind))
    except msgspec.ValidationError as error:
        found = _ERROR_PATH.search(str(error))
        parts = cast("list[tuple[str, str]]", _PATH_PART.findall(found[1])) if found else []
        place = (*place, *(name or int(number) for name, number in parts if number != "..."))
        yield place, f"`{_spell(place)}`: {_spell_error(error)}; mend the value"


def _spell_error(error: msgspec.ValidationError) -> str:
    what = _ERROR_PATH.sub("", str(error))
    return f"{what[:1].lower()}{what[1:]}"


def _spell(place: Iterable[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
