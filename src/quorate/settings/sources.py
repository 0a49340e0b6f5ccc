"""What was written in each place that settings may come from, and where exactly?"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from msgspec import Struct

from quorate.codec.toml import find_line
from quorate.settings.dotenv import parse_dotenv
from quorate.settings.keys import KeyPath, find_key, list_keys, list_tables, suggest

FILE = "quorate.toml"
PROJECT = "pyproject.toml"
ENVIRONMENTS = ("dev", "staging", "prod")
PREFIX = "QUORATE_"
RESERVED = {"QUORATE_CONFIG", "QUORATE_SECRETS_DIR"}
"""Variables that say where settings are, and are none themselves."""
ALIASES: dict[str, KeyPath] = {
    "QUORATE_ENV": ("environment",),
    "QUORATE_BUS_URL": ("bus", "url"),
    "OPENAI_API_KEY": ("openai", "api_key"),
    "OPENAI_BASE_URL": ("openai", "base_url"),
}
MOST_BYTES = 1 << 20
MOST_SECRET_BYTES = 64 << 10


class Written(Struct, frozen=True, kw_only=True):
    """One value that somebody wrote."""

    path: KeyPath
    value: object
    where: str
    """The file and line, or the place, such as `quorate.toml:3` or `environment`."""
    label: str
    """The key as it is spelled there."""
    base: str
    """The directory that relative paths in it begin at."""
    is_text: bool = True
    """Whether the place knows text only."""
    file: str = ""
    """The file that holds this value and nothing else, which may change; empty for none."""


class Source(Struct, frozen=True, kw_only=True):
    """What one place says."""

    written: tuple[Written, ...] = ()
    faults: tuple[str, ...] = ()
    overlays: dict[str, tuple[Written, ...]] = {}
    """What holds in one environment only."""
    variables: dict[str, str] = {}
    """What `${NAME}` may stand for."""
    files: tuple[str, ...] = ()
    """The files that were read."""


def find_files(directory: Path) -> tuple[list[Path], Path]:
    """Find the settings files of a directory's project, and the project's directory.

    Parents are searched up to the root of the repository the directory is in; without one, only the directory itself.
    """
    places = [directory, *directory.parents]
    root = next((index for index, place in enumerate(places) if (place / ".git").exists()), 0)
    for place in places[: root + 1]:
        found = [file for file in (place / FILE, place / PROJECT) if _has_settings(file)]
        if found:
            return found, place
    return [], directory


def read_toml(file: Path, *, shown: str, overlay: str | None = None) -> Source:
    """Read a settings file, or the `[tool.quorate]` table of a `pyproject.toml`.

    Args:
        file: Which file.
        shown: How messages call it.
        overlay: The environment the whole file is for.
    """
    try:
        text = read_text(file, MOST_BYTES)
        table = cast("dict[str, object]", tomllib.loads(text))
    except (OSError, ValueError, RecursionError) as error:
        return Source(faults=(_describe_unreadable(shown, error),), files=(str(file),))
    place: KeyPath = ()
    if file.name == PROJECT:
        place = ("tool", "quorate")
        table = cast("dict[str, dict[str, dict[str, object]]]", table)["tool"]["quorate"]
    reader = _Reader(text, shown=shown, base=str(file.parent), place=place)
    overlays = {} if overlay else reader.read_overlays(table)
    written = tuple(reader.read({k: v for k, v in table.items() if overlay or k != "env"}, ()))
    return Source(written=written, faults=tuple(reader.faults), overlays=overlays, files=(str(file),))


def read_dotenv(file: Path, *, shown: str) -> Source:
    """Read a `.env` file."""
    try:
        variables, wrong = parse_dotenv(read_text(file, MOST_BYTES))
    except FileNotFoundError:
        return Source()
    except (OSError, ValueError) as error:
        return Source(faults=(_describe_unreadable(shown, error),), files=(str(file),))
    faults = [f"{shown}:{line}: {what}" for line, what in wrong]
    written: list[Written] = []
    values: dict[str, str] = {}
    for variable in variables:
        where = f"{shown}:{variable.line}"
        values[variable.name] = variable.value
        path, fault = find_variable(variable.name)
        if path == ("environment",) or variable.name in RESERVED:
            faults.append(f"{where}: `{variable.name}` has no effect in `.env`; set it in the environment itself")
        elif fault:
            faults.append(f"{where}: {fault}")
        elif path and (variable.value or variable.name not in ALIASES):
            base = str(file.parent)
            written.append(Written(path=path, value=variable.value, where=where, label=variable.name, base=base))
    return Source(written=tuple(written), faults=tuple(faults), variables=values, files=(str(file),))


def read_secrets(directory: Path) -> Source:
    """Read a directory of secrets, one file for each; names are those of keys or of variables, in any case."""
    written: list[Written] = []
    faults: list[str] = []
    values: dict[str, str] = {}
    try:
        files = sorted(file for file in directory.iterdir() if not file.name.startswith("."))
    except OSError as error:
        return Source(faults=(f"QUORATE_SECRETS_DIR: {str(directory)!r} cannot be read: {error.strerror}",))
    for file in files:
        if file.is_dir():
            continue
        try:
            values[file.name] = read_text(file, MOST_SECRET_BYTES).rstrip("\r\n")
        except (OSError, ValueError) as error:
            faults.append(_describe_unreadable(str(file), error))
            continue
        name = file.name.upper()
        path, fault = find_variable(name if name.startswith(PREFIX) or name in ALIASES else PREFIX + name)
        if path:
            value, where = values[file.name], str(file)
            base = str(directory)
            written.append(
                Written(path=path, value=value, where=where, label=file.name, base=base, file=os.path.abspath(file))
            )
        elif fault and name.startswith(PREFIX):
            faults.append(f"{file}: {fault}")
    return Source(written=tuple(written), faults=tuple(faults), variables=values, files=(str(directory),))


def read_environment(environ: Mapping[str, str], *, base: str) -> Source:
    """Read the variables of the environment; our own names win over those we honour."""
    written: list[Written] = []
    faults: list[str] = []
    for name in sorted(environ, key=lambda name: (name.startswith(PREFIX), name)):
        path, fault = find_variable(name)
        if fault:
            faults.append(f"environment: {fault}")
        elif path and (environ[name] or name not in ALIASES):
            written.append(Written(path=path, value=environ[name], where="environment", label=name, base=base))
    return Source(written=tuple(written), faults=tuple(faults), variables=dict(environ))


def find_variable(name: str) -> tuple[KeyPath | None, str]:
    """Find the key that a variable sets, or say what is wrong with its name; neither for others' variables."""
    if name in ALIASES:
        return ALIASES[name], ""
    if not name.startswith(PREFIX) or name in RESERVED:
        return None, ""
    path = tuple(name.removeprefix(PREFIX).lower().split("__"))
    if find_key(path):
        return path, ""
    names = [*(key.variable for key in list_keys()), "QUORATE_ENV", *RESERVED]
    return None, f"there is no setting `{name}`; {suggest(name, names)}"


