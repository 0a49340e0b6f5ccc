"""Are names those of the conventions in their newest release?"""

from __future__ import annotations

import importlib

import pytest

from quorate.telemetry.names import load_names

pytest.importorskip("opentelemetry.semconv")
NAMES = load_names()
UNRELEASED = {"gen_ai.invoke_agent.duration", "gen_ai.execute_tool.duration"}
"""What only the conventions' own repository has: there is no other name for it."""
OURS = ("quorate.", "operation.cost", "coordination.", "democratic.")


def list_published(kind: str, *parts: str) -> set[str]:
    found: set[str] = set()
    for part in parts:
        for package in ("opentelemetry.semconv", "opentelemetry.semconv._incubating"):
            try:
                module = importlib.import_module(f"{package}.{kind}.{part}")
            except ModuleNotFoundError:
                continue
            found |= {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    return found


def test_attributes_are_published_ones() -> None:
    """What has a published name bears it, and nothing bears one that was taken back. part of rows A8 and A9"""
    published = list_published(
        "attributes", "gen_ai_attributes", "http_attributes", "url_attributes", "error_attributes",
        "exception_attributes",
    )  # fmt: skip
    assert {name for name in NAMES.attribute.values() if not name.startswith(OURS)} <= published


def test_metrics_are_published_ones() -> None:
    """part of row A9"""
    published = list_published("metrics", "gen_ai_metrics", "http_metrics")
    wanted = {rule.name for rule in NAMES.metric.values() if not rule.name.startswith(OURS)}
    assert wanted - UNRELEASED <= published


def test_operations_are_published_ones() -> None:
    """part of row A8"""
    module = importlib.import_module("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    assert set(NAMES.operation.values()) <= {one.value for one in module.GenAiOperationNameValues}
