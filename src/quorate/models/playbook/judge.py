"""What follows from what was measured?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec

from quorate.errors import QuorateError
from quorate.models.playbook.define import CheckRule, EvidenceRule, FindingRule, Playbook
from quorate.models.playbook.plan import State, Values
from quorate.models.playbook.report import RANKS, Diagnosis, Evidence, Finding, Severity, adopt_findings, rank_findings
from quorate.models.playbook.scope import Expressions, find_needs, prune
from quorate.models.playbook.words import fill_template

MAX_LINES = 60
"""The most entries of `checked`, `unavailable` and `next_steps`."""


def judge(playbook: Playbook, expressions: Expressions, state: State) -> Diagnosis:
    """Build the answer: findings, what is fine, what could not be measured, what to do next."""
    findings: list[Finding] = []
    next_steps: dict[str, list[str]] = {}
    for rule in playbook.findings:
        for item in _list_cases(rule, expressions, state):
            finding, steps = _build_finding(rule, expressions, state, item)
            findings.append(finding)
            next_steps.setdefault(finding.title, []).extend(steps)
    checked = [text for rule in playbook.checks for text in _fill_checks(rule, expressions, state)]
    gaps = [text for rule in playbook.gaps for text in _fill_checks(rule, expressions, state)]
    merged_steps: list[str] = []
    for inner, agent, call_id in _iterate_merged(playbook, state):
        findings += adopt_findings(inner, agent=agent, call_id=call_id)
        checked += inner.checked
        gaps += [f"{agent}: {gap}" for gap in inner.unavailable]
        merged_steps += inner.next_steps
        if not inner.applies:
            gaps.append(f"{agent}: {inner.summary}")
    ranked = rank_findings(findings)
    problems = [finding for finding in ranked if finding.severity != "info"]
    steps = [step for finding in ranked for step in next_steps.get(finding.title, [])] + merged_steps
    unavailable = tuple(dict.fromkeys([*state.gaps, *gaps]))[:MAX_LINES]
    return Diagnosis(
        applies=True,
        summary=_summarize(playbook, state, problems, checked=len(set(checked)), unavailable=len(unavailable)),
        findings=ranked,
        checked=tuple(dict.fromkeys(checked))[:MAX_LINES],
        unavailable=unavailable,
        next_steps=tuple(dict.fromkeys(steps if problems else [*steps, *playbook.next_steps]))[:MAX_LINES],
    )


def refuse(playbook: Playbook, state: State) -> Diagnosis:
    """Build the answer to a request that names nothing this playbook could measure."""
    found = [
        f"{name} {fill_template('{value}', {'value': value})}"
        for name, value in state.targets.items()
        if value and value != playbook.targets[name].default and playbook.targets[name].kind != "text"
    ]
    named = f" It names only {'; '.join(found)}." if found else ""
    return Diagnosis(
        applies=False,
        summary=f"This request does not apply: it needs {playbook.needs}.{named} Nothing was measured.",
        next_steps=(f"Ask again, naming {playbook.needs}.",),
    )


def _summarize(playbook: Playbook, state: State, problems: list[Finding], *, checked: int, unavailable: int) -> str:
    missing = f" {unavailable} could not be measured." if unavailable else ""
    if problems:
        titles = "; ".join(finding.title for finding in problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        return f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found: {titles}{more}.{missing}"
    if not state.measured:
        return f"Nothing could be measured, so nothing can be said.{missing}"
    healthy = "No fault was found in what could be measured." if any(state.errors.values()) else playbook.healthy
    return f"{healthy} {checked} measurement{'s are' if checked != 1 else ' is'} fine.{missing}"


def _list_cases(rule: FindingRule | CheckRule, expressions: Expressions, state: State) -> Iterator[object]:
    """Yield the items for which a rule holds, `None` for a rule without a list; what cannot be judged is a gap."""
    if find_needs(f"{rule.when} {rule.each} {' '.join(rule.values.values())}") - state.results.keys():
        return
    try:
        if not rule.each:
            if not rule.when or expressions.read(rule.when).holds(prune(state.variables(), rule.when)):
                yield None
            return
        value = expressions.read(rule.each).evaluate(prune(state.variables(), rule.each))
        # What an expression gives is of no static type.
        items = cast("list[object]", value) if isinstance(value, list) else []
        items = [inner for item in items for inner in _open(item, rule.inside)] if rule.inside else items
        held = 0
        for item in items:
            if rule.when and not expressions.read(rule.when).holds(prune(state.variables(item=item), rule.when)):
                continue
            held += 1
            if held <= rule.limit:
                yield item
        if held > rule.limit:
            state.gaps.append(f"{held - rule.limit} more of the kind {_name(rule)!r} are not listed")
    except QuorateError as error:
        state.gaps.append(f"{_name(rule)!r} could not be judged: {error.message}")


def _open(item: object, field: str) -> Iterator[object]:
    owner = _get_fields(item)
    members = owner.get(field)
    about = {name: value for name, value in owner.items() if name != field}
    for member in cast("list[object]", members) if isinstance(members, list) else []:
        fields = _get_fields(member) or {"value": member}
        yield {**fields, "_call": owner.get("_call", ""), "_owner": about}


def _name(rule: FindingRule | CheckRule) -> str:
    return rule.title if isinstance(rule, FindingRule) else rule.text


def _evaluate(text: str, expressions: Expressions, variables: Values) -> object:
    """Evaluate what a text shows; what cannot be is shown as unknown, and never guessed."""
    try:
        return expressions.read(text).evaluate(prune(variables, text))
    except QuorateError:
        return None


def _build_values(rule: FindingRule | CheckRule, expressions: Expressions, state: State, item: object) -> Values:
    variables = state.variables(item=item)
    return {name: _evaluate(text, expressions, variables) for name, text in rule.values.items()}


def _get_fields(item: object) -> Values:
    return cast(Values, item) if isinstance(item, dict) else {}


def _build_finding(
    rule: FindingRule, expressions: Expressions, state: State, item: object
) -> tuple[Finding, list[str]]:
    values = _build_values(rule, expressions, state, item)
    sources = (values, _get_fields(item), {"item": item}, state.targets)
    evidence = [fact for each in rule.evidence for fact in _build_evidence(each, expressions, state, item, values)]
    named = _evaluate(rule.severity_from, expressions, state.variables(item=item)) if rule.severity_from else None
    finding = Finding(
        title=fill_template(rule.title, *sources),
        severity=cast(Severity, named) if named in RANKS else rule.severity,  # `RANKS` holds the severities alone
        detail=fill_template(rule.detail, *sources),
        evidence=tuple(evidence),
        confidence=rule.confidence,
    )
    return finding, [fill_template(step, *sources) for step in rule.next_steps]


def _build_evidence(
    rule: EvidenceRule, expressions: Expressions, state: State, item: object, values: Values
) -> Iterator[Evidence]:
    given = _evaluate(rule.each, expressions, state.variables(item=item)) if rule.each else item
    for measured in cast("list[object]", given) if isinstance(given, list) else [given]:
        fields = _get_fields(measured)
        if not fields:
            continue
        variables = state.variables(item=item, fact=measured)
        own = {name: _evaluate(text, expressions, variables) for name, text in rule.values.items()}
        call_id = str(fields.get("_call") or _get_fields(item).get("_call") or _find_call(rule.each, state))
        value = _evaluate(rule.value, expressions, variables) if rule.value else None
        yield Evidence(
            tool=state.calls.get(call_id, str(fields.get("tool", ""))),
            call_id=call_id,
            fact=fill_template(rule.fact, own, fields, values, _get_fields(item), state.targets),
            value=value if isinstance(value, str | int | float | bool) else None,
        )


def _find_call(text: str, state: State) -> str:
    """Find the call behind a part of a step's result, by the step that the expression reads."""
    for name in sorted(find_needs(text)):
        held = _get_fields(state.results.get(name))
        if held:
            return str(held["_call"])
    return ""


def _fill_checks(rule: CheckRule, expressions: Expressions, state: State) -> Iterator[str]:
    for item in _list_cases(rule, expressions, state):
        values = _build_values(rule, expressions, state, item)
        yield fill_template(rule.text, values, _get_fields(item), {"item": item}, state.targets)


def _iterate_merged(playbook: Playbook, state: State) -> Iterator[tuple[Diagnosis, str, str]]:
    """Yield the diagnoses that other agents gave; words that are none become a finding of their own, worth knowing."""
    for step in playbook.steps:
        if not step.merge or step.id not in state.results:
            continue
        agent = step.tool.replace("_", "-")
        held = state.results[step.id]
        for value in cast("list[Values]", held) if isinstance(held, list) else [cast(Values, held)]:
            call_id = str(value["_call"])
            try:
                yield msgspec.convert(value, Diagnosis), agent, call_id
            except msgspec.ValidationError:
                words = str(value.get("value", ""))[:2000]
                evidence = Evidence(tool=step.tool, call_id=call_id, fact=f"{agent} answered in words")
                said = Finding(
                    title=f"{agent} says", severity="info", detail=words, evidence=(evidence,), confidence=0.5
                )
                yield Diagnosis(applies=True, summary="", findings=(said,)), agent, call_id
