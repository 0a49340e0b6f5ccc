"""What does it cost to import Quorate?"""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.house.source import ROOT, SRC

MODULES_MOST = 200
EXTRAS = (
    "aiohttp", "typer", "rich", "click", "psutil", "dns", "cryptography", "cel", "pydantic", "sqlite3",
    "nats", "asyncpg", "psycopg", "opentelemetry", "mcp", "botocore", "redis", "obstore", "sklearn", "numpy",
    "duckdb", "jsonschema_rs", "yaml",
)  # fmt: skip

# Runs in a bare interpreter (`-I -S -B`): it sees what the import does, not what the environment adds.
PROBE = """
import sys
sys.path[:0] = {paths!r}
import json, os, _thread
stdlib = os.path.dirname(os.__file__)
before = set(sys.modules)
seen = {{"io": [], "threads": [], "environment": []}}
watched_events = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "sqlite3.")
code = (".py", ".pyc", ".so", ".pyi", ".zip")

def outside(skip):
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith("<frozen") and not name.endswith(skip):
            return name
        frame = frame.f_back
    return "?"

def audit(event, args):
    if event == "open":
        if not str(args[0]).endswith(code) and not os.path.isdir(str(args[0])):
            seen["io"].append(str(args[0]))
    elif event.startswith(watched_events):
        if event != "socket.gethostname":
            seen["io"].append(event)

def watch(name):
    method = getattr(os._Environ, name)
    def watched(self, *args):
        caller = outside(("os.py", "_collections_abc.py"))
        if not caller.startswith(stdlib) or "site-packages" in caller:
            seen["environment"].append(caller)
        return method(self, *args)
    setattr(os._Environ, name, watched)

def count(name):
    start = getattr(_thread, name)
    def counted(*args, **kwargs):
        seen["threads"].append(name)
        return start(*args, **kwargs)
    setattr(_thread, name, counted)

for name in ("__getitem__", "__iter__", "__len__"):
    watch(name)
for name in ("start_new_thread", "start_joinable_thread"):
    if hasattr(_thread, name):
        count(name)
sys.addaudithook(audit)
{statement}
print(json.dumps({{"modules": sorted(sys.modules), "new": sorted(set(sys.modules) - before), **seen}}))
"""


def measure(statement: str) -> dict[str, list[str]]:
    """Run one import statement in a bare interpreter and report what it did."""
    paths = [str(SRC.parent), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "COVERAGE_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", PROBE.format(paths=paths, statement=statement)],
        capture_output=True,
        text=True,
        env=clean,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(cost: dict[str, list[str]]) -> None:
    extras = sorted({m.split(".")[0] for m in cost["new"]} & set(EXTRAS))
    assert not extras, f"loads what is optional or late: {extras}"
    assert not cost["io"], f"touches files or sockets: {cost['io']}"
    assert not cost["threads"], "starts a thread"
    assert not cost["environment"], f"reads the environment: {sorted(set(cost['environment']))}"
    assert len(cost["modules"]) <= MODULES_MOST, f"{len(cost['modules'])} modules, at most {MODULES_MOST}"


def test_importing_the_package_is_cheap_and_does_nothing() -> None:
    """`import quorate`: few modules, nothing optional, no I/O, no threads, no reads of the environment."""
    check(measure("import quorate"))


def test_importing_the_agent_is_cheap_and_does_nothing() -> None:
    """`from quorate import Agent, tool`, which is what a ten-line agent does first, keeps the same budget."""
    check(measure("from quorate import Agent, tool"))


@pytest.mark.parametrize(
    ("statement", "field"),
    [
        (
            "open('/etc/passwd').close()",
            "io",
        ),
        ("import threading; t = threading.Thread(target=int); t.start(); t.join()", "threads"),
        ("import os; os.environ.get('HOME')", "environment"),
    ],
)
def test_the_probe_sees_what_it_forbids(statement: str, field: str) -> None:
    """The measure is measured."""
    assert measure(statement)[field]


def test_the_probe_does_not_depend_on_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same import from elsewhere finds the same package."""
    monkeypatch.chdir(tmp_path)
    assert "quorate" in measure("import quorate")["new"]
