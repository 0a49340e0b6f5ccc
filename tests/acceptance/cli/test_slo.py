"""Does `quorate slo` say whether promises are kept?"""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.cli.conftest import Run

OWN = """
window_days = 7
runbooks = "https://wiki.internal/runbooks"
burn = [{ rate = 10, long = "1h", short = "5m", severity = "page" }]

[objective.swift]
title = "Runs end at once."
of = "duration"
target = 0.5
within_s = 0.000001
"""


def test_promises_are_shown_and_a_spent_budget_is_an_exit_code(quorate: Run, project: Path) -> None:
    """From the record, with percentiles by agent; and the rules of a file of one's own are written. part of row D14"""
    assert quorate("run", "watch the disk", "--quiet").code == 0
    shown = quorate("slo", "--window", "1h")
    assert (shown.code, shown.err) == (0, "")
    assert "availability  99.9 %" in shown.out
    assert "disk-watch  1" in shown.out
    found = quorate("slo", "--json")
    assert [one["agent"] for one in found.json["agents"]] == ["disk-watch"]
    assert [one["bad"] for one in found.json["budgets"] if one["objective"] == "availability"] == [0]
    (project / "own.toml").write_text(OWN)
    env = {"QUORATE_TELEMETRY__OBJECTIVES": "own.toml"}
    spent = quorate("slo", env=env)
    assert spent.code == 1
    assert "Nothing is left of the budget of swift." in spent.out
    written = quorate("slo", "--rules", "rules", env=env)
    assert written.code == 0
    alerts = (project / "rules" / "alerts.yml").read_text()
    assert 'runbook_url: "https://wiki.internal/runbooks/QuorateSwiftBurn.md"' in alerts
    assert "quorate:objective:bad:ratio_rate7d" in (project / "rules" / "recordings.yml").read_text()
    refused = quorate("slo", "--window", "soon")
    assert (refused.code, refused.out) == (2, "")
