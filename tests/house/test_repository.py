"""Does the repository hold only what belongs in it?"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.house.source import ROOT

REQUIRED_MOST = 3
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".yml",
    ".yaml",
    ".txt",
    ".sh",
    ".json",
    ".cfg",
    ".proto",
    ".sql",
    ".html",
    ".css",
    ".js",
    "",
}
SKIPPED = {
    ".git", ".venv", ".cache", ".hypothesis", ".pytest_cache", ".ruff_cache", "__pycache__", "node_modules",
    "htmlcov", "dist", "build", ".quorate",
}  # fmt: skip
# Written in two halves so that this file does not find itself.
MACHINE_PATHS = re.compile(r"(?<![\w.~*\]}>-])/(?:" + "|".join(("wo" + "rk", "fa" + "rm", "op" + "t")) + r")(?:/|\b)")
REGISTRIES = re.compile("|".join((r"py" + r"pi\.org", r"python" + r"hosted\.org", r"registry\." + r"npmjs")))


def files() -> Iterator[Path]:
    """Every text file that would be committed, the lock file left out."""
    for path in sorted(ROOT.rglob("*")):
        parts = set(path.relative_to(ROOT).parts)
        if parts & SKIPPED or path.name == "uv.lock" or path.suffix not in TEXT or not path.is_file():
            continue
        if path.name.startswith(".coverage"):
            continue
        yield path


def find_lines(pattern: re.Pattern[str]) -> list[str]:
    """Every line of the repository that a pattern finds."""
    found: list[str] = []
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


def test_no_paths_of_a_particular_machine() -> None:
    """What is written here is true on every machine."""
    assert not (found := find_lines(MACHINE_PATHS)), "\n".join(found)


def test_no_registry_hosts_outside_the_lock_file() -> None:
    """Where packages come from is configuration of the installer, not of this repository."""
    assert not (found := find_lines(REGISTRIES)), "\n".join(found)


def test_few_required_dependencies() -> None:
    """At most three; everything else is an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(project["dependencies"]) <= REQUIRED_MOST, project["dependencies"]


def test_all_is_every_extra() -> None:
    """`quorate[all]` installs each extra that exists, but for the one that brings sixty packages of its own."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {name for line in extras["all"] for name in re.findall(r"\[(.*)\]", line)[0].split(",")}
    assert named == set(extras) - {"all", "litellm"}


def test_the_makefile_lists_every_target() -> None:
    """The front door: each target has a line of help and a recipe of two lines at most."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split())
    targets = {"help", "setup", "demo", "demo-fleet", "test", "coverage", "check", "bench", "docs", "soak", "chaos"}
    assert listed == phony == targets
    recipes = re.findall(r"^[a-z-]+:.*\n((?:\t.*\n)*)", text, re.MULTILINE)
    assert all(recipe.count("\n") <= 2 for recipe in recipes)


def test_ci_pins_its_actions_by_commit() -> None:
    """A tag can be moved; a commit cannot."""
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", u) for u in used), used
