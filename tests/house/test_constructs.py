"""Is anything written that the house forbids?"""

import ast
import re
from collections.abc import Iterator
from math import ceil

from tests.house.source import Source, all_lines, check_budget, dotted, functions, imports, sources

FORBIDDEN_MODULES = {
    "pickle": "state is data: use a codec",
    "marshal": "state is data: use a codec",
    "shelve": "state is data: use a codec",
    "dill": "state is data: use a codec",
    "cloudpickle": "state is data: use a codec",
    "requests": "one HTTP client: aiohttp",
    "httpx": "one HTTP client: aiohttp",
    "urllib3": "one HTTP client: aiohttp",
    "http.client": "one HTTP client: aiohttp",
    "urllib.request": "one HTTP client: aiohttp",
    "pyreqwest": "one HTTP client: aiohttp",
}
FORBIDDEN_CALLS = {
    "eval": "never run text as code",
    "exec": "never run text as code",
    "__import__": "name the import",
    "os.system": "use an argv list",
    "os.popen": "use an argv list",
    "asyncio.create_subprocess_shell": "use an argv list",
    "yaml.load": "use `yaml.safe_load`",
    "yaml.unsafe_load": "use `yaml.safe_load`",
    "asyncio.create_task": "every task has a parent: use a task group",
    "create_task": "every task has a parent: use a task group",
    "loop.create_task": "every task has a parent: use a task group",
    "asyncio.ensure_future": "every task has a parent: use a task group",
    "ensure_future": "every task has a parent: use a task group",
    "asyncio.gather": "use a task group",
    "gather": "use a task group",
}
QUEUES = {"Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"}
# Who may open connections; the doors and the shipped test servers only accept them.
NETWORK = {
    "aiohttp": ("models/http.py", "security/http.py", "tools/builtin/", "testing/", "server/"),
    "socket": (
        "models/http.py",
        "security/",
        "tools/builtin/",
        "testing/",
        "server/",
        "bus/",
        "worker",
        "cli/",
    ),
    "ssl": ("models/http.py", "security/", "tools/builtin/", "testing/", "server/", "bus/"),
}


def nodes(source: Source, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in source.nodes if isinstance(node, kinds))


def find_calls(source: Source) -> Iterator[tuple[int, str, ast.Call]]:
    for node in nodes(source, ast.Call):
        assert isinstance(node, ast.Call)
        name = dotted(node.func)
        if not name and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):
            inner = dotted(node.func.value.func).rpartition(".")[2]
            name = f"loop.{node.func.attr}" if inner in {"get_running_loop", "get_event_loop"} else ""
        yield node.lineno, name, node


def is_unbounded_queue(name: str, call: ast.Call) -> bool:
    module, _, kind = name.rpartition(".")
    if kind not in QUEUES or module not in {"", "asyncio", "queue", "multiprocessing"}:
        return False
    given = [*call.args, *(k.value for k in call.keywords if k.arg == "maxsize")]
    return not given or (isinstance(given[0], ast.Constant) and given[0].value == 0)


def at(source: Source, line: int, text: str) -> str:
    return f"src/quorate/{source.name}:{line}: {text}"


def test_no_forbidden_imports() -> None:
    """Nothing is unpickled, and there is one HTTP client."""
    faults = [
        at(source, line, f"`{name}`: {why}")
        for source in sources()
        for line, name in imports(source)
        for banned, why in FORBIDDEN_MODULES.items()
        if name == banned or name.startswith(f"{banned}.")
    ]
    assert not faults, "\n".join(faults)


