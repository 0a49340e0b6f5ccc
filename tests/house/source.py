"""What does the source tree look like, as data the house tests can measure?"""

import ast
import functools
import io
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "quorate"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file of the package."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path below `src/quorate`, such as `agent/loop.py`."""
        return self.path.relative_to(SRC).as_posix()

    @property
    def lines(self) -> int:
        """Physical lines, blank ones and comments included."""
        return self.text.count("\n")

    @property
    def module(self) -> str:
        """The dotted name, such as `quorate.agent.loop`."""
        parts = list(self.path.relative_to(SRC.parent).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def is_package(self) -> bool:
        """Whether this is an `__init__.py`."""
        return self.path.name == "__init__.py"

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree, walked once for all the rules."""
        return tuple(ast.walk(self.tree))

    @functools.cached_property
    def comments(self) -> dict[int, str]:
        """Every comment by its line."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT}


@functools.cache
def sources() -> tuple[Source, ...]:
    """All Python files of the package, in order of path."""
    found: list[Source] = []
    for path in sorted(SRC.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(path, text, ast.parse(text, str(path))))
    return tuple(found)


def all_lines() -> int:
    """Physical lines of the whole package."""
    return sum(source.lines for source in sources())


@functools.cache
def functions(source: Source) -> tuple[tuple[str, Function], ...]:
    """Every function and method with its dotted name, nested ones included."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield prefix + child.name, child
                yield from walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")
            else:
                yield from walk(child, prefix)

    return tuple(walk(source.tree, ""))


def classes(source: Source) -> Iterator[ast.ClassDef]:
    """Every class of a file, nested ones included."""
    return (node for node in source.nodes if isinstance(node, ast.ClassDef))


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of attributes on a name, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Every module a file names in an import, at any depth, with its line; `a.b` for `from a import b`.

    Imports inside functions and under `TYPE_CHECKING` count, and so do literal arguments of `import_module`.
    """
    package = source.module if source.is_package else source.module.rpartition(".")[0]
    for node in source.nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in {
            "import_module",
            "__import__",
        }:
            given = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
            yield from ((node.lineno, name) for name in given if isinstance(name, str))


def exceptions(kind: str) -> dict[str, str]:
    """What is let off a budget, with the reason; the list only shrinks."""
    table = tomllib.loads((Path(__file__).parent / "exceptions.toml").read_text(encoding="utf-8"))
    return dict(table.get(kind, {}))


def check_budget(kind: str, over: dict[str, str]) -> None:
    """Fail when something is over a budget and not let off, or let off and no longer over it."""
    let_off = exceptions(kind)
    faults = [text for name, text in sorted(over.items()) if name not in let_off]
    stale = sorted(set(let_off) - set(over))
    assert not faults, f"over the budget of {kind}:\n  " + "\n  ".join(faults)
    assert not stale, f"no longer over the budget of {kind}: remove from tests/house/exceptions.toml: {stale}"
