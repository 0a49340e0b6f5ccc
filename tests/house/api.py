"""What is the public face of the package, read from its source so that every Python version says the same?"""

import ast
from dataclasses import dataclass

from tests.house.source import SRC, Function, Source, dotted, sources

SNAPSHOT = "tests/house/public_api.txt"


@dataclass(frozen=True)
class Public:
    """A public name, the statement that defines it and the file it is in."""

    name: str
    node: ast.stmt
    source: Source


def load_names() -> list[str]:
    """`__all__` as the façade states it."""
    import quorate

    return list(getattr(quorate, "__all__", []))


def load_object(name: str) -> object | None:
    """What a public name stands for, or `None` when it cannot be imported, which has a test of its own."""
    import quorate

    try:
        return getattr(quorate, name)
    except (ImportError, AttributeError):
        return None


def find_definition(source: Source, name: str) -> ast.stmt | None:
    """The statement of a module that binds a name, imports not counted; of overloads, the implementation."""
    for node in reversed(source.tree.body):
        if isinstance(node, Function | ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.Assign) and any(dotted(t) == name for t in node.targets):
            return node
        if isinstance(node, ast.AnnAssign) and dotted(node.target) == name:
            return node
    return None


def find_public(name: str) -> Public | None:
    """Find where a public name is defined: first where the object says, then anywhere in the package."""
    home = getattr(load_object(name), "__module__", None)
    for source in sorted(sources(), key=lambda s: s.module != home):
        node = find_definition(source, name)
        if node is not None and source.module != "quorate":
            return Public(name, node, source)
    return None


def find_methods(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The public methods of a class, `__call__` and the like left to the language."""
    methods = [m for m in node.body if isinstance(m, Function)]
    return [m for m in methods if not m.name.startswith("_") and not is_overload(m)]


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether this only adds a signature to the definition that follows."""
    return any(dotted(d) in {"overload", "typing.overload"} for d in node.decorator_list)


def describe_function(node: ast.FunctionDef | ast.AsyncFunctionDef, prefix: str = "") -> str:
    """One line with the whole signature."""
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{kind} {prefix}{node.name}({ast.unparse(node.args)}){returns}"


def describe(public: Public) -> list[str]:
    """The lines of the snapshot for one name."""
    node = public.node
    if isinstance(node, Function):
        same = [n for n in public.source.tree.body if isinstance(n, Function) and n.name == node.name]
        return [describe_function(n) for n in same if is_overload(n)] or [describe_function(node)]
    if not isinstance(node, ast.ClassDef):
        return [ast.unparse(node)]
    bases = ", ".join([*(ast.unparse(b) for b in node.bases), *(ast.unparse(k) for k in node.keywords)])
    lines = [f"class {node.name}({bases})"]
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and not dotted(item.target).startswith("_"):
            lines.append(f"    {ast.unparse(item)}")
        elif isinstance(item, Function) and (item.name in {"__init__", "__call__"} or not item.name.startswith("_")):
            marks = [dotted(d) for d in item.decorator_list]
            shown = "".join(f"@{m} " for m in marks if m in {"property", "classmethod", "staticmethod"})
            lines.append(f"    {shown}{describe_function(item)}")
    return lines


def build_snapshot() -> str:
    """The whole public face as text."""
    blocks: list[str] = []
    for name in load_names():
        public = find_public(name)
        blocks.append("\n".join(describe(public)) if public else f"{name}: value")
    return "\n".join(blocks) + "\n"


def find_docstring(public: Public) -> str | None:
    """The docstring of a definition, or the text below a value."""
    if isinstance(public.node, Function | ast.ClassDef):
        return ast.get_docstring(public.node)
    body = public.source.tree.body
    after = body[body.index(public.node) + 1 : body.index(public.node) + 2]
    for node in after:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return node.value.value
    return None


if __name__ == "__main__":
    (SRC.parents[1] / SNAPSHOT).write_text(build_snapshot(), encoding="utf-8")