def test_no_forbidden_calls() -> None:
    """No text becomes code, no shell, no task without a parent, no queue without a bound."""
    over: dict[str, str] = {}
    for source in sources():
        for line, name, call in find_calls(source):
            why = FORBIDDEN_CALLS.get(name, "")
            if is_unbounded_queue(name, call):
                why = "a queue without a bound: pass `maxsize`"
            if any(k.arg == "shell" and not _is_false(k.value) for k in call.keywords):
                why = "use an argv list, not a shell"
            if why:
                over[f"{source.name}:{name}"] = at(source, line, f"`{name}`: {why}")
    check_budget("calls", over)


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_async_code_never_sleeps_a_thread() -> None:
    """`time.sleep` inside an `async def` stops every run of the process."""
    faults = [
        at(source, node.lineno, f"`{dotted(node.func)}` in `{name}`")
        for source in sources()
        for name, function in functions(source)
        if isinstance(function, ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and dotted(node.func) == "time.sleep"
    ]
    assert not faults, "\n".join(faults)


def test_nothing_is_a_placeholder() -> None:
    """No part reports success when it did nothing: no `NotImplementedError`, no notes to do it later."""
    faults: list[str] = []
    for source in sources():
        for node in nodes(source, ast.Raise):
            raised = node.exc if isinstance(node, ast.Raise) else None
            name = dotted(raised.func if isinstance(raised, ast.Call) else raised) if raised else ""
            if raised and name == "NotImplementedError":
                faults.append(at(source, raised.lineno, f"`{name}`"))
        for line, comment in source.comments.items():
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", comment):
                faults.append(at(source, line, comment))
    assert not faults, "\n".join(faults)


def test_no_module_level_state() -> None:
    """A `global` statement is module-level state."""
    faults = [
        at(source, node.lineno, "`global`")
        for source in sources()
        for node in nodes(source, ast.Global)
        if isinstance(node, ast.Global)
    ]
    assert not faults, "\n".join(faults)


def test_only_the_guarded_places_reach_the_network() -> None:
    """Everything that leaves goes through a client whose targets are checked."""
    faults = [
        at(source, line, f"`{name}` belongs in {', '.join(places)}")
        for source in sources()
        for line, name in imports(source)
        for module, places in NETWORK.items()
        if name.split(".")[0] == module and not source.name.startswith(places)
    ]
    assert not faults, "\n".join(faults)


def find_broad(source: Source) -> Iterator[ast.ExceptHandler]:
    """Handlers that catch everything; one that always raises again swallows nothing and is let through."""
    for node in nodes(source, ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {dotted(c) if c else "BaseException" for c in caught}
        raises = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        if "Exception" in names or ("BaseException" in names and not raises):
            yield node


def test_broad_excepts_are_rare_and_explained() -> None:
    """At most one `except Exception` in 1,000 lines, each with its reason in a comment beside it."""
    found: list[str] = []
    silent: list[str] = []
    for source in sources():
        comments = source.comments
        for node in find_broad(source):
            found.append(at(source, node.lineno, "`except Exception`"))
            beside = range(node.lineno - 1, node.body[0].lineno + 1)
            if not any(len(comments.get(line, "").strip("# ")) > 10 for line in beside):
                silent.append(at(source, node.lineno, "no reason beside `except Exception`"))
    assert not silent, "\n".join(silent)
    allowed = max(1, ceil(all_lines() / 1000))
    assert len(found) <= allowed, f"{len(found)} of at most {allowed}:\n" + "\n".join(found)


def test_any_is_rare() -> None:
    """At most two `Any` in 1,000 lines outside the codec."""
    kept = [s for s in sources() if not s.name.startswith("codec/")]
    found = [
        at(s, node.lineno, "`Any`")
        for s in kept
        for node in nodes(s, ast.Name, ast.Attribute)
        if isinstance(node, ast.Name | ast.Attribute) and dotted(node) in {"Any", "typing.Any", "t.Any"}
    ]
    allowed = max(4, ceil(sum(s.lines for s in kept) / 500))
    assert len(found) <= allowed, f"{len(found)} of at most {allowed}:\n" + "\n".join(found)


def test_every_ignore_names_its_rule() -> None:
    """An ignore without a code hides the next fault too."""
    bare = re.compile(r"(type:\s*ignore(?!\[)|pyright:\s*ignore(?!\[)|noqa(?!:\s*[A-Z]+\d))")
    faults = [at(s, line, c) for s in sources() for line, c in s.comments.items() if bare.search(c)]
    assert not faults, "\n".join(faults)
