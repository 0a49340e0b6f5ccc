"""How are workflows and teams read from files, with the place of everything that is wrong with them?"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from quorate.codec.json import check_depth
from quorate.errors import InvalidFiles, MissingExtra
from quorate.orchestration.teams.spec import Team, list_parts
from quorate.orchestration.workflow.spec import Workflow

MAX_BYTES = 1 << 20
SUFFIXES = (".toml", ".yaml", ".yml")


class Definitions(Struct, frozen=True, kw_only=True):
    """The workflows and teams of some files, by name."""

    workflows: dict[str, Workflow] = {}
    teams: dict[str, Team] = {}


def load_definitions(paths: Sequence[str | os.PathLike[str]], *, taken: Collection[str] = ()) -> Definitions:
    """Read workflows and teams from files, and from the files of directories.

    Args:
        paths: The files and directories.
        taken: Names that are not free any more, as agents have them.

    Raises:
        InvalidFiles: One cannot be read, is neither, has the name of another, or would run itself; all faults are told.
    """
    found: dict[str, Workflow | Team] = {}
    sources: dict[str, str] = {}
    faults: list[str] = []
    for path in _list_files(paths):
        try:
            one = load_definition(path)
        except InvalidFiles as error:
            faults += error.faults
            continue
        if one.name in found or one.name in taken:
            faults.append(f"{path}: {one.name!r} is in {sources.get(one.name, 'the agent files')} already")
            continue
        found[one.name], sources[one.name] = one, str(path)
    faults += _find_circles({name: list_named(one) & found.keys() for name, one in found.items()}, sources)
    if faults:
        raise InvalidFiles("workflows", faults)
    return Definitions(
        workflows={name: one for name, one in found.items() if isinstance(one, Workflow)},
        teams={name: one for name, one in found.items() if isinstance(one, Team)},
    )


def load_workflows(paths: Sequence[str | os.PathLike[str]]) -> dict[str, Workflow]:
    """Read workflows from files, and from the files of directories; teams that are there too are left out.

    Raises:
        InvalidFiles: One cannot be read, is no workflow, or has the name of another; all faults are told.
    """
    return load_definitions(paths).workflows


def load_workflow(path: str | os.PathLike[str]) -> Workflow:
    """Read a workflow from a TOML or YAML file; what its steps name is checked when it is built.

    Raises:
        InvalidFiles: It cannot be read, or is none; the message says where.
        MissingExtra: It is YAML, and the extra `yaml` is not installed.
    """
    found = load_definition(path)
    if isinstance(found, Workflow):
        return found
    raise InvalidFiles("workflow", [f"{os.fspath(path)}: it is a team, not a workflow"])


def load_definition(path: str | os.PathLike[str]) -> Workflow | Team:
    """Read a workflow, or a team where `kind = "team"` says so; raises what `load_workflow` raises."""
    where = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidFiles("workflow", [f"{where}: it has more than {MAX_BYTES} bytes"])
        text = data.decode("utf-8-sig")
        return parse_definition(text, where=where, is_yaml=Path(path).suffix in (".yaml", ".yml"))
    except OSError as error:
        raise InvalidFiles("workflow", [f"{where}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        fault = f"{where}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise InvalidFiles("workflow", [fault]) from error


def parse_workflow(text: str, *, where: str = "workflow", is_yaml: bool = False) -> Workflow:
    """Read a workflow from text.

    Raises:
        InvalidFiles: It is none; the message says where.
        MissingExtra: It is YAML, and the extra `yaml` is not installed.
    """
    found = parse_definition(text, where=where, is_yaml=is_yaml)
    if isinstance(found, Workflow):
        return found
    raise InvalidFiles("workflow", [f"{where}: it is a team, not a workflow"])


def parse_definition(text: str, *, where: str = "workflow", is_yaml: bool = False) -> Workflow | Team:
    """Read a workflow or a team from text; raises what `parse_workflow` raises."""
    table = dict(_read_yaml(text, where=where) if is_yaml else _read_toml(text, where=where))
    kind = table.pop("kind", "workflow")
    if kind not in ("workflow", "team"):
        raise InvalidFiles("workflow", [f"{where}: `kind` is {kind!r:.80}; it is 'workflow' or 'team'"])
    try:
        return msgspec.convert(table, Team if kind == "team" else Workflow)
    except msgspec.ValidationError as error:
        raise InvalidFiles(str(kind), [f"{where}: {error}"]) from error


def list_named(one: Workflow | Team) -> set[str]:
    """List the agents, workflows and teams that a workflow or a team names; what it brings along itself is none."""
    if isinstance(one, Team):
        return {*list_parts(one)} - one.agents.keys()
    asked = {step.agent for step in one.steps} - one.agents.keys()
    return (asked | {step.workflow for step in one.steps}) - {""}


def _find_circles(named: Mapping[str, Collection[str]], sources: Mapping[str, str]) -> Iterator[str]:
    done: set[str] = set()
    while ready := {name for name, others in named.items() if name not in done and done.issuperset(others)}:
        done |= ready
    stuck = sorted(named.keys() - done)
    if stuck:
        yield f"{sources[stuck[0]]}: {', '.join(stuck)} would run one another: break the circle"


def _read_toml(text: str, *, where: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidFiles("workflow", [f"{where}: it is not TOML: {error}"]) from error


def _read_yaml(text: str, *, where: str) -> Mapping[str, object]:
    """Read YAML as data alone: no tags, no anchors, so that a small file stays small."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("workflows in YAML", "yaml") from error
    try:
        tokens = cast("Iterable[yaml.Token]", yaml.scan(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
        for token in tokens:
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
                line = token.start_mark.line + 1
                raise InvalidFiles(
                    "workflow", [f"{where}:{line}: anchors, aliases and tags are not read: write it out"]
                )
        table: object = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidFiles("workflow", [f"{where}: it is not YAML: {error}"]) from error
    if not isinstance(table, dict):
        raise InvalidFiles("workflow", [f"{where}: it holds no table with `name` and `steps`"])
    check_depth(msgspec.json.encode(table), what=where)
    return cast("dict[str, object]", table)


def _list_files(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    files: list[Path] = []
    for given in paths:
        path = Path(given)
        files += sorted(one for one in path.iterdir() if one.suffix in SUFFIXES) if path.is_dir() else [path]
    return files
