"""Does every program in `examples/` run offline, from any folder, and print what its first lines say?"""

import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted((ROOT / "examples").glob("*.py"))


def read_promise(program: Path) -> str:
    """The block after `Prints:` in the docstring."""
    doc = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or ""
    _, found, block = doc.partition("Prints:\n")
    assert found, f"{program.name} does not say what it prints"
    return textwrap.dedent(block).strip()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_program_prints_what_it_promises(program: Path, tmp_path: Path) -> None:
    """Word for word, without a key, a server or settings, and it leaves nothing behind."""
    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == read_promise(program)
    assert done.stderr == ""
    assert [p.name for p in tmp_path.iterdir() if p.name not in {"home"} and not p.name.startswith(".coverage")] == []


def test_the_list_of_examples_is_whole() -> None:
    """Every program is in the list, and the list names no other."""
    page = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\((\w+\.py)\)", page))
    assert listed == {program.name for program in PROGRAMS}
