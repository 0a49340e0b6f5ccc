"""What was found, how bad is it, and which measurement says so?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct, structs

Severity = Literal["critical", "high", "medium", "low", "info"]
RANKS: Mapping[str, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3, "info": 4}
"""Severities by weight, the worst first."""


class Evidence(Struct, frozen=True, kw_only=True):
    """A measurement that a finding rests on."""

    tool: str
    call_id: str
    """The call that measured it, by which it is found in the log; `outer/inner` where an agent made it for another."""
    fact: str
    """What was measured, in short, such as `connect 127.0.0.1:9 refused after 0.2 ms`."""
    value: str | int | float | bool | None = None
    """The measured value alone, where there is one."""


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is wrong, or worth knowing."""

    title: str
    severity: Severity
    detail: str = ""
    evidence: tuple[Evidence, ...] = ()
    confidence: float = 1.0
    """How sure it is, 0 to 1."""
    source: str = ""
    """The agent that found it; empty for the one that answers."""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """What an operations agent answers: findings with their evidence, and what could not be measured."""

    applies: bool
    """Whether the request was one for this agent; if not, nothing was measured, and `summary` says what it needs."""
    summary: str
    findings: tuple[Finding, ...] = ()
    """The worst first."""
    checked: tuple[str, ...] = ()
    """What was measured and is fine."""
    unavailable: tuple[str, ...] = ()
    """What could not be measured, and why."""
    next_steps: tuple[str, ...] = ()


def rank_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put the worst first, and join those that say the same: their evidence and sources are kept together."""
    joined: dict[str, Finding] = {}
    for finding in findings:
        key = " ".join(finding.title.casefold().split())
        known = joined.get(key)
        joined[key] = finding if known is None else _join(known, finding)
    return tuple(sorted(joined.values(), key=lambda finding: RANKS[finding.severity]))


def _join(first: Finding, second: Finding) -> Finding:
    better = first if RANKS[first.severity] <= RANKS[second.severity] else second
    sources = dict.fromkeys(name for name in (*first.source.split(", "), *second.source.split(", ")) if name)
    return structs.replace(
        better,
        evidence=tuple(dict.fromkeys((*first.evidence, *second.evidence))),
        source=", ".join(sources),
        confidence=max(first.confidence, second.confidence),
    )


def adopt_findings(inner: Diagnosis, *, agent: str, call_id: str) -> tuple[Finding, ...]:
    """Take over what another agent found: its name is put to each finding, and the call to it before each call id."""
    return tuple(
        structs.replace(
            finding,
            source=finding.source or agent,
            evidence=tuple(structs.replace(fact, call_id=f"{call_id}/{fact.call_id}") for fact in finding.evidence),
        )
        for finding in inner.findings
    )


def render_markdown(diagnosis: Diagnosis) -> str:
    """Write a diagnosis for people."""
    lines = [diagnosis.summary]
    for finding in diagnosis.findings:
        source = f" ({finding.source})" if finding.source else ""
        lines += ["", f"## {finding.severity}: {finding.title}{source}"]
        if finding.detail:
            lines += ["", finding.detail]
        if finding.evidence:
            lines += ["", *(f"- {fact.fact} (`{fact.tool}`, `{fact.call_id}`)" for fact in finding.evidence)]
    for heading, items in (
        ("Checked and fine", diagnosis.checked),
        ("Could not be measured", diagnosis.unavailable),
        ("Next steps", diagnosis.next_steps),
    ):
        if items:
            lines += ["", f"## {heading}", "", *(f"- {item}" for item in items)]
    return "\n".join(lines)
