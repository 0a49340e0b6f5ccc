"""Which causes were planted, and which of them does a report name with evidence?"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from system import SLOW_S, System

from quorate.models.playbook.report import Diagnosis, Finding


@dataclass(frozen=True)
class Cause:
    """One planted fault, and how a finding that names it reads."""

    title: str
    patterns: tuple[str, ...]
    """All of them must be found in one finding's words or facts."""


def list_causes(system: System) -> tuple[Cause, ...]:
    """What is wrong with the system: three things."""
    return (
        Cause(f"{system.slow_url} is slow (it sleeps {SLOW_S:g} s)", (r"/report\b", r"slow|took|\b1[.,]?\d{1,3}\b")),
        Cause(f"the backend {system.backend} refuses connections", (rf"\b{system.backend_port}\b", r"refused")),
        Cause(f"errors with tracebacks in {system.log.name}", (re.escape(system.log.name), r"error")),
    )


def find_missing(causes: Iterable[Cause], report: Diagnosis) -> list[Cause]:
    """The causes that no finding with measured evidence names."""
    told = [read_words(finding) for finding in report.findings if finding.evidence]
    return [cause for cause in causes if not any(is_named(cause, words) for words in told)]


def is_named(cause: Cause, words: str) -> bool:
    """Whether a finding's words name a cause."""
    return all(re.search(pattern, words, re.IGNORECASE) for pattern in cause.patterns)


def read_words(finding: Finding) -> str:
    """Everything a finding says."""
    return "\n".join([finding.title, finding.detail, *(each.fact for each in finding.evidence)])
