"""Does a Python project declare what it imports, parse, and have tests; and how tangled is its code?"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, CheckBounds, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.code.scope import Function, count_lines, measure_complexity
from quorate.tools.builtin.project.packages import (
    index_lines,
    list_requirements,
    normalize,
    parse_requirement,
    read_toml,
    table,
)
from quorate.tools.workspace import Workspace

BOUNDS = CheckBounds(files=3000, file_bytes=300_000, total_bytes=30_000_000, seconds=40.0)
_NAMES = {
    "yaml": "pyyaml", "pil": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil", "dotenv": "python-dotenv", "jwt": "pyjwt", "git": "gitpython", "attr": "attrs",
    "serial": "pyserial", "crypto": "pycryptodome", "google": "protobuf", "dns": "dnspython", "magic": "python-magic",
    "psycopg2": "psycopg2-binary", "mysqldb": "mysqlclient", "openssl": "pyopenssl", "pkg_resources": "setuptools",
    "skimage": "scikit-image", "usb": "pyusb", "zmq": "pyzmq", "rest_framework": "djangorestframework",
    "nats": "nats-py", "multipart": "python-multipart", "slugify": "python-slugify", "telegram": "python-telegram-bot",
    "jose": "python-jose", "docx": "python-docx", "pptx": "python-pptx", "fitz": "pymupdf", "wx": "wxpython",
}  # fmt: skip
"""What is imported under another name than it is installed by."""
MAX_NESTING = 5
MAX_PARAMETERS = 8
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def check_python_project(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Hold what a Python project declares against what its code imports.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("modules", "lines", "tests", "test_functions", "declared", "imported")
    imported: dict[str, tuple[Source, int, bool]] = {}
    own: set[str] = set()
    manifests: list[Source] = []

    def is_wanted(name: str) -> bool:
        last = name.rpartition("/")[2]
        return (
            name.endswith(".py")
            or last == "pyproject.toml"
            or re.fullmatch(r"requirements[\w.-]{0,40}\.txt", last) is not None
        )

    for source in read_sources(workspace, path, board, wanted=is_wanted, bounds=BOUNDS):
        if not source.file.endswith(".py"):
            manifests.append(source)
            continue
        board.count("modules")
        board.count("lines", len(source.lines))
        parts = source.file.removesuffix(".py").split("/")
        own.update(parts)
        is_test = parts[-1].startswith("test_") or parts[-1].endswith("_test") or "tests" in parts
        board.count("tests", int(is_test))
        tree = _parse(source, board)
        if tree is None:
            continue
        if is_test:
            board.count(
                "test_functions",
                sum(node.name.startswith("test") for node in ast.walk(tree) if isinstance(node, Function)),
            )
        for name, line in _list_imports(tree):
            imported.setdefault(name, (source, line, is_test))
    declared = _read_declared(manifests, board)
    board.count("declared", len(declared))
    _compare(board, imported, declared, own, manifests)
    return board.build(path, most=most)


def _parse(source: Source, board: Board) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source.text)
    except SyntaxError as error:
        board.find(source, error.lineno or 1, "syntax-error", "high", f"this is no Python: {error.msg}")
    except (ValueError, RecursionError, MemoryError):
        board.find(source, 1, "syntax-error", "high", "this cannot be parsed: it is nested too deep or holds a NUL")
    return None


def _list_imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield one.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


def _read_declared(manifests: list[Source], board: Board) -> dict[str, tuple[Source, int]]:
    declared: dict[str, tuple[Source, int]] = {}
    for source in manifests:
        if not source.file.endswith(".toml"):
            for number, line in enumerate(source.lines, 1):
                package = parse_requirement(line.partition("#")[0]) if line[:1].isalnum() else None
                if package is not None:
                    declared.setdefault(package.name, (source, number))
            continue
        try:
            document = read_toml(source)
        except ToolError as error:
            board.find(source, 1, "not-readable", "high", error.message)
            continue
        project = table(document, "project")
        board.item(str(project.get("name") or source.file))
        poetry, lines = table(document, "tool", "poetry", "dependencies"), index_lines(source)
        if project and not project.get("requires-python"):
            board.find(source, 1, "no-python-version", "medium", "`requires-python` does not say where it runs")
        if project and not table(document, "build-system"):
            board.find(
                source, 1, "no-build-system", "low", "without `[build-system]` the oldest way of building is taken"
            )
        names = [
            package.name for text in list_requirements(document) if (package := parse_requirement(text)) is not None
        ]
        for name in (*names, *(normalize(name) for name in poetry if name != "python")):
            declared.setdefault(name, (source, lines.get(name, 1)))
    return declared


def _compare(
    board: Board,
    imported: dict[str, tuple[Source, int, bool]],
    declared: dict[str, tuple[Source, int]],
    own: set[str],
    manifests: list[Source],
) -> None:
    used: set[str] = set()
    for name, (source, line, is_test) in sorted(imported.items()):
        if name in sys.stdlib_module_names or name in own or name == "__future__":
            continue
        board.count("imported")
        package = _find_package(name, declared)
        if package:
            used.add(package)
        elif manifests:
            message = f"`{name}` is imported and nothing declares it"
            board.find(source, line, "not-declared", "low" if is_test else "medium", message)
    tools = (
        "pytest",
        "ruff",
        "mypy",
        "pyright",
        "coverage",
        "types-",
        "black",
        "hatch",
        "setuptools",
        "wheel",
        "pre-commit",
    )
    for name, (source, line) in sorted(declared.items()):
        if name not in used and not name.startswith(tools) and name not in {normalize(one) for one in own}:
            message = f"`{name}` is declared and never imported; it may be a plugin, or not be needed"
            board.find(source, line, "not-imported", "low", message)
    if board.facts["modules"] and not board.facts["tests"]:
        board.note(".", 1, "no-tests", "medium", "there is no test")
    if board.facts["modules"] and not manifests:
        board.note(
            ".", 1, "no-manifest", "medium", "neither `pyproject.toml` nor `requirements.txt` says what it needs"
        )


def _find_package(name: str, declared: dict[str, tuple[Source, int]]) -> str:
    plain = normalize(name)
    for package in (
        plain,
        _NAMES.get(name.lower(), ""),
        f"python-{plain}",
        f"py{plain}",
        f"{plain}-python",
        f"{plain}-py",
    ):
        if package in declared:
            return package
    # A namespace such as `google` or `opentelemetry` is shared by many packages.
    return next((package for package in declared if package.startswith(f"{plain}-")), "")


def measure_python_code(workspace: Workspace, path: str, *, most: int, max_complexity: int) -> Checked:
    """Measure functions and classes: how tangled, long, deep and wide, and how much is documented and typed.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("files", "lines", "functions", "classes", "documented_percent", "typed_percent", "complexity_p95")
    complexities: list[int] = []
    documented = public = typed = 0
    for source in read_sources(workspace, path, board, wanted=lambda name: name.endswith(".py"), bounds=BOUNDS):
        board.count("files")
        board.count("lines", len(source.lines))
        tree = _parse(source, board)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.ClassDef):
                board.count("classes")
            elif isinstance(node, Function):
                board.count("functions")
                complexities.append(_measure(source, node, max_complexity, board))
                typed += _is_typed(node)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith(
                "_"
            ):
                public += 1
                documented += ast.get_docstring(node) is not None
    complexities.sort()
    board.items = len(complexities)
    board.facts["documented_percent"] = round(100 * documented / public) if public else 100
    board.facts["typed_percent"] = round(100 * typed / len(complexities)) if complexities else 100
    board.facts["complexity_p95"] = (
        complexities[min(len(complexities) - 1, len(complexities) * 95 // 100)] if complexities else 0
    )
    return board.build(path, most=most)


def _measure(source: Source, node: Function, max_complexity: int, board: Board) -> int:
    name, complexity = node.name, measure_complexity(node)
    if complexity > max_complexity:
        severity = "high" if complexity > 3 * max_complexity else "medium"
        board.find(source, node.lineno, "complexity", severity, f"`{name}` has a cyclomatic complexity of {complexity}")
    length = count_lines(node)
    if length > 80:
        board.find(source, node.lineno, "long-function", "low", f"`{name}` has {length} lines")
    every = node.args
    count = len(every.posonlyargs) + len(every.args) + len(every.kwonlyargs)
    if count > MAX_PARAMETERS + 1:
        board.find(source, node.lineno, "many-parameters", "low", f"`{name}` takes {count} parameters")
    depth = _measure_depth(node)
    if depth > MAX_NESTING:
        board.find(source, node.lineno, "deep-nesting", "medium", f"`{name}` nests {depth} blocks")
    if len(board.names) < 100 and complexity > max_complexity:
        board.names[f"{name}:{complexity}"] = None
    return complexity


def _measure_depth(function: Function) -> int:
    deepest, stack = 0, [(node, 0) for node in function.body]
    while stack:
        node, depth = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        depth += isinstance(node, _BLOCKS)
        deepest = max(deepest, depth)
        stack.extend((child, depth) for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))
    return deepest


def _is_typed(function: Function) -> bool:
    every = function.args
    given = [one for one in (*every.posonlyargs, *every.args, *every.kwonlyargs) if one.arg not in ("self", "cls")]
    return function.returns is not None and all(one.annotation is not None for one in given)