class _Reader:
    """Reads one TOML file's tables, and collects what is wrong with its keys."""

    def __init__(self, text: str, *, shown: str, base: str, place: KeyPath) -> None:
        self.faults: list[str] = []
        self._text = text
        self._shown = shown
        self._base = base
        self._place = place

    def read(self, table: Mapping[str, object], path: KeyPath, *, below: KeyPath = ()) -> Iterator[Written]:
        """Yield what a table and those in it set; `below` is the overlay they are in."""
        for name, value in table.items():
            inner = (*path, name)
            if find_key(inner):
                yield self._write(inner, value, below)
            elif inner in list_tables():
                if isinstance(value, dict):
                    yield from self.read(cast("dict[str, object]", value), inner, below=below)
                else:
                    self._add(inner, below, f"must be a table; write it as `[{'.'.join(inner)}]`")
            else:
                self._refuse(inner, below)

    def read_overlays(self, table: Mapping[str, object]) -> dict[str, tuple[Written, ...]]:
        """Read the tables `[env.NAME]`."""
        tables = table.get("env", {})
        if not isinstance(tables, dict):
            self._add(("env",), (), "must be a table; write it as `[env.prod]`")
            return {}
        found: dict[str, tuple[Written, ...]] = {}
        for name, inner in cast("dict[str, object]", tables).items():
            if name not in ENVIRONMENTS:
                self._add(("env", name), (), f"is no environment; {suggest(name, ENVIRONMENTS)}")
            elif isinstance(inner, dict):
                found[name] = tuple(self.read(cast("dict[str, object]", inner), (), below=("env", name)))
            else:
                self._add(("env", name), (), f"must be a table; write it as `[env.{name}]`")
        return found

    def _write(self, path: KeyPath, value: object, below: KeyPath) -> Written:
        where = f"{self._shown}:{self._find_line((*below, *path))}"
        label = ".".join((*below, *path))
        return Written(path=path, value=value, where=where, label=label, base=self._base, is_text=False)

    def _refuse(self, path: KeyPath, below: KeyPath) -> None:
        level, parent = len(path), path[:-1]
        known = {key.path[level - 1] for key in list_keys() if key.path[: level - 1] == parent}
        # A key in the wrong table is told apart from one that is misspelled.
        elsewhere = [key.name for key in list_keys() if key.path[-1] == path[-1]]
        hint = f"did you mean `{elsewhere[0]}`?" if elsewhere else suggest(path[-1], known | ({"env"} - set(below)))
        self._add(path, below, f"is no setting; {hint}")

    def _add(self, path: KeyPath, below: KeyPath, what: str) -> None:
        whole = (*below, *path)
        self.faults.append(f"{self._shown}:{self._find_line(whole)}: `{'.'.join(whole)}` {what}")

    def _find_line(self, path: KeyPath) -> int:
        return find_line(self._text, (*self._place, *path))


def _has_settings(file: Path) -> bool:
    if not file.is_file():
        return False
    if file.name == FILE:
        return True
    try:
        tools = tomllib.loads(read_text(file, MOST_BYTES)).get("tool", {})
    except (OSError, ValueError, RecursionError):
        # Whatever else reads it says what is wrong with it; it is not ours unless it says so.
        return False
    return isinstance(tools, dict) and isinstance(cast("dict[str, object]", tools).get("quorate"), dict)


def read_text(file: Path, most: int) -> str:
    """Read a text of at most so many bytes; raises `OSError` or `ValueError`."""
    # Without waiting: a pipe of that name must not hold the start up.
    with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        content = stream.read(most + 1) or b""
    if len(content) > most:
        raise ValueError(f"it has more than {most} bytes")
    return content.decode("utf-8-sig")


def _describe_unreadable(shown: str, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{shown}: cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"{shown}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
    if isinstance(error, tomllib.TOMLDecodeError):
        what, _, place = str(error).partition(" (at line ")
        line = place.partition(",")[0]
        return f"{shown}:{f'{line}:' if line.isdigit() else ''} this is not TOML: {what[:1].lower()}{what[1:]}"
    return f"{shown}: {error or type(error).__name__}"
