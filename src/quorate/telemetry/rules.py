"""Which rules does Prometheus need to know that a promise is being broken, and whom does it tell?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from msgspec import Struct

from quorate.telemetry.names import Names
from quorate.telemetry.objectives import Burn, Objective, Objectives
from quorate.telemetry.prometheus_words import name_sample, spell

GENERATED = "# Written by `quorate slo --rules` from the objectives: change those, not this.\n"


class Recording(Struct, frozen=True, kw_only=True):
    """A series that Prometheus works out beforehand."""

    record: str
    expression: str
    labels: dict[str, str] = {}


class Alert(Struct, frozen=True, kw_only=True):
    """Something that somebody is told."""

    name: str
    expression: str
    for_: str
    labels: dict[str, str]
    annotations: dict[str, str]


def build_recordings(objectives: Objectives, names: Names) -> list[Recording]:
    """Build what is worked out beforehand: for each objective how much goes wrong, and what is left of its budget."""
    metric, by = name_sample(names.metric["objective"]), spell(names.attribute["objective"])
    bad = f'{spell(names.attribute["result"])}="bad"'
    days = f"{objectives.window_days}d"
    found: list[Recording] = []
    for window in list_windows(objectives):
        total = f"sum by ({by}) (rate({metric}[{window}]))"
        wrong = f"sum by ({by}) (rate({metric}{{{bad}}}[{window}]))"
        found.append(Recording(record=name_ratio(window), expression=f"{wrong} / ({total} > 0)"))
    for name, objective in objectives.objective.items():
        found.append(
            Recording(record="quorate:objective:target", expression=f"vector({objective.target:g})", labels={by: name})
        )
    left = f"1 - {name_ratio(days)} / on ({by}) (1 - quorate:objective:target)"
    found.append(Recording(record="quorate:objective:budget_left", expression=left))
    return found


def build_alerts(objectives: Objectives, names: Names) -> list[Alert]:
    """Build what somebody is told: that a budget is spent too fast, and whatever else the objectives name."""
    found = [
        _build_burn(objectives, name, objective, burn, by=spell(names.attribute["objective"]))
        for name, objective in objectives.objective.items()
        for burn in objectives.burn
    ]
    for name, rule in objectives.alert.items():
        found.append(
            Alert(
                name=name,
                expression=rule.expression,
                for_=rule.for_,
                labels={"severity": rule.severity},
                annotations={"summary": rule.title, "runbook_url": find_runbook(objectives, name)},
            )
        )
    return found


def _build_burn(objectives: Objectives, name: str, objective: Objective, burn: Burn, *, by: str) -> Alert:
    alert, limit = name_alert(name), f"({burn.rate:g} * {1 - objective.target:.10g})"
    sides = [f'{name_ratio(window)}{{{by}="{name}"}} > {limit}' for window in (burn.long, burn.short)]
    about = (
        f"Over {burn.long} and over {burn.short}, the budget of {name} went {burn.rate:g} times as fast as it would "
        f"just last for {objectives.window_days} days."
    )
    return Alert(
        name=alert,
        expression=" and ".join(sides),
        for_="0m",
        labels={"severity": burn.severity, "burn": f"{burn.rate:g}", by: name},
        annotations={
            "summary": f"A promise is being broken: {objective.title}",
            "description": about,
            "runbook_url": find_runbook(objectives, alert),
        },
    )


def list_windows(objectives: Objectives) -> list[str]:
    """List the windows over which something is worked out, the shortest first."""
    windows = {one for burn in objectives.burn for one in (burn.long, burn.short)}
    return sorted({*windows, f"{objectives.window_days}d"}, key=read_length)


def read_length(text: str) -> int:
    """Read a length of time as Prometheus writes it, in seconds."""
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[text[-1]]


def name_ratio(window: str) -> str:
    """Name the series that says which share of an objective went wrong over a window."""
    return f"quorate:objective:bad:ratio_rate{window}"


def name_alert(objective: str) -> str:
    """Name the alert of an objective."""
    return f"Quorate{''.join(word.title() for word in objective.split('_'))}Burn"


def find_runbook(objectives: Objectives, alert: str) -> str:
    """Find where it is written what to do."""
    return f"{objectives.runbooks.rstrip('/')}/{alert}.md"


def write_recordings(recordings: Sequence[Recording]) -> str:
    """Write recording rules as Prometheus reads them."""
    lines = [GENERATED + "groups:", "  - name: quorate-objectives", "    interval: 30s", "    rules:"]
    for one in recordings:
        lines += [f"      - record: {one.record}", f"        expr: {quote(one.expression)}"]
        lines += _write_table("labels", one.labels)
    return "\n".join(lines) + "\n"


def write_alerts(alerts: Sequence[Alert]) -> str:
    """Write alerts as Prometheus reads them."""
    lines = [GENERATED + "groups:", "  - name: quorate-alerts", "    rules:"]
    for one in alerts:
        lines += [f"      - alert: {one.name}", f"        expr: {quote(one.expression)}", f"        for: {one.for_}"]
        lines += _write_table("labels", one.labels)
        lines += _write_table("annotations", one.annotations)
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    """Write a text so that YAML reads it as it is: JSON is YAML, too."""
    return json.dumps(text, ensure_ascii=False)


def _write_table(name: str, table: dict[str, str]) -> Iterator[str]:
    if table:
        yield f"        {name}:"
        for key, value in table.items():
            yield f"          {key}: {quote(value)}"
