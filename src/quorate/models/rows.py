"""How do the tables of a TOML file become values, with all that is wrong in them told at once?"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Literal, TypeGuard, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Struct, structs

from quorate.codec.toml import find_line

Row = TypeVar("Row", bound=Struct)
Place = tuple[str | int, ...]
Table = Mapping[str, object]
_ERROR_PATH = re.compile(r" - at `\$([^`]*)`")
_KEY = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]")
_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")
_LINE = re.compile(r":(\d+): ")
_NAME_PATTERN = "'^[A-Z]"
"""How a pattern for the names of environment variables begins."""


class Rows:
    """The text of one file, what it holds, and the faults that were found so far."""

    def __init__(self, text: str, *, where: str) -> None:
        self.faults: list[str] = []
        self._text = text
        self._where = where

    def parse(self) -> Table:
        """Parse the whole file; nothing when it is no TOML, which is a fault."""
        try:
            return cast("Table", tomllib.loads(self._text))
        except tomllib.TOMLDecodeError as error:
            place = _TOML_PLACE.search(str(error))
            line = place[1] if place and place[1] else str(self._text.count("\n") + 1)
            what = _TOML_PLACE.sub("", str(error))
            self.faults.append(f"{self._where}:{line}: this is not TOML: {what[:1].lower()}{what[1:]}")
        except RecursionError:
            self.faults.append(f"{self._where}:1: the TOML is nested too deeply; write it flatter")
        return {}

    def add(self, place: Place, what: str) -> None:
        """Note a fault of a place, such as `("route", 2, "models")`."""
        names = [part for part in place if isinstance(part, str)]
        shown = f"`{'.'.join(names)}` " if names else ""
        self.faults.append(f"{self._where}:{find_line(self._text, place)}: {shown}{what.rstrip('.')}")

    def sort_faults(self) -> list[str]:
        """List the faults in the order of their lines, each once."""
        return sorted(dict.fromkeys(self.faults), key=lambda fault: int(_LINE.findall(fault)[0]))

    def read_list(self, raw: object, kind: type[Row], place: Place) -> list[tuple[Place, Row]]:
        """Read the tables `[[name]]`, each with its place; those with faults are left out."""
        tables = cast("Sequence[object]", raw)
        if not isinstance(raw, list):
            self.add(place, f"must be a list of tables; write each as `[[{place[-1]}]]`")
            return []
        found = [((*place, number), self.read(one, kind, (*place, number))) for number, one in enumerate(tables)]
        return [(where, row) for where, row in found if row is not None]

    def read(self, raw: object, kind: type[Row], place: Place) -> Row | None:
        """Read one table; `None` when it has faults."""
        if not isinstance(raw, dict):
            self.add(place, f"must be a table; write it as `[{place[-1]}]`")
            return None
        table, before = cast("Table", raw), len(self.faults)
        fields = {field.encode_name: field for field in structs.fields(kind)}
        for name in table.keys() - fields.keys() - {kind.__struct_config__.tag_field}:
            self.add((*place, name), f"is not known here; {suggest(name, fields)}")
        plain: dict[str, object] = {}
        for name, field in fields.items():
            if name in table:
                plain |= self._read_inner(table[name], field.type, (*place, name))
            elif field.required:
                self.add(place, f"needs `{name}`, which is missing")
        self._check_plain(plain, kind, place)
        if len(self.faults) > before:
            return None
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            self._add_error(error, kind, table, place)
        return None

    def read_kinds(self, raw: object, kinds: Sequence[type[Row]], place: Place) -> list[tuple[Place, Row]]:
        """Read tables `[[name]]` of several kinds, each of which says which one it is."""
        if not isinstance(raw, list):
            self.add(place, f"must be a list of tables; write each as `[[{place[-1]}]]`")
            return []
        known = {str(kind.__struct_config__.tag): kind for kind in kinds}
        field = str(kinds[0].__struct_config__.tag_field)
        found: list[tuple[Place, Row]] = []
        for number, one in enumerate(cast("Sequence[object]", raw)):
            where = (*place, number)
            word = str(cast("Table", one).get(field, "")) if isinstance(one, dict) else ""
            if word not in known and isinstance(one, dict):
                self.add((*where, field), f"{word!r} is none of its words; {suggest(word, known)}")
                continue
            row = self.read(cast("object", one), known.get(word, kinds[0]), where)
            found += [] if row is None else [(where, row)]
        return found

    def _read_inner(self, value: object, kind: object, place: Place) -> dict[str, object]:
        """Read the tables in a field, and return what is left of it to be checked with its row."""
        name = str(place[-1])
        inner = _find_struct(kind)
        if inner is not None and isinstance(value, dict):
            self.read(cast("object", value), inner, place)
            return {}
        if inner is not None and isinstance(value, list):
            items = cast("Sequence[object]", value)
            for number, item in enumerate(items):
                if isinstance(item, dict):
                    self.read(cast("object", item), inner, (*place, number))
            # The places of tables are kept, so that the others keep theirs.
            left = {number: item for number, item in enumerate(items) if not isinstance(item, dict)}
            return {name: left} if left else {}
        return {name: value}

    def _check_plain(self, plain: dict[str, object], kind: type[Struct], place: Place) -> None:
        """Note what is wrong with each value, taking out one after the other.

        The row is converted as a whole, as msgspec 0.22 crashes on some types when they stand alone.
        """
        while plain:
            shown = {name: [*value.values()] if _is_numbered(value) else value for name, value in plain.items()}
            try:
                msgspec.convert(shown, kind)
            except msgspec.ValidationError as error:
                path = _read_path(error)
                if not path:
                    return
                name = str(path[0])
                left = plain[name]
                if _is_numbered(left) and len(path) > 1:
                    number = [*left][int(path[1])]
                    self._add_error(error, kind, shown, place, path=(name, number, *path[2:]))
                    del left[number]
                    if left:
                        continue
                else:
                    self._add_error(error, kind, shown, place)
                del plain[name]
            else:
                return

    def _add_error(
        self, error: msgspec.ValidationError, kind: type[Struct], table: Table, place: Place, *, path: Place = ()
    ) -> None:
        found = _read_path(error)
        value: object = table
        for part in found:
            value = cast("dict[str | int, object]", value)[part]
        what = _describe(_ERROR_PATH.sub("", str(error)), value)
        field = next((one for one in structs.fields(kind) if found and one.encode_name == found[0]), None)
        choices = list(_find_choices(field.type)) if field is not None else []
        if choices and str(error).startswith("Invalid enum"):
            what = f"{value!r} is none of its words; {suggest(str(value), choices)}"
        self.add((*place, *(path or found)), what)


def suggest(name: str, choices: Iterable[str]) -> str:
    """Say which of the choices a name probably means, or what they are."""
    known = sorted(choices)
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(f'`{choice}`' for choice in known)}"


def _describe(said: str, value: object) -> str:
    # Whoever writes a key where its name belongs must not find it in a log.
    if _NAME_PATTERN in said:
        return "this is no name of an environment variable, such as `SHOP_API_KEY`; the key itself never stands here"
    said = said.replace(" | null", "").replace("`array`", "a list").replace("`object`", "a table")
    shown = f"{value!r} does not fit: " if isinstance(value, str | int | float) else ""
    return f"{shown}{said[:1].lower()}{said[1:]}"


def _find_struct(kind: object) -> type[Struct] | None:
    """Find the one struct that a field's type is about: `X`, `X | None`, `tuple[X | str, ...]`; else `None`."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    if get_origin(kind) is dict:
        return None
    found = [inner for inner in map(_find_struct, get_args(kind)) if inner is not None]
    return found[0] if len(found) == 1 else None


def _find_choices(kind: object) -> Iterator[str]:
    """Find the words that a field may hold, where they are few."""
    for inner in get_args(kind):
        if get_origin(kind) is Literal:
            yield str(inner)
        else:
            yield from _find_choices(inner)


def _is_numbered(value: object) -> TypeGuard[dict[int, object]]:
    """Whether it is what is left of a list."""
    return isinstance(value, dict) and all(isinstance(key, int) for key in cast("dict[object, object]", value))


def _read_path(error: msgspec.ValidationError) -> Place:
    """Read where in a row an error is."""
    path = _ERROR_PATH.search(str(error))
    return tuple(key or int(number) for key, number in _KEY.findall(path[1])) if path else ()
