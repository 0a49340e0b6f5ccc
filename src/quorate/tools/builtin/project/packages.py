"""Which packages do the manifests and lock files of a project name, in any of five ecosystems?"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from typing import cast

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.trees import Tree, read_json

MAX_PACKAGES = 20_000
MAX_LINE_CHARS = 4000
MAX_DOTS = 2000
_WORD = re.compile(r"[\w@/.-]{1,200}")
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,200}))\s{0,5}(?:\[[^\]]{0,200}\])?\s{0,5}\(?(?P<spec>[^;#@]{0,200})(?P<rest>.{0,2000})"
)
_GO = re.compile(
    r"(?:require\s+)?(?P<name>[a-z0-9][\w.~-]{0,100}(?:/[\w.~-]{1,100}){0,12})\s+(?P<version>v\d[\w.+-]{0,100})(?P<rest>.*)"
)
_EXACT = re.compile(r"=?=?=?\s{0,3}v?\d[\w.+!-]{0,60}")


class Package(Struct, frozen=True, kw_only=True):
    """A package as one file names it."""

    ecosystem: str
    name: str
    version: str = ""
    """The exact version, or what of versions is allowed."""
    line: int = 1
    is_locked: bool = False
    """Whether the file fixes this version."""
    is_pinned: bool = False
    is_direct: bool = False
    source: str = ""
    """`git` or `url` where it does not come from the registry."""
    has_hash: bool = True
    licence: str = ""


Reader = Callable[[Source], Iterator[Package]]


def find_reader(path: str) -> tuple[Reader, bool] | None:
    """Find what reads a file of this name, and whether it is a lock file."""
    name = path.rpartition("/")[2]
    if re.fullmatch(r"requirements[\w.-]{0,40}\.(?:txt|in)|constraints\.txt", name):
        return _read_requirements, False
    return {
        "pyproject.toml": (_read_pyproject, False),
        "uv.lock": (_read_toml_lock("pypi"), True),
        "poetry.lock": (_read_toml_lock("pypi"), True),
        "pdm.lock": (_read_toml_lock("pypi"), True),
        "Cargo.toml": (_read_cargo, False),
        "Cargo.lock": (_read_toml_lock("cargo"), True),
        "package.json": (_read_npm, False),
        "package-lock.json": (_read_npm_lock, True),
        "yarn.lock": (_read_yarn, True),
        "go.mod": (_read_go, False),
        "go.sum": (_read_go_sum, True),
    }.get(name)


def normalize(name: str) -> str:
    """Write a Python package's name as its registry does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_requirement(text: str, *, line: int = 1) -> Package | None:
    """Read one requirement such as `aiohttp[speedups]>=3,<4; python_version < "3.13"`."""
    match = _REQUIREMENT.match(text.strip())
    if match is None:
        return None
    spec = match["spec"].strip().rstrip(")").strip()
    place = match["rest"].strip()
    source = ""
    if place.startswith("@"):
        source = "git" if "git+" in place else "url"
    return Package(
        ecosystem="pypi",
        name=normalize(match["name"]),
        version=spec,
        line=line,
        is_pinned=spec.startswith("==") and "*" not in spec and "," not in spec,
        is_direct=True,
        source=source,
        has_hash="--hash" in text,
    )


