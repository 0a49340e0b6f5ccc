"""Which variables do a playbook's expressions see, and when can each be evaluated?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping

from quorate.conditions import Condition, compile_condition
from quorate.models.playbook.define import Playbook, Step
from quorate.models.playbook.words import PLACEHOLDER

NAMES = frozenset({"request", "targets", "results", "errors"})
ITEM_NAMES = NAMES | {"item"}
FACT_NAMES = ITEM_NAMES | {"fact"}

_READ = re.compile(r"\b(results|errors|targets)\s*\.\s*([A-Za-z_]\w*)")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_GUARDED = re.compile(r"\bhas\s*\(\s*results\s*\.\s*([A-Za-z_]\w*)")


class Expressions:
    """A playbook's expressions, each read once, when it is first needed."""

    def __init__(self) -> None:
        self._known: dict[str, Condition] = {}
        self._is_open = False

    async def open(self) -> None:
        """Load the library the first time; that takes long enough to be done beside the event loop.

        Raises:
            MissingExtra: The extra `cel` is not installed.
        """
        if not self._is_open:
            await asyncio.to_thread(compile_condition, "true")
            self._is_open = True

    def read(self, text: str) -> Condition:
        """Return the condition of a text.

        Raises:
            InvalidInput: It is not CEL.
        """
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = compile_condition(text)
        return found


def find_reads(text: str, kind: str) -> set[str]:
    """Find the names after `results.`, `errors.` or `targets.` in an expression."""
    return {match[2] for match in _READ.finditer(_QUOTED.sub("''", text)) if match[1] == kind}


def find_needs(text: str) -> set[str]:
    """Find the steps without whose results an expression says nothing: those it reads without `has(results.…)`."""
    return find_reads(text, "results") - set(_GUARDED.findall(text))


def find_steps(playbook: Playbook, texts: Iterable[str]) -> set[str]:
    """Find the steps that expressions read, through targets too."""
    found: set[str] = set()
    for text in texts:
        found |= find_reads(text, "results") | find_reads(text, "errors")
        for name in find_reads(text, "targets"):
            target = playbook.targets.get(name)
            if target is not None and target.source:
                found |= find_reads(target.source, "results") | find_reads(target.source, "errors")
    return found


def find_dependencies(playbook: Playbook, step: Step) -> set[str]:
    """Find the steps that must have ended before one can be made."""
    texts = [step.when, step.for_each, *iterate_expressions(step.arguments)]
    # A template names a target in braces.
    names = [name for text in iterate_templates(step.arguments) for name in PLACEHOLDER.findall(text)]
    texts += [f"targets.{name}" for name in names]
    return {*step.after, *find_steps(playbook, texts)}


def iterate_texts(value: object) -> Iterator[str]:
    """Yield every text inside an argument."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from iterate_texts(member)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list | tuple):
        for member in value:  # pyright: ignore[reportUnknownVariableType]
            yield from iterate_texts(member)  # pyright: ignore[reportUnknownArgumentType]


def iterate_expressions(value: object) -> Iterator[str]:
    """Yield the CEL inside an argument: texts that begin with `=`, without it."""
    return (text[1:] for text in iterate_texts(value) if text.startswith("="))


def iterate_templates(value: object) -> Iterator[str]:
    """Yield the templates inside an argument."""
    return (text for text in iterate_texts(value) if not text.startswith("="))


def prune(variables: Mapping[str, object], text: str) -> dict[str, object]:
    """Leave only the results and errors that an expression reads, so that it costs what it needs."""
    kept = dict(variables)
    for kind in ("results", "errors"):
        whole = variables.get(kind)
        if isinstance(whole, Mapping):
            names = find_reads(text, kind)
            kept[kind] = {name: value for name, value in whole.items() if name in names}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return kept
