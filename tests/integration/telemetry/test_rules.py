"""Does Prometheus tell of what goes wrong, and of nothing else?"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.prometheus import check_rules, find_programs

from quorate.telemetry.names import load_names
from quorate.telemetry.objectives import load_objectives
from quorate.telemetry.rules import Alert, build_alerts

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "prometheus"
OBJECTIVES = load_objectives()
ALERTS = build_alerts(OBJECTIVES, load_names())
HISTORY = 4 * 24 * 60
"""Minutes in which all went well before."""
TRAFFIC = 100_000
"""Events in each minute."""

BURNS: dict[str, tuple[float, int, int, str]] = {
    "an hour at eighteen times": (18, 60, 0, "14.4"),
    "six hours at eight times": (8, 360, 0, "6"),
    "three days at twice": (2, 4320, 0, "1"),
    "five minutes at eighteen times": (18, 5, 0, ""),
    "an hour at eighteen times that is over": (18, 60, 10, ""),
    "three days of what is planned for": (0.9, 4320, 0, ""),
}
"""How fast a budget goes, for how many minutes, until how many minutes ago, and which burn is told of."""

Series = dict[str, str]
REQUESTS = "http_server_request_duration_seconds_count"
OTHERS: dict[str, tuple[Series, Series, str]] = {
    "QuorateDown": (
        {'up{job="quorate"}': "1x5 0x20"},
        {'up{job="quorate"}': "1x5 0x2 1x20"},
        "12m",
    ),
    "QuorateRequestsFail": (
        {
            f'{REQUESTS}{{http_response_status_code="500"}}': "0+2x40",
            f'{REQUESTS}{{http_response_status_code="200"}}': "0+98x40",
        },
        {
            f'{REQUESTS}{{http_response_status_code="503"}}': "0+5x40",
            f'{REQUESTS}{{http_response_status_code="404"}}': "0+500x40",
            f'{REQUESTS}{{http_response_status_code="200"}}': "0+995x40",
        },
        "30m",
    ),
    "QuorateWebhooksDead": (
        {'quorate_webhook_deliveries_total{quorate_outcome="dead"}': "0x10 1x50"},
        {
            'quorate_webhook_deliveries_total{quorate_outcome="failed"}': "0+5x60",
            'quorate_webhook_deliveries_total{quorate_outcome="dead"}': "7x60",
        },
        "30m",
    ),
    "QuorateEventsDropped": (
        {"quorate_event_dropped_total": "0x20 40x20"},
        {"quorate_event_dropped_total": "40x60"},
        "25m",
    ),
    "QuorateTelemetryDropped": (
        {"quorate_telemetry_dropped_total": "0x20 3x20"},
        {"quorate_telemetry_dropped_total": "3x60"},
        "25m",
    ),
}
"""For each other alert: what it tells of, what it does not, and when that is looked at."""


@pytest.fixture(scope="module")
def programs() -> Path:
    return find_programs()


def write_steps(*steps: tuple[float, int]) -> str:
    """A counter that grows by so much a minute for so many minutes, one after the other."""
    words, total = ["0"], 0
    for each, minutes in steps:
        if minutes:
            words.append(f"{total + round(each)}+{round(each)}x{minutes - 1}")
            total += round(each) * minutes
    return " ".join(words)


def build_burn(name: str, rate: float, minutes: int, ago: int) -> list[dict[str, str]]:
    bad = TRAFFIC * rate * (1 - OBJECTIVES.objective[name].target)
    before = HISTORY - minutes - ago
    labels = f'quorate_objective="{name}"'
    metric = "quorate_objective_events_total"
    return [
        {
            "series": f'{metric}{{{labels},quorate_result="bad"}}',
            "values": write_steps((0, before), (bad, minutes), (0, ago)),
        },
        {
            "series": f'{metric}{{{labels},quorate_result="good"}}',
            "values": write_steps((TRAFFIC, before), (TRAFFIC - bad, minutes), (TRAFFIC, ago)),
        },
    ]


def expect(alert: Alert, *, more: dict[str, str] | None = None) -> dict[str, object]:
    return {"exp_labels": alert.labels | (more or {}), "exp_annotations": alert.annotations}


def run_tests(programs: Path, folder: Path, tests: list[dict[str, Any]], *, every: str) -> None:
    page = {
        "rule_files": [str(FOLDER / "recordings.yml"), str(FOLDER / "alerts.yml")],
        "evaluation_interval": every,
        "group_eval_order": ["quorate-objectives", "quorate-alerts"],
        "tests": tests,
    }
    (folder / "tests.yml").write_text(json.dumps(page))  # JSON is YAML
    check_rules(programs, "test", "rules", str(folder / "tests.yml"))


def test_prometheus_reads_what_is_shipped(programs: Path) -> None:
    """part of row D14"""
    check_rules(programs, "check", "rules", str(FOLDER / "recordings.yml"), str(FOLDER / "alerts.yml"))
    check_rules(programs, "check", "config", "--syntax-only", str(FOLDER / "prometheus.yml"))


def test_a_budget_that_is_spent_too_fast_is_told(programs: Path, tmp_path: Path) -> None:
    """Of each objective, by the burn that it is and by no other; what is over or within the plan is not. part of row D14"""
    tests = []
    for (rate, minutes, ago, told), name in product(BURNS.values(), OBJECTIVES.objective):
        alerts = [one for one in ALERTS if one.labels.get("quorate_objective") == name]
        assert len(alerts) == len(OBJECTIVES.burn)
        tests.append(
            {
                "interval": "1m",
                "input_series": build_burn(name, rate, minutes, ago),
                "alert_rule_test": [
                    {
                        "eval_time": f"{HISTORY}m",
                        "alertname": alerts[0].name,
                        "exp_alerts": [expect(one) for one in alerts if one.labels["burn"] == told],
                    }
                ],
            }
        )
    run_tests(programs, tmp_path, tests, every="1d")


def test_every_other_alert_fires_and_does_not(programs: Path, tmp_path: Path) -> None:
    """part of row D14"""
    others = {alert.name: alert for alert in ALERTS if "burn" not in alert.labels}
    assert others.keys() == OTHERS.keys()
    tests = []
    for name, (wrong, right, when) in OTHERS.items():
        for series, is_wrong in ((wrong, True), (right, False)):
            more = {"job": "quorate"} if name == "QuorateDown" else {}
            tests.append(
                {
                    "interval": "1m",
                    "input_series": [{"series": one, "values": values} for one, values in series.items()],
                    "alert_rule_test": [
                        {
                            "eval_time": when,
                            "alertname": name,
                            "exp_alerts": [expect(others[name], more=more)] if is_wrong else [],
                        }
                    ],
                }
            )
    run_tests(programs, tmp_path, tests, every="1m")


def test_what_is_left_of_a_budget_is_worked_out(programs: Path, tmp_path: Path) -> None:
    """Half of what may go wrong went wrong: half is left. part of row D14"""
    by = '{quorate_objective="availability"}'
    run_tests(
        programs,
        tmp_path,
        [
            {
                "interval": "1m",
                "input_series": build_burn("availability", 0.5, HISTORY, 0),
                "promql_expr_test": [
                    {
                        "expr": "round(quorate:objective:budget_left, 0.01)",
                        "eval_time": f"{HISTORY}m",
                        "exp_samples": [{"labels": by, "value": 0.5}],
                    }
                ],
            }
        ],
        every="1h",
    )
