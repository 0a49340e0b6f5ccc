"""Is an SQL statement put together from text and values before it is executed?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from quorate.tools.builtin.code.scope import walk_scope

EXECUTORS = frozenset(
    {"execute", "executemany", "executescript", "execute_sql", "raw", "fetch", "fetchrow", "fetchval"}
)
_WRAPPERS = frozenset({"text", "SQL"})
_SQL = re.compile(
    r"(?is)^\s*(?:select\s|insert\s+into|update\s.{0,500}\sset|delete\s+from|drop\s+\w|"
    r"create\s+\w|alter\s+\w|truncate\s|replace\s+into|merge\s+into|with\s+\w+\s+as|grant\s|call\s|exec\s)"
)


def find_built_sql(scope: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls in one scope that execute a statement built from text and values."""
    nodes = list(walk_scope(scope))
    built = _built_names(nodes)
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr not in EXECUTORS or not node.args:
            continue
        statement = _unwrap(node.args[0])
        if is_built_sql(statement) or (isinstance(statement, ast.Name) and statement.id in built):
            yield node


def is_built_sql(node: ast.expr) -> bool:
    """Tell whether an expression is an SQL statement with values put into its text."""
    texts, has_values = _parts(node)
    return has_values and _SQL.match("".join(texts)) is not None


def _built_names(nodes: list[ast.AST]) -> set[str]:
    built: set[str] = set()
    statements: set[str] = set()
    for node in nodes:
        target, value = _assignment(node)
        if not target or value is None:
            continue
        texts, has_values = _parts(value)
        if isinstance(node, ast.AugAssign):
            # `query += …` adds to what the name holds already.
            if target in statements and has_values:
                built.add(target)
        elif _SQL.match("".join(texts)):
            statements.add(target)
            if has_values:
                built.add(target)
        elif (
            isinstance(value, ast.BinOp)
            and has_values
            and any(isinstance(part, ast.Name) and part.id in statements for part in ast.walk(value))
        ):
            built.add(target)
    return built


def _assignment(node: ast.AST) -> tuple[str, ast.expr | None]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign | ast.AugAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None


def _unwrap(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Call) and node.args:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _WRAPPERS:
            return node.args[0]
    return node


def _parts(node: ast.expr) -> tuple[list[str], bool]:
    """Return the constant texts of an expression in order, and whether values are put among them."""
    texts: list[str] = []
    has_values = False
    todo = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, ast.Constant):
            texts.append(part.value if isinstance(part.value, str) else "")
        elif isinstance(part, ast.JoinedStr):
            todo.extend(reversed(part.values))
        elif isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add):
            todo.extend((part.right, part.left))
        elif isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mod):
            has_values = True
            todo.append(part.left)
        elif _is_format(part):
            has_values = True
            todo.append(part.func.value)  # type: ignore[attr-defined]  # `_is_format` has looked
        elif not _is_fixed(part):
            has_values = True
    return texts, has_values


def _is_fixed(node: ast.expr) -> bool:
    # A name in capitals is the module's own constant, such as a table's name.
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    return isinstance(inner, ast.Name) and inner.id.isupper()


def _is_format(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"format", "join"}
