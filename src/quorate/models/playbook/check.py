"""Does a playbook hold together: steps, tools, arguments, expressions?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import cast

from quorate.conditions import compile_condition
from quorate.errors import QuorateError
from quorate.models.playbook.define import CheckRule, EvidenceRule, FindingRule, Playbook, Step
from quorate.models.playbook.scope import (
    FACT_NAMES,
    ITEM_NAMES,
    NAMES,
    find_dependencies,
    find_reads,
    iterate_expressions,
    iterate_templates,
)
from quorate.models.playbook.words import PLACEHOLDER
from quorate.specs import ToolSpec

_STEP_ID = re.compile(r"[a-z][a-z0-9_]{0,40}")


def check_playbook(playbook: Playbook, tools: Sequence[ToolSpec] | None = None) -> list[str]:
    """List everything that is wrong with a playbook, each fault with its place.

    Args:
        playbook: What to check.
        tools: The tools its agent has; without them, tools and their arguments are not checked.
    """
    specs = None if tools is None else {tool.name: tool for tool in tools}
    faults = [*_check_ids(playbook), *_check_targets(playbook)]
    for step in playbook.steps:
        faults += _check_step(playbook, step)
        if specs is not None:
            faults += _check_call(step, specs)
    faults += _check_cycles(playbook)
    faults += _check_expression(playbook, playbook.applies, "applies", frozenset({"request", "targets"}))
    for kind, rules in (("findings", playbook.findings), ("checks", playbook.checks), ("gaps", playbook.gaps)):
        for place, rule in enumerate(rules):
            faults += _check_rule(playbook, rule, f"{kind}[{place}]")
    return faults


def _check_ids(playbook: Playbook) -> Iterator[str]:
    seen: set[str] = set()
    for step in playbook.steps:
        if not _STEP_ID.fullmatch(step.id):
            yield f"steps.{step.id}: {step.id!r} is not an id; use `a-z`, `0-9` and `_`, a letter first"
        if step.id in seen:
            yield f"steps.{step.id}: there are two steps of that name; rename one"
        seen.add(step.id)


def _check_targets(playbook: Playbook) -> Iterator[str]:
    for name, target in playbook.targets.items():
        yield from _check_expression(playbook, target.source, f"targets.{name}.source", NAMES)
        if target.kind == "word" and not target.words:
            yield f"targets.{name}: `word` needs `words` to look for"


def _check_step(playbook: Playbook, step: Step) -> Iterator[str]:
    at, steps = f"steps.{step.id}", [known.id for known in playbook.steps]
    names = ITEM_NAMES if step.for_each else NAMES
    for name in step.after:
        if name not in steps:
            yield f"{at}.after: there is no step {name!r}; {_suggest(name, steps)}"
    yield from _check_expression(playbook, step.when, f"{at}.when", NAMES)
    yield from _check_expression(playbook, step.for_each, f"{at}.for_each", NAMES)
    for text in iterate_expressions(step.arguments):
        yield from _check_expression(playbook, text, f"{at}.arguments", names)
    if not step.for_each:
        for name in _find_placeholders(iterate_templates(step.arguments)):
            if name not in playbook.targets:
                yield f"{at}.arguments: there is no target {name!r}; {_suggest(name, playbook.targets)}"


def _check_call(step: Step, specs: Mapping[str, ToolSpec]) -> Iterator[str]:
    spec = specs.get(step.tool)
    if spec is None:
        yield f"steps.{step.id}.tool: there is no tool {step.tool!r}; {_suggest(step.tool, specs)}"
        return
    # The schema is JSON of no static type; ours are objects with `properties` and `required`.
    properties = cast("Mapping[str, object]", spec.parameters.get("properties", {}))
    required = cast("Sequence[str]", spec.parameters.get("required", ()))
    for name in step.arguments:
        if name not in properties:
            yield f"steps.{step.id}.arguments: `{step.tool}` takes no {name!r}; {_suggest(name, properties)}"
    for name in required:
        if name not in step.arguments:
            yield f"steps.{step.id}.arguments: `{step.tool}` needs {name!r}; give it"


def _check_cycles(playbook: Playbook) -> Iterator[str]:
    graph = {step.id: find_dependencies(playbook, step) for step in playbook.steps}
    settled: set[str] = set()
    while ready := {name for name, needs in graph.items() if (needs & graph.keys()) <= settled} - settled:
        settled |= ready
    circle = sorted(graph.keys() - settled)
    if circle:
        yield f"steps: {', '.join(circle)} wait for each other; take one dependency out"


def _check_rule(playbook: Playbook, rule: FindingRule | CheckRule, at: str) -> Iterator[str]:
    names = ITEM_NAMES if rule.each else NAMES
    yield from _check_expression(playbook, rule.each, f"{at}.each", NAMES)
    yield from _check_expression(playbook, rule.when, f"{at}.when", names)
    for name, text in rule.values.items():
        yield from _check_expression(playbook, text, f"{at}.values.{name}", names)
    if isinstance(rule, FindingRule):
        yield from _check_expression(playbook, rule.severity_from, f"{at}.severity_from", names)
    texts = (rule.text,) if isinstance(rule, CheckRule) else (rule.title, rule.detail, *rule.next_steps)
    if not rule.each:
        known = {*rule.values, *playbook.targets}
        for name in _find_placeholders(texts):
            if name not in known:
                yield f"{at}: nothing gives `{{{name}}}`; {_suggest(name, known)}"
    for place, evidence in enumerate(() if isinstance(rule, CheckRule) else rule.evidence):
        yield from _check_evidence(playbook, evidence, f"{at}.evidence[{place}]", has_item=bool(rule.each))


def _check_evidence(playbook: Playbook, rule: EvidenceRule, at: str, *, has_item: bool) -> Iterator[str]:
    if not rule.each and not has_item:
        yield f"{at}: say which measurement with `each`, since the finding has no `item`"
    yield from _check_expression(playbook, rule.each, f"{at}.each", ITEM_NAMES if has_item else NAMES)
    names = FACT_NAMES if has_item else FACT_NAMES - {"item"}
    yield from _check_expression(playbook, rule.value, f"{at}.value", names)
    for name, text in rule.values.items():
        yield from _check_expression(playbook, text, f"{at}.values.{name}", names)


def _check_expression(playbook: Playbook, text: str, at: str, names: Collection[str]) -> Iterator[str]:
    if not text:
        return
    try:
        compile_condition(text, names=names)
    except QuorateError as error:
        yield f"{at}: {error.message}"
        return
    steps = [step.id for step in playbook.steps]
    for kind, known in (("results", steps), ("errors", steps), ("targets", list(playbook.targets))):
        for name in sorted(find_reads(text, kind) - set(known)):
            what = "target" if kind == "targets" else "step"
            yield f"{at}: there is no {what} {name!r}; {_suggest(name, known)}"


def _find_placeholders(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for text in texts for name in PLACEHOLDER.findall(text)))


def _suggest(name: str, choices: Iterable[str]) -> str:
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    shown = ", ".join(f"`{choice}`" for choice in known[:12])
    return f"did you mean `{near[0]}`?" if near else f"known: {shown}" if known else "there are none"
