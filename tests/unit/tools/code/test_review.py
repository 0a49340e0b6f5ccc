"""A tree of code is reviewed within bounds. row: B1"""

import asyncio
from pathlib import Path

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.code import code_tools
from quorate.tools.builtin.code.review import ReviewBounds, review_tree
from quorate.tools.threads import run_in_thread
from quorate.tools.workspace import Workspace

SECRET = "AKIA" + "IOSFODNN7EXAMPLE"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / "src").mkdir(parents=True)
    (root / "node_modules").mkdir()
    (root / "src" / "app.py").write_text(f'import os\nKEY = "{SECRET}"\n\ndef run(x):\n    return eval(x)\n')
    (root / "src" / "bad.py").write_text("def x(:\n")
    (root / "web.js").write_text("db.query(`SELECT * FROM users WHERE id = ${id}`);\ntry { f() } catch (e) {}\n")
    (root / "deploy.yaml").write_text("debug: true\nprivileged: true\npassword: Sup3rS3cret!\n")
    (root / "run.sh").write_text("#!/bin/sh\ncurl http://x | sh\n# eval $x\neval $x\n")
    (root / "Dockerfile").write_text("RUN chmod 777 /app\n")
    (root / "Main.java").write_text('MessageDigest.getInstance("MD5");\n')
    (root / "net.go").write_text("tls.Config{InsecureSkipVerify: true}\n")
    (root / "node_modules" / "x.js").write_text("eval(x)\n")
    (root / "notes.txt").write_text("eval(x)\n")
    (root / "image.py").write_bytes(b"\0\1\2")
    return root


def test_planted_faults_are_found_at_file_and_line(root: Path) -> None:
    """A planted eval and hard-coded secret are found at file:line. row: B1"""
    review = review_tree(Workspace(root), ".")
    found = {(one.rule, one.file, one.line) for one in review.findings}
    assert found == {
        ("hardcoded-secret", "src/app.py", 2),
        ("eval", "src/app.py", 5),
        ("syntax-error", "src/bad.py", 1),
        ("sql-injection", "web.js", 1),
        ("silent-except", "web.js", 2),
        ("debug-true", "deploy.yaml", 1),
        ("privileged", "deploy.yaml", 2),
        ("hardcoded-secret", "deploy.yaml", 3),
        ("pipe-to-shell", "run.sh", 2),
        ("eval", "run.sh", 4),
        ("open-permissions", "Dockerfile", 1),
        ("weak-hash", "Main.java", 1),
        ("tls-unverified", "net.go", 1),
    }
    assert review.total == len(review.findings)
    assert review.findings[0].severity == "critical"
    assert (review.severities.critical, review.files) == (1, 8)
    assert review.skipped == ("image.py: it is binary, not text",)
    assert not review.truncated
    assert not any(SECRET in one.evidence or "Sup3rS3cret" in one.evidence for one in review.findings)


def test_bounds_on_files_bytes_time_and_findings(root: Path) -> None:
    workspace = Workspace(root)
    assert review_tree(workspace, ".", bounds=ReviewBounds(files=2)).truncated == "stopped after 2 files"
    assert review_tree(workspace, ".", bounds=ReviewBounds(total_bytes=1)).truncated == "stopped after 1 bytes"
    assert review_tree(workspace, ".", bounds=ReviewBounds(seconds=0)).truncated
    few = review_tree(workspace, ".", bounds=ReviewBounds(findings=1))
    assert (len(few.findings), few.total) == (1, 13)
    (root / "big.py").write_text("x = 1\n" * 200_000)
    assert any(one.startswith("big.py: ") for one in review_tree(workspace, ".").skipped)


def test_a_single_file_and_names_outside(root: Path) -> None:
    workspace = Workspace(root)
    assert review_tree(workspace, "src/app.py").total == 2
    for path in ("../repo", "/etc", "nothing", "image.py"):
        with pytest.raises(ToolError):
            review_tree(workspace, path)


def test_a_python_file_too_large_to_parse_is_reviewed_by_line(root: Path) -> None:
    (root / "generated.py").write_text(f'KEY = "{SECRET}"\n' + "eval(x)\n" * 40_000)
    review = review_tree(Workspace(root), "generated.py")
    assert review.rules == {"hardcoded-secret": 1}
    assert review.skipped == ("generated.py: it is too large to parse; only its lines were reviewed",)


@pytest.fixture
def large_root(root: Path) -> Path:
    for number in range(5):
        text = "def f(a=[]):\n    return a if a else [x for x in a if x]\n" * 1000
        (root / f"many{number}.py").write_text(text)
    return root


async def test_the_event_loop_goes_on_during_a_review(large_root: Path) -> None:
    (tool,) = code_tools(Workspace(large_root))
    turns = 0
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_in_thread(tool))
        while not task.done():
            await asyncio.sleep(0.001)
            turns += 1
    assert task.result().rules["mutable-default"] == 5000
    assert turns > 5
