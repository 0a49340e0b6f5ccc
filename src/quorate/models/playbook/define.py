"""What is a playbook: the procedure of an experienced engineer, as data?

Everything in it that computes is CEL (see `quorate.conditions`) over these variables: `request` (the request in lower
case), `targets` (what was found in it), `results` (what steps measured), `errors` (what steps could not), and `item`
where a rule goes over a list. Texts are templates: `{name}` stands for a value of the rule's `values`, a field of
`item`, or a target.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from quorate.models.playbook.report import Severity

Kind = Literal[
    "url", "endpoint", "host", "ip", "port", "path", "route", "service", "duration", "number", "word", "text"
]


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to find in the request.

    `url` gives `{url, scheme, host, port, path, base, origin}`, `endpoint` (`host:port`) gives `{host, port}`,
    `duration` gives seconds, `number` a number, `route` the path of an HTTP request as logs write it, `word` those of
    `words` that are there, `text` the request itself; the others give text.
    """

    kind: Kind
    many: bool = False
    """All of them as a list, rather than the first, or null."""
    default: object = None
    """What it is when there is none."""
    words: tuple[str, ...] = ()
    """For `word` and `service`: those to look for. For `number`, `duration` and `port`: those that stand beside it."""
    suffixes: tuple[str, ...] = ()
    """For `path`: how it must end, such as `.log`."""
    source: str = ""
    """CEL that gives a text or a list of texts to look in, instead of the request; it may read results."""
    limit: int = 8
    """The most there can be."""


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measurement: one call of a tool, or one for each item of a list.

    Steps that need nothing of each other are made at once.
    """

    id: str
    tool: str
    about: str = ""
    """What it is made for, in a few words."""
    after: tuple[str, ...] = ()
    """Steps that must have ended before, beside those whose results it reads."""
    when: str = ""
    """CEL: whether to make it at all."""
    for_each: str = ""
    """CEL that gives a list: a call for each `item`; equal items once."""
    limit: int = 8
    """The most calls; what is left out is stated."""
    arguments: dict[str, object] = {}
    """Values as they are; texts are templates, or CEL where they begin with `=`. What gives null is left out."""
    merge: bool = False
    """Whether the tool is an agent whose diagnosis is taken over."""


class EvidenceRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which measurement to show beside a finding."""

    fact: str
    """Template; `{name}` may be a field of the measurement too."""
    each: str = ""
    """CEL that gives a measurement, or a list of them, as results hold them; `item` when empty."""
    value: str = ""
    """CEL that gives the measured value alone."""
    values: dict[str, str] = {}
    """CEL by name, for the template; `fact` is the measurement."""


class FindingRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What follows from the measurements."""

    title: str
    severity: Severity
    severity_from: str = ""
    """CEL that gives the severity, where the measurement itself names one."""
    when: str = ""
    """CEL: whether it is so."""
    each: str = ""
    """CEL that gives a list: a finding for each `item`."""
    inside: str = ""
    """A field of each item that is a list itself: then `item` goes over its members, each with `_owner`."""
    values: dict[str, str] = {}
    """CEL by name, for the templates."""
    detail: str = ""
    evidence: tuple[EvidenceRule, ...] = ()
    next_steps: tuple[str, ...] = ()
    confidence: float = 1.0
    limit: int = 8


class CheckRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured and is fine, or (in `gaps`) was asked for and could not be had."""

    text: str
    when: str = ""
    each: str = ""
    inside: str = ""
    values: dict[str, str] = {}
    limit: int = 8


class Playbook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole procedure."""

    needs: str
    """What a request must name for this to apply, in words: `it needs …`."""
    applies: str = ""
    """CEL over `request` and `targets`: whether this is a request for it; always when empty."""
    targets: dict[str, Target] = {}
    steps: tuple[Step, ...]
    findings: tuple[FindingRule, ...] = ()
    checks: tuple[CheckRule, ...] = ()
    gaps: tuple[CheckRule, ...] = ()
    healthy: str = "No fault was found."
    """The summary's first sentence when nothing is wrong."""
    next_steps: tuple[str, ...] = ()
    """What to do when nothing is wrong."""


def render_guidance(playbook: Playbook) -> str:
    """Write a playbook as advice to a model that decides for itself."""
    lines = ["## Procedure", "", f"A request for you names {playbook.needs}; ask for it when it does not.", ""]
    for number, step in enumerate(playbook.steps, 1):
        about = f": {step.about}" if step.about else ""
        after = f" (after {', '.join(step.after)})" if step.after else ""
        when = f" — only when `{step.when}`" if step.when else ""
        each = f" — for each of `{step.for_each}`" if step.for_each else ""
        lines.append(f"{number}. `{step.tool}`{about}{after}{when}{each}")
    if playbook.findings:
        lines += ["", "What to conclude, and how bad it is:", ""]
        lines += [f"- {rule.severity}: {rule.title}" for rule in playbook.findings]
    lines += ["", "Make calls that need nothing of each other at once. State only what a tool measured."]
    return "\n".join(lines)
