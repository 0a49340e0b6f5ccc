"""What are metrics and labels called in Prometheus?"""

from __future__ import annotations

from quorate.telemetry.names import MetricRule

_UNITS = {"s": "_seconds", "By": "_bytes"}
"""How units are spelled in names (OpenTelemetry's mapping to Prometheus); those in braces are left out."""


def spell(name: str) -> str:
    """Spell a published name as Prometheus does."""
    return name.replace(".", "_")


def name_family(rule: MetricRule) -> str:
    """Name a metric with its unit."""
    return f"{spell(rule.name)}{_UNITS.get(rule.unit, '')}"


def name_sample(rule: MetricRule) -> str:
    """Name the series of a counter or gauge, or how those of a histogram begin."""
    return f"{name_family(rule)}{'_total' if rule.kind == 'counter' else ''}"
