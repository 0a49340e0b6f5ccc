"""Which causes were planted, and which of them does a report name with evidence?"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from system import SLOW_S, System

from quorate.models.playbook.report import Diagnosis, Finding

MILLISECONDS = re.compile(r"\b(\d+(?:\.\d+)?) ms\b")


@dataclass(frozen=True)
class Cause:
    """One planted fault, and how a finding that names it reads."""

    title: str
    patterns: tuple[str, ...]
    """All of them must be found in one finding's words or facts."""
    least_ms: float = 0.0
    """A time that its facts must have measured at least."""


def list_causes(system: System) -> tuple[Cause, ...]:
    """What is wrong with the system: three things."""
    least_ms = SLOW_S * 1000 * 0.9
    return (
        Cause(f"{system.slow_url} is slow (it sleeps {SLOW_S:g} s)", (r"/report\b", r"\bslow\b"), least_ms),
        Cause(f"the backend {system.backend} refuses connections", (rf"\b{system.backend_port}\b", r"\brefused\b")),
        Cause(f"errors with tracebacks in {system.log.name}", (re.escape(system.log.name), r"\b[1-9]\d* errors\b")),
    )


def find_missing(causes: Iterable[Cause], report: Diagnosis) -> list[Cause]:
    """The causes that no finding with measured evidence names."""
    return [cause for cause in causes if not any(is_named(cause, finding) for finding in report.findings)]


def is_named(cause: Cause, finding: Finding) -> bool:
    """Whether a finding names a cause and has measured it."""
    facts = "\n".join(evidence.fact for evidence in finding.evidence)
    words = "\n".join((finding.title, finding.detail, facts))
    longest_ms = max((float(found) for found in MILLISECONDS.findall(facts)), default=0.0)
    is_told = all(re.search(pattern, words, re.IGNORECASE) for pattern in cause.patterns)
    return bool(facts) and is_told and longest_ms >= cause.least_ms
