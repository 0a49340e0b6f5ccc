"""What does it cost to have a framework: to install it, to import it, to start its command?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from importlib.metadata import Distribution, PackageNotFoundError, distributions
from pathlib import Path

from packaging.requirements import Requirement

PROBE = """
import sys, time
began = time.perf_counter()
{statement}
spent = time.perf_counter() - began
rss = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(len(sys.modules), spent * 1e3, int(rss.split()[1]) / 1024)
"""
PATHS = "import json, sysconfig; print(json.dumps([sysconfig.get_path(name) for name in ('purelib', 'platlib')]))"
HERE = Path(__file__).resolve().parent


def read_side(name: str) -> tuple[str, str]:
    """Read a side's distribution and first import from its file, which this interpreter may not be able to import."""
    text = (HERE / "sides" / f"{name}.py").read_text(encoding="utf-8")
    found = dict(re.findall(r'^(PACKAGE|IMPORT) = "(.*)"$', text, re.MULTILINE))
    return found["PACKAGE"], found["IMPORT"]


def measure_import(python: str, statement: str, env: dict[str, str]) -> dict[str, float]:
    """Measure one import in a new interpreter."""
    out = run([python, "-c", PROBE.format(statement=statement)], env).split()
    return dict(zip(("modules", "import_ms", "rss_mib"), map(float, out[-3:]), strict=True))


def measure_install(python: str, package: str, env: dict[str, str]) -> dict[str, float]:
    """Measure what installing a distribution brings: how many distributions, and megabytes without compiled copies."""
    if not package:
        return {"distributions": 0, "installed_mb": 0}
    paths = list(dict.fromkeys(json.loads(run([python, "-c", PATHS], env))))
    there = {normalize(one.metadata["Name"]): one for one in distributions(path=paths)}
    if normalize(package) not in there:
        raise PackageNotFoundError(package)
    found: set[str] = set()
    waiting = [normalize(package)]
    while waiting:
        name = waiting.pop()
        if name not in there or name in found:
            continue
        found.add(name)
        for line in there[name].requires or ():
            required = Requirement(line)
            if required.marker is None or required.marker.evaluate({"extra": ""}):
                waiting.append(normalize(required.name))
                # An extra that a requirement asks for counts as required.
                waiting += find_extras(there.get(normalize(required.name)), required.extras)
    sizes = sum(measure_size(there[name]) for name in found)
    return {"distributions": len(found), "installed_mb": sizes / 1e6}


def find_extras(distribution: Distribution | None, extras: set[str]) -> list[str]:
    """Name what the extras of a distribution require."""
    lines = (distribution.requires if distribution else None) or ()
    wanted = [Requirement(line) for line in lines]
    return [
        normalize(one.name)
        for one in wanted
        if one.marker is not None and any(one.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def measure_size(distribution: Distribution) -> int:
    """Add up a distribution's files; where it is used from its sources, those."""
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    if any(file.name.endswith(".pth") for file in files):
        source = HERE.parent / "src"
        files += [file for file in source.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files if file.suffix != ".pyc" and file.is_file())


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def measure_help(env: dict[str, str]) -> dict[str, float]:
    """Measure `quorate --help` in starts of a bare interpreter, the quickest of three each, in turns."""
    command = Path(sys.executable).parent / "quorate"
    if not command.exists():
        raise FileNotFoundError("the command `quorate` is not installed")
    bare, help_ = [], []
    for _ in range(3):
        bare.append(measure_start([sys.executable, "-c", "pass"], env))
        help_.append(measure_start([str(command), "--help"], env))
    return {"help_ratio": min(help_) / min(bare)}


def measure_start(command: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    run(command, env)
    return time.perf_counter() - began


def run(command: list[str], env: dict[str, str]) -> str:
    """Run a command and return what it prints.

    Raises:
        RuntimeError: It failed; the message is its last line.
    """
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {said[-1]}")
    return done.stdout
