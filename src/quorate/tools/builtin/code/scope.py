"""What belongs to one function, and how tangled is it?"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While),
    *(ast.ExceptHandler, ast.match_case, ast.Assert),
)


def walk_scope(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield what a function, class or module does itself, in the order of the text, without functions inside it."""
    todo = deque(ast.iter_child_nodes(scope))
    while todo:
        node = todo.popleft()
        yield node
        if not isinstance(node, _INNER):
            todo.extendleft(reversed(list(ast.iter_child_nodes(node))))


def list_scopes(tree: ast.Module) -> list[ast.AST]:
    """List the module, its classes and its functions at any depth."""
    return [tree, *(node for node in ast.walk(tree) if isinstance(node, _INNER))]


def measure_complexity(function: Function) -> int:
    """Return the cyclomatic complexity: one, and one more for each place where the way forks."""
    forks = 0
    for node in walk_scope(function):
        if isinstance(node, _BRANCHES):
            forks += 1
        elif isinstance(node, ast.BoolOp):
            forks += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            forks += 1 + len(node.ifs)
    return forks + 1


def count_lines(function: Function) -> int:
    """Return the lines from `def` to the end."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def list_parameters(function: Function) -> set[str]:
    """List the names of a function's parameters."""
    every = function.args
    return {one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs)} - {"self", "cls"}
