"""Are the rules for Prometheus those that the objectives ask for?"""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.telemetry.names import load_names
from quorate.telemetry.objectives import load_objectives
from quorate.telemetry.prometheus_words import name_sample
from quorate.telemetry.rules import build_alerts, build_recordings, read_length, write_alerts, write_recordings

ROOT = Path(__file__).resolve().parents[3]
NAMES = load_names()
OBJECTIVES = load_objectives()


def test_the_rules_that_are_shipped_are_those_of_the_objectives() -> None:
    """Write them anew with `quorate slo --rules deploy/prometheus`."""
    folder = ROOT / "deploy" / "prometheus"
    assert (folder / "recordings.yml").read_text() == write_recordings(build_recordings(OBJECTIVES, NAMES))
    assert (folder / "alerts.yml").read_text() == write_alerts(build_alerts(OBJECTIVES, NAMES))


def test_every_alert_has_a_runbook() -> None:
    """Each is named by its alert, says what to do, and is found from the alert. part of row D14"""
    for alert in build_alerts(OBJECTIVES, NAMES):
        page = ROOT / alert.annotations["runbook_url"]
        assert page.name == f"{alert.name}.md"
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {alert.name}\n")
        assert {"## What it means", "## What to look at", "## What to do"} <= set(text.splitlines())
    pages = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")} - {"index"}
    assert pages == {alert.name for alert in build_alerts(OBJECTIVES, NAMES)}


def test_burns_are_told_over_a_long_and_a_short_time() -> None:
    """As promised to operators: 14.4 times over 1 h and 5 min, 6 times over 6 h and 30 min, once over 3 d and 6 h."""
    burns = [(burn.rate, burn.long, burn.short, burn.severity) for burn in OBJECTIVES.burn]
    assert burns == [(14.4, "1h", "5m", "page"), (6, "6h", "30m", "page"), (1, "3d", "6h", "ticket")]
    targets = {name: one.target for name, one in OBJECTIVES.objective.items()}
    assert targets == {"availability": 0.999, "latency": 0.95, "activation": 0.995, "consensus": 0.95}
    within = {name: one.within_s for name, one in OBJECTIVES.objective.items()}
    assert within == {"availability": None, "latency": 2, "activation": 30, "consensus": 30}


def test_alerts_ask_for_metrics_that_there_are() -> None:
    """Each metric of ours in an expression is in `names.toml`."""
    known = {name_sample(rule) for rule in NAMES.metric.values()}
    for rule in OBJECTIVES.alert.values():
        used = [name for name in known if f"{name}{{" in rule.expression or f"{name}[" in rule.expression]
        used += [name for name in known if f"{name}_count" in rule.expression]
        assert used or rule.expression.startswith("up{"), rule.expression


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1h", 3600), ("30d", 2_592_000), ("15s", 15)])
def test_lengths_of_time_are_read(text: str, seconds: int) -> None:
    assert read_length(text) == seconds