def read_toml(source: Source) -> dict[str, object]:
    """Read a TOML file.

    Raises:
        ToolError: It is none; the message says where.
    """
    if any(line.count(".") > MAX_DOTS for line in source.lines):
        # The library's time grows with the square of a key's parts.
        raise ToolError(f"This is no TOML that is read here: a line has more than {MAX_DOTS} dots.")
    try:
        return tomllib.loads(source.text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ToolError(f"This is no TOML: {str(error)[:200]}.") from error


def table(value: object, *names: str) -> dict[str, object]:
    """Go down into a TOML document by names; an empty table where there is none."""
    for name in names:
        value = cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def texts(value: object) -> list[str]:
    """Return the texts of a list, and of nothing else."""
    return [one for one in cast("list[object]", value) if isinstance(one, str)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def index_lines(source: Source) -> dict[str, int]:
    """Map the words of a file, as package names are compared, to the lines they first stand on."""
    found: dict[str, int] = {}
    for number, line in enumerate(source.lines, 1):
        for word in _WORD.findall(line[:1000])[:50]:
            found.setdefault(normalize(word), number)
    return found


def _read_requirements(source: Source) -> Iterator[Package]:
    joined, began = "", 0
    for number, line in enumerate(source.lines, 1):
        bare = re.sub(r"(?:^|\s)#.*$", "", line[:MAX_LINE_CHARS]).strip()
        began = began or number
        joined = f"{joined} {bare.removesuffix(chr(92))}".strip()[:MAX_LINE_CHARS]
        if bare.endswith("\\"):
            continue
        if re.match(r"(?:-e|--editable)\s|git\+|https?://", joined):
            name = re.search(r"#egg=([\w.-]{1,100})", line) or re.search(r"/([\w.-]{1,100}?)(?:\.git|@|$)", joined)
            source_kind = "git" if "git+" in joined else "url"
            yield Package(
                ecosystem="pypi",
                name=normalize(name[1] if name else "?"),
                line=began,
                is_direct=True,
                source=source_kind,
            )
        elif joined and not joined.startswith("-"):
            package = parse_requirement(joined, line=began)
            if package is not None:
                yield package
        joined, began = "", 0


def list_requirements(document: dict[str, object]) -> list[str]:
    """List all that a `pyproject.toml` requires: for running, for its extras and for its groups."""
    project = table(document, "project")
    found = texts(project.get("dependencies"))
    for group in (*table(project, "optional-dependencies").values(), *table(document, "dependency-groups").values()):
        found += texts(group)
    return found


def _read_pyproject(source: Source) -> Iterator[Package]:
    document = read_toml(source)
    own, lines = normalize(_text(table(document, "project").get("name")) or "?"), index_lines(source)
    for text in list_requirements(document):
        package = parse_requirement(text)
        # An extra that gathers other extras names the project itself.
        if package is not None and package.name != own:
            yield Package(
                ecosystem="pypi",
                name=package.name,
                version=package.version,
                line=lines.get(package.name, 1),
                is_pinned=package.is_pinned,
                is_direct=True,
                source=package.source,
            )
    for name, value in table(document, "tool", "poetry", "dependencies").items():
        if name != "python":
            yield _declared(lines, "pypi", normalize(name), value)


def _declared(lines: dict[str, int], ecosystem: str, name: str, value: object) -> Package:
    fields = table(value)
    version = _text(value) or _text(fields.get("version"))
    return Package(
        ecosystem=ecosystem,
        name=name,
        version=version,
        line=lines.get(normalize(name), 1),
        is_pinned=_EXACT.fullmatch(version) is not None and (ecosystem != "cargo" or version.startswith("=")),
        is_direct=True,
        source="git" if "git" in fields else "url" if "url" in fields else "",
    )


def _read_cargo(source: Source) -> Iterator[Package]:
    document, lines = read_toml(source), index_lines(source)
    for key in ("dependencies", "dev-dependencies", "build-dependencies"):
        for name, value in (*table(document, key).items(), *table(document, "workspace", key).items()):
            if "path" not in table(value) and table(value).get("workspace") is not True:
                yield _declared(lines, "cargo", name, value)


def _read_toml_lock(ecosystem: str) -> Reader:
    def read(source: Source) -> Iterator[Package]:
        packages = read_toml(source).get("package")
        lines = {
            line.split('"')[1]: number for number, line in enumerate(source.lines, 1) if line.startswith('name = "')
        }
        for one in cast("list[object]", packages)[:MAX_PACKAGES] if isinstance(packages, list) else []:
            fields = table(one)
            place = fields.get("source")
            kinds = table(place)
            if "editable" in kinds or "virtual" in kinds or (ecosystem == "cargo" and place is None):
                continue
            name = _text(fields.get("name"))
            origin = _text(place) or _text(kinds.get("type"))
            has_files = any(fields.get(key) for key in ("sdist", "wheels", "files", "checksum"))
            yield Package(
                ecosystem=ecosystem,
                name=normalize(name) if ecosystem == "pypi" else name,
                version=_text(fields.get("version")),
                line=lines.get(name, 1),
                is_locked=True,
                is_pinned=True,
                source="git" if "git" in kinds or origin.startswith("git") else "url" if "url" in kinds else "",
                has_hash=has_files,
            )

    return read


def _read_npm(source: Source) -> Iterator[Package]:
    root, lines = read_json(source.text), index_lines(source)
    for key in ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies"):
        for name, value in root.at(key).fields.items():
            version = value.text
            is_git = re.match(r"git\b|git\+|github:|[\w-]+/[\w.-]+(?:#|$)", version) is not None
            if version.startswith(("file:", "link:", "workspace:")):
                continue
            yield Package(
                ecosystem="npm",
                name=name,
                version=version,
                line=lines.get(normalize(name), 1),
                is_pinned=_EXACT.fullmatch(version) is not None,
                is_direct=True,
                source="git" if is_git else "url" if version.startswith("http") else "",
            )


def _read_npm_lock(source: Source) -> Iterator[Package]:
    root = read_json(source.text)
    for place, one in list(root.at("packages").fields.items())[:MAX_PACKAGES]:
        if place and not one.at("link").is_true:
            yield _locked_npm(place.rpartition("node_modules/")[2] or place, one)
    if "packages" not in root:
        stack = list(root.at("dependencies").fields.items())
        while stack:
            name, one = stack.pop()
            yield _locked_npm(name, one)
            stack.extend(one.at("dependencies").fields.items())


def _locked_npm(name: str, one: Tree) -> Package:
    place = one.at("resolved").text
    return Package(
        ecosystem="npm",
        name=name,
        version=one.at("version").text,
        is_locked=True,
        is_pinned=True,
        source="git" if place.startswith("git") else "url" if place.startswith("http://") else "",
        has_hash="integrity" in one or one.at("inBundle").is_true or not place.startswith("http"),
        licence=one.at("license").text,
    )


def _read_yarn(source: Source) -> Iterator[Package]:
    name, line = "", 0
    for number, text in enumerate(source.lines, 1):
        head = re.match(r'"?(@?[^@"\s]{1,200})@[^:]{1,500}:\s*$', text[:1000])
        if head is not None and not text.startswith("#"):
            name, line = head[1], number
        version = re.match(r'\s+"?version"?:?\s+"?([\w.+-]{1,100})"?\s*$', text[:500])
        if version is not None and name and name != "__metadata":
            yield Package(ecosystem="npm", name=name, version=version[1], line=line, is_locked=True, is_pinned=True)
            name = ""


def _read_go(source: Source) -> Iterator[Package]:
    inside = ""
    for number, line in enumerate(source.lines, 1):
        bare = line.strip()[:1000]
        if bare.endswith("("):
            inside = bare.split(" ")[0]
        elif bare == ")":
            inside = ""
        elif match := _GO.fullmatch(bare.removeprefix("require ")):
            if inside in ("", "require") and (inside or bare.startswith("require")):
                is_direct = "// indirect" not in match["rest"]
                yield Package(
                    ecosystem="go",
                    name=match["name"],
                    version=match["version"],
                    line=number,
                    is_pinned=True,
                    is_direct=is_direct,
                )
        elif bare.startswith("replace ") and ("=> ./" in bare or "=> ../" in bare):
            yield Package(
                ecosystem="go", name=bare.split(" ")[1], line=number, is_direct=True, source="path", is_pinned=True
            )


def _read_go_sum(source: Source) -> Iterator[Package]:
    for number, line in enumerate(source.lines[: 2 * MAX_PACKAGES], 1):
        fields = line.split()
        if len(fields) == 3 and not fields[1].endswith("/go.mod"):
            yield Package(
                ecosystem="go", name=fields[0], version=fields[1], line=number, is_locked=True, is_pinned=True
            )
