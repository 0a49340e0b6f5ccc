"""What is wrong with a Python file, according to its syntax tree?"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from quorate.tools.builtin.code.calls import judge_call, name_imports
from quorate.tools.builtin.code.finding import Finding, Limits, Severity, Source
from quorate.tools.builtin.code.scope import (
    Function,
    count_lines,
    list_parameters,
    list_scopes,
    measure_complexity,
    walk_scope,
)
from quorate.tools.builtin.code.secrets import redact
from quorate.tools.builtin.code.sql import find_built_sql

_MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_BUILDERS = frozenset({"list", "dict", "set", "bytearray", "deque", "defaultdict"})
_BROAD = frozenset({"Exception", "BaseException"})


def review_python(source: Source, limits: Limits) -> Iterator[Finding]:
    """Review a Python file; what cannot be parsed is itself a finding."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text)
    except SyntaxError as error:
        yield _find(source, error.lineno or 1, "syntax-error", "high", f"this is no Python: {error.msg}")
        return
    except (ValueError, RecursionError, MemoryError) as error:
        yield _find(source, 1, "syntax-error", "high", f"this cannot be parsed: {error or 'it is nested too deep'}")
        return
    imports = name_imports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for rule, severity, message in judge_call(node, imports):
                yield _find(source, node.lineno, rule, severity, message)
        elif isinstance(node, ast.ExceptHandler):
            yield from _review_handler(source, node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from _review_assignment(source, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _review_function(source, node, limits)
    for scope in list_scopes(tree):
        for call in find_built_sql(scope):
            message = "an SQL statement is put together from text and values; pass the values as parameters"
            yield _find(source, call.lineno, "sql-injection", "high", message)


def _review_handler(source: Source, handler: ast.ExceptHandler) -> Iterator[Finding]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    is_bare = handler.type is None
    is_broad = is_bare or any(isinstance(kind, ast.Name) and kind.id in _BROAD for kind in kinds)
    is_silent = all(isinstance(node, ast.Pass | ast.Continue) or _is_ellipsis(node) for node in handler.body)
    if is_silent:
        severity: Severity = "high" if is_broad else "low"
        what = "every error" if is_broad else "this error"
        yield _find(source, handler.lineno, "silent-except", severity, f"{what} is dropped without a trace")
    elif is_broad and not any(isinstance(node, ast.Raise) for node in walk_scope(handler)):
        said = "`except:` catches everything, even the wish to stop" if is_bare else "every error is caught alike"
        yield _find(source, handler.lineno, "broad-except", "medium", f"{said}; name what you can handle")


def _review_assignment(source: Source, node: ast.Assign | ast.AnnAssign) -> Iterator[Finding]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    is_debug = any(isinstance(target, ast.Name) and target.id == "DEBUG" for target in targets)
    if is_debug and isinstance(node.value, ast.Constant) and node.value.value is True:
        yield _find(source, node.lineno, "debug-true", "medium", "`DEBUG` is on for everybody; read it from settings")


def _review_function(source: Source, function: Function, limits: Limits) -> Iterator[Finding]:
    name = function.name
    for default in (*function.args.defaults, *function.args.kw_defaults):
        if default is not None and _is_mutable(default):
            message = f"a default of `{name}` is shared by all its calls; use `None` and build it inside"
            yield _find(source, default.lineno, "mutable-default", "medium", message)
    complexity = measure_complexity(function)
    if complexity > limits.complexity:
        message = f"`{name}` has a cyclomatic complexity of {complexity}, more than {limits.complexity}"
        yield _find(source, function.lineno, "complexity", "medium", message)
    length = count_lines(function)
    if length > limits.function_lines:
        message = f"`{name}` has {length} lines, more than {limits.function_lines}"
        yield _find(source, function.lineno, "long-function", "low", message)
    if not source.is_test:
        yield from _review_asserts(source, function)


def _review_asserts(source: Source, function: Function) -> Iterator[Finding]:
    parameters = list_parameters(function)
    for node in function.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        # Further down, an assertion states what the code itself has brought about.
        if not isinstance(node, ast.Assert):
            return
        if _names(node.test) & parameters:
            message = "`assert` checks an argument, and vanishes under `python -O`; raise an error"
            yield _find(source, node.lineno, "assert-validation", "low", message)


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _is_mutable(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        return name in _BUILDERS
    return isinstance(node, _MUTABLE)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _find(source: Source, line: int, rule: str, severity: Severity, message: str) -> Finding:
    text = source.lines[line - 1] if 0 < line <= len(source.lines) else ""
    return Finding(rule=rule, severity=severity, file=source.file, line=line, message=message, evidence=redact(text))
