"""Does every example in the documentation run?

The blocks marked `python` of one page run one after another as one program, offline, in an empty folder;
top-level `await` is allowed.
A block marked `python no-run` (it needs a key, a server or a person) must still be valid Python.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "reference" not in p.parts)]
FENCE = re.compile(r"^```python([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")

RUNNER = """
import ast, asyncio, inspect, sys
path = sys.argv[1]
code = compile(open(path).read(), path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
space = {"__name__": "__main__"}
done = eval(code, space)
if inspect.iscoroutine(done):
    asyncio.run(done)
"""


def find_blocks(page: Path) -> list[tuple[str, str]]:
    """The marks and the text of every Python block of a page."""
    return [(m.group(1).strip(), m.group(2)) for m in FENCE.finditer(page.read_text(encoding="utf-8"))]


def show(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [p for p in PAGES if find_blocks(p)], ids=show)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """What a reader pastes works, and goes on working."""
    blocks = find_blocks(page)
    for _, text in blocks:
        compile(text, show(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
    program = "\n".join(text for marks, text in blocks if "no-run" not in marks)
    (tmp_path / "example.py").write_text(program, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "OPENAI_API_KEY"} | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, "example.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{show(page)}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=show)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not broken, f"{show(page)}: {broken}"
