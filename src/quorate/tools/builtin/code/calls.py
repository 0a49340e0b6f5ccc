"""Which calls in Python code are dangerous in themselves?"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from quorate.tools.builtin.code.finding import Severity

Verdict = tuple[str, Severity, str]
"""The rule, its severity, and what to say."""

_LOADS = frozenset(
    [
        "pickle.load",
        "pickle.loads",
        "pickle.Unpickler",
        "cPickle.load",
        "cPickle.loads",
        "marshal.load",
        "marshal.loads",
        "shelve.open",
        "dill.load",
        "dill.loads",
        "cloudpickle.load",
        "cloudpickle.loads",
        "jsonpickle.decode",
        "joblib.load",
        "yaml.unsafe_load",
        "yaml.unsafe_load_all",
        "yaml.full_load",
    ]
)
_SHELLS = frozenset(
    ["os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput"]
)
_REQUESTS = frozenset(
    f"requests.{verb}" for verb in ("get", "post", "put", "patch", "delete", "head", "options", "request")
)
_WEAK = frozenset({"md5", "sha1"})
_SAFE_LOADERS = frozenset({"SafeLoader", "CSafeLoader", "BaseLoader"})


def name_imports(tree: ast.AST) -> dict[str, str]:
    """Map the names a module uses to what they were imported as: `sp` to `subprocess`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                names[item.asname or item.name.partition(".")[0]] = (
                    item.name if item.asname else item.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for item in node.names:
                names[item.asname or item.name] = f"{node.module}.{item.name}"
    return names


def name_call(node: ast.expr, imports: Mapping[str, str]) -> str:
    """Name what is called, such as `subprocess.run`; empty where it has no name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([imports.get(node.id, node.id), *reversed(parts)])


def judge_call(node: ast.Call, imports: Mapping[str, str]) -> list[Verdict]:
    """Say what is wrong with a call."""
    name = name_call(node.func, imports)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    return [verdict for rule in _RULES if (verdict := rule(name, node, keywords)) is not None]


def _eval(name: str, node: ast.Call, keywords: Mapping[str, ast.expr]) -> Verdict | None:
    bare = name.removeprefix("builtins.")
    if bare in {"eval", "exec"}:
        return bare, "high", f"`{bare}` runs whatever text it is given; parse or look up instead"
    if bare == "__import__" and node.args and not isinstance(node.args[0], ast.Constant):
        return "dynamic-import", "medium", "`__import__` by a computed name loads whatever it is given"
    return None


def _shell(name: str, node: ast.Call, keywords: Mapping[str, ast.expr]) -> Verdict | None:
    if _is_constant(keywords.get("shell"), value=True):
        return "shell-true", "high", "`shell=True` hands the text to a shell; give a list of arguments"
    if name in _SHELLS:
        return "shell-call", "high", f"`{name}` hands the text to a shell; use `subprocess.run` with a list"
    return None


def _load(name: str, node: ast.Call, keywords: Mapping[str, ast.expr]) -> Verdict | None:
    if name in _LOADS:
        return "unsafe-load", "high", f"`{name}` can run code from the data it reads; use JSON or a schema"
    if name in {"yaml.load", "yaml.load_all"}:
        loader = keywords.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
        given = loader.attr if isinstance(loader, ast.Attribute) else loader.id if isinstance(loader, ast.Name) else ""
        if given not in _SAFE_LOADERS:
            return "unsafe-load", "high", f"`{name}` without a safe loader can build any object; use `yaml.safe_load`"
    return None


def _network(name: str, node: ast.Call, keywords: Mapping[str, ast.expr]) -> Verdict | None:
    if _is_constant(keywords.get("verify"), value=False):
        return "tls-unverified", "high", "`verify=False` accepts any certificate"
    if name == "ssl._create_unverified_context":
        return "tls-unverified", "high", "this context accepts any certificate"
    has_timeout = "timeout" in keywords or any(keyword.arg is None for keyword in node.keywords)
    if has_timeout or (name == "urllib.request.urlopen" and len(node.args) > 2):
        return None
    if name in _REQUESTS or name == "urllib.request.urlopen":
        return "no-timeout", "medium", f"`{name}` without `timeout` may wait for ever"
    return None


def _hash(name: str, node: ast.Call, keywords: Mapping[str, ast.expr]) -> Verdict | None:
    if _is_constant(keywords.get("usedforsecurity"), value=False):
        return None
    chosen = name.removeprefix("hashlib.") if name.startswith("hashlib.") else ""
    if chosen == "new" and node.args and isinstance(node.args[0], ast.Constant):
        chosen = str(node.args[0].value).lower()
    if chosen in _WEAK:
        return "weak-hash", "medium", f"`{chosen}` is broken; use SHA-256, or say `usedforsecurity=False`"
    return None


def _other(name: str, node: ast.Call, keywords: Mapping[str, ast.expr]) -> Verdict | None:
    if _is_constant(keywords.get("debug"), value=True) and name.rpartition(".")[2] in {"run", "Flask", "FastAPI"}:
        return "debug-true", "medium", "`debug=True` shows internals, or a console, to whoever causes an error"
    if name == "tempfile.mktemp":
        return "temp-race", "medium", "`mktemp` gives a name that another may take first; use `mkstemp`"
    return None


_RULES: tuple[Callable[[str, ast.Call, Mapping[str, ast.expr]], Verdict | None], ...] = (
    _eval,
    _shell,
    _load,
    _network,
    _hash,
    _other,
)


def _is_constant(node: ast.expr | None, *, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
