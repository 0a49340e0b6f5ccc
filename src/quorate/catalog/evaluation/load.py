"""Which cases are in some files, and what is wrong with any of them?"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import msgspec
from msgspec import Struct

from quorate.catalog.evaluation.case import Case, Routed
from quorate.catalog.evaluation.check import Place
from quorate.catalog.evaluation.places import find_json_line, find_yaml_line
from quorate.catalog.evaluation.shape import read_case
from quorate.catalog.shape import suggest
from quorate.codec import toml
from quorate.codec.json import check_depth
from quorate.errors import InvalidFiles, InvalidInput, MissingExtra

KEY = "case"
"""The key that holds the cases of a file."""
DEFAULTS = "defaults"
"""The key of what holds for all cases of a file that do not say otherwise."""
MAY_DEFAULT = ("kind", "agent", "tags")
MOST_BYTES = 8 << 20
MOST_FILES = 1_000
MOST_CASES = 50_000
Form = Literal["toml", "json", "jsonl", "yaml"]
FORMS: Mapping[str, Form] = {
    ".toml": "toml", ".json": "json", ".jsonl": "jsonl", ".yaml": "yaml", ".yml": "yaml",
}  # fmt: skip
"""How a file is written, by what its name ends in."""


class _Raw(Struct, frozen=True):
    """A case as it is written, and how the line of a place in it is found."""

    value: object
    find_line: Callable[[Place], int]


def load_cases(paths: Sequence[str | os.PathLike[str]], *, agents: Collection[str] | None = None) -> tuple[Case, ...]:
    """Read the cases of some files, and of the files of directories: TOML, YAML, JSON, and JSON a line.

    Args:
        paths: The files and directories.
        agents: The agents there are, where they are known: others must not be named.

    Raises:
        InvalidFiles: Some do not hold together; every fault of every file is listed with its line.
        MissingExtra: One is YAML, and the extra `yaml` is not installed.
    """
    faults: list[tuple[str, int, str]] = []
    found: dict[str, tuple[Case, str]] = {}
    for path in _list_files(paths, faults):
        text = _read_file(path, faults)
        form = FORMS.get(os.path.splitext(path)[1].lower(), "toml")
        for raw in [] if text is None else _read_cases(text, form, path=path, faults=faults):
            case, wrong = read_case(raw.value)
            if case is not None:
                wrong += _check_names(case, agents)
                line = raw.find_line(("id",))
                if case.id in found:
                    faults.append((path, line, f"`id` {case.id!r} is also in {found[case.id][1]}; rename one of them"))
                found.setdefault(case.id, (case, f"{path}:{line}"))
            faults += [(path, raw.find_line(place), what) for place, what in wrong]
    if not faults and len(found) > MOST_CASES:
        faults.append(("", 1, f"there are {len(found)} cases; at most {MOST_CASES} are read at once"))
    if faults:
        lines = [f"{path}:{line}: {what}" for path, line, what in sorted(dict.fromkeys(faults))]
        raise InvalidFiles("evaluation cases", lines)
    return tuple(case for case, _ in found.values())


def _check_names(case: Case, agents: Collection[str] | None) -> Iterator[tuple[Place, str]]:
    if agents is None:
        return
    named: list[tuple[Place, str]] = [(("agent",), case.agent)] if case.agent else []
    named += [(("poll", "voters", at), one) for at, one in enumerate(case.poll.voters if case.poll else ())]
    for number, grader in enumerate(case.expects):
        if isinstance(grader, Routed):
            named += [(("expects", number, "agents", at), one) for at, one in enumerate(grader.agents)]
    for place, name in named:
        if name not in agents:
            yield place, f"there is no agent {name!r}; {suggest(name, agents)}"


def _list_files(paths: Iterable[str | os.PathLike[str]], faults: list[tuple[str, int, str]]) -> list[str]:
    listed: list[str] = []
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = sorted(str(one) for one in path.iterdir() if one.suffix.lower() in FORMS)
            if not inside:
                faults.append((str(path), 1, f"the directory holds no file of cases ({', '.join(FORMS)})"))
            listed += inside
        elif path.suffix.lower() not in FORMS:
            faults.append((str(path), 1, f"cases are in files that end in {', '.join(FORMS)}; rename it"))
        else:
            listed.append(str(path))
    if len(listed) > MOST_FILES:
        faults.append((listed[0], 1, f"there are {len(listed)} files; at most {MOST_FILES} are read"))
        return []
    return list(dict.fromkeys(listed))


def _read_file(path: str, faults: list[tuple[str, int, str]]) -> str | None:
    try:
        # Without waiting: a pipe that is called like a file of cases must not hold the start up.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
            content = opened.read(MOST_BYTES + 1) or b""
        if len(content) > MOST_BYTES:
            faults.append((path, 1, f"the file has more than {MOST_BYTES} bytes; split it"))
            return None
        return content.decode("utf-8-sig")
    except OSError as error:
        faults.append((path, 1, f"cannot be read: {error.strerror}; mend it, or take it away"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        faults.append((path, line, f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"))
    return None


def _read_cases(text: str, form: Form, *, path: str, faults: list[tuple[str, int, str]]) -> list[_Raw]:
    if form == "jsonl":
        return list(_read_lines(text, path, faults))
    try:
        value: object = {"toml": _read_toml, "json": _read_json, "yaml": _read_yaml}[form](text)
    except InvalidInput as error:
        line = error.context.get("line", 1)
        faults.append((path, line if isinstance(line, int) else 1, error.message))
        return []
    is_list = isinstance(value, list)
    table = cast("object", {KEY: value}) if is_list else value
    find = {"toml": toml.find_line, "json": find_json_line, "yaml": find_yaml_line}[form]

    def find_line(place: Place) -> int:
        return find(text, place[1:] if is_list else place)

    return list(_read_table(table, find_line, path, faults))


def _read_table(
    table: object, find_line: Callable[[Place], int], path: str, faults: list[tuple[str, int, str]]
) -> Iterator[_Raw]:
    if not isinstance(table, dict):
        faults.append((path, 1, f"it holds no `{KEY}`; write the cases below it"))
        return
    keys = cast("dict[str, object]", table)
    for key in keys.keys() - {KEY, DEFAULTS}:
        faults.append((path, find_line((key,)), f"there is no key `{key}`; {suggest(str(key), (KEY, DEFAULTS))}"))
    given, defaults = keys.get(KEY), keys.get(DEFAULTS, {})
    if not isinstance(given, list):
        faults.append((path, find_line((KEY,)), f"`{KEY}` is not a list of cases; write each below `[[{KEY}]]`"))
        return
    shared = cast("dict[str, object]", defaults) if isinstance(defaults, dict) else {}
    for key in shared.keys() - set(MAY_DEFAULT):
        faults.append((path, find_line((DEFAULTS, key)), f"`{key}` cannot be a default; {', '.join(MAY_DEFAULT)} can"))
    shared = {key: shared[key] for key in MAY_DEFAULT if key in shared}
    for number, one in enumerate(cast("list[object]", given)):
        value = {**shared, **cast("dict[str, object]", one)} if isinstance(one, dict) else one

        def find(place: Place, number: int = number) -> int:
            return find_line((KEY, number, *place))

        yield _Raw(value, find)


def _read_lines(text: str, path: str, faults: list[tuple[str, int, str]]) -> Iterator[_Raw]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = _read_json(line)
        except InvalidInput as error:
            faults.append((path, number, error.message))
            continue

        def find(place: Place, number: int = number) -> int:
            return number

        yield _Raw(value, find)


def _read_toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"this is not TOML: {error}; mend it") from error


def _read_json(text: str) -> object:
    check_depth(text, what="it")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidInput(f"this is not JSON: {error}; mend it") from error


def _read_yaml(text: str) -> object:
    """Read YAML as data alone: no tags, no anchors, so that a small file stays small."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("Evaluation cases in YAML", "yaml") from error
    try:
        for token in cast("Iterable[yaml.Token]", yaml.scan(text, Loader=yaml.SafeLoader)):  # pyright: ignore[reportUnknownMemberType]
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
                line = token.start_mark.line + 1
                raise InvalidInput("anchors, aliases and tags are not read: write it out", line=line)
        value: object = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidInput(f"this is not YAML: {' '.join(str(error).split())}; mend it") from error
    try:
        check_depth(msgspec.json.encode(value), what="it")
    except TypeError as error:
        raise InvalidInput(f"it holds what is no plain data: {error}; put it in quotes") from error
    return value
