"""Does the tool find what is odd in the files of a workspace, and say how?"""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from quorate.catalog.anomaly_tools import anomaly_tools
from quorate.catalog.load import load_catalog
from quorate.errors import ToolError
from quorate.tools.workspace import Workspace

pytestmark = pytest.mark.blocking


def build(folder: Path):
    (tool,) = anomaly_tools(Workspace(str(folder)))
    assert tool.name == "detect_anomalies"
    return tool.function


def test_a_metric_that_is_odd_for_its_hour_is_found(tmp_path: Path) -> None:
    """In a CSV with times; the place is told by both."""
    chance = random.Random(2)
    rows = [
        (f"2026-01-{1 + at // 24:02d}T{at % 24:02d}:00", 50 + 40 * math.sin(at * math.pi / 12) + chance.gauss(0, 2))
        for at in range(240)
    ]
    rows[126] = (rows[126][0], 12.0)
    (tmp_path / "cpu.csv").write_text(
        "time,load\n" + "\n".join(f"{when},{value:.2f}" for when, value in rows) + "\nlate,\n"
    )
    found = build(tmp_path)("cpu.csv")
    assert (found.column, found.method, found.period, found.values, found.skipped) == (
        "load",
        "seasonal+ewma",
        24,
        240,
        1,
    )
    assert found.anomalies[0].place == "2026-01-06T06:00 (row 127)"
    assert (found.anomalies[0].value, found.anomalies[0].method) == (12.0, "seasonal")


def test_a_burst_of_errors_in_a_log_is_found(tmp_path: Path) -> None:
    """By the minute, the quiet ones counted too."""
    lines = [
        f"2026-01-05 10:{minute:02d}:0{at} {'ERROR' if at == 0 and minute % 3 == 0 else 'INFO'} x"
        for minute in range(40)
        for at in range(3)
    ]
    lines += [f"2026-01-05 10:20:{10 + at} ERROR boom" for at in range(30)]
    (tmp_path / "app.log").write_text("\n".join([*lines, "no time here"]))
    found = build(tmp_path)("app.log", method="robust_z")
    assert (found.column, found.values, found.skipped) == ("errors", 40, 1)
    assert [(one.place[:16], one.value) for one in found.anomalies] == [("2026-01-05T10:20", 30.0)]
    assert build(tmp_path)("app.log", "lines", method="robust_z").anomalies[0].value == 33.0


def test_json_lines_and_named_columns_are_read(tmp_path: Path) -> None:
    """Numbers in text count, truths do not."""
    rows = [f'{{"ok": true, "host": "a", "ms": "{10 + at % 3}"}}' for at in range(30)] + ['{"ms": 900}', "not json"]
    (tmp_path / "m.jsonl").write_text("\n".join(rows))
    found = build(tmp_path)("m.jsonl", "ms")
    assert (found.found, found.anomalies[0].place, found.skipped) == (1, "row 31", 1)
    assert build(tmp_path)("m.jsonl").column == "ms"


@pytest.mark.parametrize(
    ("name", "text", "options", "said"),
    [
        ("a.csv", "x,y\na,b\n", {}, "its columns: `x`, `y`"),
        ("a.csv", "", {}, "is empty"),
        ("a.csv", "x\n1\n2\n", {}, "There are 2 values"),
        ("a.log", "hello\n", {}, "No line of 'a.log' has a time"),
        ("a.log", "hello\n", {"column": "cpu"}, "A log has no column 'cpu'"),
        ("a.log", "2026-01-05 10:00:00 INFO x\n2031-01-05 10:00:00 INFO x\n", {}, "spans"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, text: str, options: dict[str, str], said: str) -> None:
    """For the model to mend."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ToolError, match=said):
        build(tmp_path)(name, **options)


def test_nothing_outside_the_workspace_is_read(tmp_path: Path) -> None:
    """As with all file tools."""
    with pytest.raises(ToolError):
        build(tmp_path)("../secret.csv")


def test_two_agents_of_operations_have_the_tool() -> None:
    """Of those that are shipped."""
    holders = load_catalog().select(tools=["detect_anomalies"])
    assert len(holders) >= 2
