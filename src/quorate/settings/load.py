"""Which value of each setting counts, where does it come from, and what is wrong with the others?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from quorate.errors import InvalidFiles, InvalidInput, QuorateError
from quorate.security.providers import Place, find_place, read_file
from quorate.security.secrets import KeptSecret, Secret
from quorate.settings.check import check_key_strength, check_model, check_value, split_bus_password, split_password
from quorate.settings.keys import Key, KeyPath, convert, find_key, list_keys, nest, suggest
from quorate.settings.references import expand, has_reference
from quorate.settings.sources import (
    ENVIRONMENTS,
    MOST_BYTES,
    PROJECT,
    Source,
    Written,
    find_files,
    read_dotenv,
    read_environment,
    read_secrets,
    read_text,
    read_toml,
)
from quorate.settings.values import BUS_PASSWORD, DATABASE_PASSWORD, Settings

_CREDENTIAL = re.compile(
    r"[A-Z][A-Z0-9_]*_(?:API_KEY|API_BASE|BASE_URL|ENDPOINT)(?:_[A-Z0-9]+)?|(?:AWS|AZURE|GOOGLE|OLLAMA)_[A-Z0-9_]+"
    r"|HF_TOKEN|GITHUB_TOKEN|ANTHROPIC_AUTH_TOKEN|REDIS_URL|MODEL_CACHE_SECRET"
)
"""How variables are called that model providers and the gateway read."""
_NAMED = re.compile(r"[A-Z][A-Z0-9_]{2,63}")
"""How variables look that a gateway file names."""
_PLACE = re.compile(r"(.*?):(\d+): ")


class Loaded(Struct, frozen=True, kw_only=True):
    """Settings, and where each of them comes from."""

    settings: Settings
    origins: dict[str, str]
    """The place of each key that somebody wrote, such as `quorate.toml:3`."""
    files: tuple[str, ...]
    """The files that were read, the weightiest last."""
    project: str
    """The directory of the settings file, or the one it was looked for in."""


def load_settings(
    directory: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    environment: str | None = None,
) -> Settings:
    """Read and check all settings.

    Args:
        directory: Where to look for `quorate.toml`; the current directory without one.
        environ: The environment; that of the process without one.
        environment: Which overlay to apply, whatever else says so.

    Raises:
        InvalidFiles: Something is wrong; every fault is listed with its file, line and key.
    """
    return read_settings(directory, environ, environment=environment).settings


def read_settings(
    directory: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    environment: str | None = None,
) -> Loaded:
    """Read and check all settings, and say where each comes from; takes and raises what `load_settings` does."""
    place = Path(directory or ".").resolve()
    env = dict(os.environ) if environ is None else dict(environ)
    files, project, faults = _choose_files(place, env)
    bases = [read_toml(file, shown=_show(file, place)) for file in files]
    outside = read_environment(env, base=str(place))
    chosen = _choose_environment(environment, env, bases, faults)
    overlays = _read_overlays(bases, project, place)
    dotenv = read_dotenv(project / ".env", shown=_show(project / ".env", place)) if chosen == "dev" else Source()
    secrets_dir = env.get("QUORATE_SECRETS_DIR")
    secrets = read_secrets(place / secrets_dir) if secrets_dir else Source()
    sources = [*bases, *overlays.values(), secrets, dotenv, outside]
    faults += [fault for source in sources for fault in source.faults]
    merger = _Merger(secrets.variables | dotenv.variables | env, faults)
    if secrets_dir:
        names = secrets.variables.keys() - dotenv.variables.keys() - env.keys()
        merger.files = {name: os.path.abspath(place / secrets_dir / name) for name in names}
    for name, source in overlays.items():
        if name != chosen:
            merger.check(source.written)
    layers = [*(base.written for base in bases), *(s.written for n, s in overlays.items() if n == chosen)]
    for written in (*layers, secrets.written, dotenv.written, outside.written):
        merger.add(written)
    settings = merger.build(chosen, _find_default_database(project if files else None, env, place))
    if faults:
        raise InvalidFiles("the settings", sorted(set(faults), key=_sort_key))
    unused = {str(project / f"quorate.{name}.toml") for name in ENVIRONMENTS if name != chosen}
    read = [file for source in sources for file in source.files if file not in unused]
    return Loaded(settings=settings, origins=merger.origins, files=tuple(dict.fromkeys(read)), project=str(project))


class _Merger:
    """Lays values over each other, later ones over earlier ones, and collects what is wrong."""

    def __init__(self, variables: Mapping[str, str], faults: list[str]) -> None:
        self.origins: dict[str, str] = {}
        self.files: Mapping[str, str] = {}
        """The files of variables that have one each, which may change."""
        self._variables = variables
        self._faults = faults
        self._values: dict[KeyPath, object] = {}
        self._places: dict[KeyPath, Written] = {}
        self._models: list[tuple[Written, str]] = []
        self._has_gateway = False

    def add(self, written: Iterable[Written]) -> None:
        """Lay values over what is there."""
        for item in written:
            value = self._read(item, has_variables=True)
            if value is not msgspec.UNSET:
                self._values[item.path] = value
                self._places[item.path] = item
                self.origins[".".join(item.path)] = _show_origin(item)

    def check(self, written: Iterable[Written]) -> None:
        """Find what is wrong with values that do not count here; variables they name need not be set."""
        for item in written:
            self._read(item, has_variables=False)

    def build(self, environment: str, database: str) -> Settings:
        """Build the settings; what holds between two of them is checked here."""
        written = self._values.get(("database",)) or database
        shown, password = split_password(str(written))
        servers, bus_password = split_bus_password(str(self._values.get(("bus", "url")) or ""))
        values = {
            **self._values,
            ("database",): shown,
            ("bus", "url"): servers,
            ("environment",): environment,
        }
        self._check_models()
        named = _find_names(str(self._values.get(("gateway",)) or ""))
        credentials = {
            n: self._hold(n, v) for n, v in self._variables.items() if v and (_CREDENTIAL.fullmatch(n) or n in named)
        }
        credentials |= cast("dict[str, Secret]", self._values.get(("secrets", "credentials")) or {})
        passwords = {DATABASE_PASSWORD: password, BUS_PASSWORD: bus_password}
        credentials |= {name: Secret(value) for name, value in passwords.items() if value is not None}
        settings = msgspec.structs.replace(_build(values), credentials=credentials)
        if settings.environment != "dev":
            weak = check_key_strength(settings.openai.api_key, base_url=settings.openai.base_url)
            place = self._places.get(("openai", "api_key"))
            if weak and place:
                self._faults.append(f"{place.where}: `{place.label}`: {weak}")
        return settings

    def _hold(self, name: str, value: str) -> Secret:
        if name not in self.files:
            return Secret(value)
        kept = KeptSecret(f"file:{self.files[name]}")
        kept.renew(value)
        return kept

    def _check_models(self) -> None:
        for item, model in self._models:
            try:
                check_model(model, has_gateway=self._has_gateway)
            except InvalidInput as error:
                self._faults.append(f"{item.where}: `{item.label}`: {error.message.rstrip('.')}")

    def _read(self, item: Written, *, has_variables: bool) -> object:
        key = find_key(item.path)
        assert key is not None
        value, refers = item.value, not item.is_text and _has_references(item.value)
        try:
            if refers and not has_variables:
                return msgspec.UNSET
            if key.is_secret:
                value = self._keep(item, key, value)
            value = _expand(value, self._variables) if refers else value
            if isinstance(value, KeptSecret):
                return value
            if key.is_secret and value == "":
                return None
            found = check_value(
                item.path, convert(key, value, is_text=item.is_text or refers, is_shown=not refers), base=item.base
            )
            self._has_gateway = self._has_gateway or (item.path == ("gateway",) and bool(found))
            if item.path == ("model",):
                self._models.append((item, str(found)))
            return found
        except InvalidInput as error:
            self._faults.append(f"{item.where}: `{item.label}`: {error.message.rstrip('.')}")
            return msgspec.UNSET

    def _keep(self, item: Written, key: Key, value: object) -> object:
        """Put a secret that is kept elsewhere in place of a text that says where; one in a file is read at once.

        Raises:
            InvalidInput: There is no such place, or what is kept there makes no sense.
        """
        if isinstance(value, dict):
            return {name: self._keep(item, key, one) for name, one in cast("dict[str, object]", value).items()}
        if not isinstance(value, str) or not value:
            return value
        place = Place(kind="file", name=item.file) if item.file else find_place(value) if not item.is_text else None
        if place is None:
            return value
        if place.kind == "file":
            place = Place(kind="file", name=os.path.abspath(os.path.join(item.base, place.name)))

        def check(text: str) -> str:
            found = check_value(item.path, Secret(text), base=item.base)
            return found.reveal() if isinstance(found, Secret) else text

        kept = KeptSecret(str(place), check=None if key.is_table else check)
        if place.kind == "file":
            try:
                kept.renew(value if item.file else read_file(place.name))
            except InvalidInput:
                raise
            except QuorateError as error:
                raise InvalidInput(error.message) from error
        return kept


def _find_names(file: str) -> set[str]:
    """Find which variables a gateway file may name; what is wrong with the file is told where it is read."""
    try:
        text = read_text(Path(file), MOST_BYTES) if file else ""
    except (OSError, ValueError):
        return set()
    return set(_NAMED.findall(text))


def _build(values: Mapping[KeyPath, object]) -> Settings:
    def build(kind: type[Struct], table: dict[str, object]) -> Struct:
        inner = {f.name: f.type for f in msgspec.structs.fields(kind)}
        made: dict[str, object] = {
            name: build(cast("type[Struct]", inner[name]), cast("dict[str, object]", value))
            if isinstance(value, dict) and isinstance(inner[name], type)
            else value
            for name, value in table.items()
        }
        return kind(**made)

    return cast("Settings", build(Settings, nest(values)))


def _choose_files(place: Path, env: Mapping[str, str]) -> tuple[list[Path], Path, list[str]]:
    named = env.get("QUORATE_CONFIG")
    if named:
        file = place / named
        missing = [] if file.is_file() else [f"environment: `QUORATE_CONFIG`: there is no file {str(file)!r}"]
        return [] if missing else [file], file.parent, missing
    files, project = find_files(place)
    if len(files) > 1:
        both = f"{_show(project / PROJECT, place)}: `[tool.quorate]` stands beside a `quorate.toml`; move it there"
        return files[:1], project, [both]
    return files, project, []


def _choose_environment(given: str | None, env: Mapping[str, str], bases: Iterable[Source], faults: list[str]) -> str:
    written = [w for base in bases for w in base.written if w.path == ("environment",)]
    named = given or env.get("QUORATE_ENVIRONMENT") or env.get("QUORATE_ENV")
    if named is None:
        found = str(written[-1].value) if written else "dev"
        # A name that is none is found again, with its line, when the value is read.
        return found if found in ENVIRONMENTS else "dev"
    if named in ENVIRONMENTS:
        return named
    if given:
        faults.append(f"there is no environment {given!r}; {suggest(given, ENVIRONMENTS)}")
    return "dev"


def _read_overlays(bases: Iterable[Source], project: Path, place: Path) -> dict[str, Source]:
    """Join, for each environment, the tables `[env.NAME]` and the file `quorate.NAME.toml`."""
    found: dict[str, Source] = {}
    for name in ENVIRONMENTS:
        tables = tuple(w for base in bases for w in base.overlays.get(name, ()))
        file = project / f"quorate.{name}.toml"
        source = read_toml(file, shown=_show(file, place), overlay=name) if file.is_file() else Source()
        found[name] = Source(written=(*tables, *source.written), faults=source.faults, files=source.files)
    return found


def _find_default_database(project: Path | None, env: Mapping[str, str], place: Path) -> str:
    if project is not None:
        return str(project / ".quorate" / "quorate.db")
    # The specification of these directories says that a relative one is to be ignored.
    data, home = env.get("XDG_DATA_HOME", ""), env.get("HOME", "")
    if os.path.isabs(data):
        return os.path.join(data, "quorate", "quorate.db")
    if os.path.isabs(home):
        return os.path.join(home, ".local", "share", "quorate", "quorate.db")
    return str(place / ".quorate" / "quorate.db")


def _sort_key(fault: str) -> tuple[str, int, str]:
    place = _PLACE.match(fault)
    return (place[1], int(place[2]), fault) if place else (fault, 0, "")


def _has_references(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_references(item) for item in cast("dict[str, object]", value).values())
    if isinstance(value, list):
        return any(_has_references(item) for item in cast("list[object]", value))
    return isinstance(value, str) and has_reference(value)


def _expand(value: object, variables: Mapping[str, str]) -> object:
    if isinstance(value, dict):
        return {name: _expand(item, variables) for name, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_expand(item, variables) for item in cast("list[object]", value)]
    return expand(value, variables.get) if isinstance(value, str) else value


def _show(file: Path, place: Path) -> str:
    return os.path.relpath(file, place) if file.is_relative_to(place) else str(file)


def _show_origin(item: Written) -> str:
    return f"{item.where} ({item.label})" if item.where == "environment" else item.where


def list_rows(loaded: Loaded) -> list[tuple[str, str, str]]:
    """List each key with its value, secrets hidden, and where the value comes from."""
    rows: list[tuple[str, str, str]] = []
    for key in list_keys():
        value: object = loaded.settings
        for part in key.path:
            value = getattr(value, part)
        rows.append((key.name, _show_value(value), loaded.origins.get(key.name, "default")))
    return rows


def _show_value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(getattr(one, "issuer", one)) for one in cast("tuple[object, ...]", value))
    if isinstance(value, KeptSecret):
        return f"{value} (from {value.place})"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_show_value(one)}" for name, one in cast("dict[str, object]", value).items())
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
