"""What is counted and measured of what happened?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from quorate.telemetry.describe import OTHER, Value
from quorate.telemetry.names import Names
from quorate.telemetry.spans import Span

MAX_NAMES = 1_000
"""How many tools, and how many models, are told apart."""
_CODE = re.compile(r"[a-z][a-z_.]{0,63}", re.ASCII)

Labels = dict[str, Value]


class Instrument(Protocol):
    """Something that adds up, or measures."""

    def record(self, value: float, labels: Labels) -> None:
        """Add a value."""
        ...


class Meters:
    """Counts spans: every one of them, whether or not its trace is shown.

    Labels are names that operators chose, such as agents, models and tools, and codes; never people's or models' words.

    Args:
        names: What instruments and labels are called.
        instruments: The instrument of each metric, by what it is called here.
    """

    def __init__(self, names: Names, instruments: dict[str, Instrument]) -> None:
        self._name = names.attribute
        self._operation = names.operation
        self._instruments = instruments
        self._known: dict[str, set[Value]] = {"tool": set(), "request_model": set(), "response_model": set()}

    def count(self, spans: Iterable[Span]) -> None:
        """Count what ended."""
        for span in spans:
            if span.kind == "run":
                self._count_run(span)
            elif span.kind == "model":
                self._count_model(span)
            elif span.kind == "tool":
                self._count_tool(span)

    def count_dropped(self, number: int) -> None:
        """Count what could not be shown."""
        if number:
            self._instruments["dropped"].record(number, {})

    def _count_run(self, span: Span) -> None:
        labels = self._pick(span, "agent")
        self._instruments["run_duration"].record(span.duration_s, labels | self._find_error(span))
        self._instruments["runs"].record(1, labels | self._pick(span, "outcome"))
        waits, resumes = (sum(mark.name == name for mark in span.marks) for name in ("run.waiting", "run.resumed"))
        if waits:
            self._instruments["waits"].record(waits, labels)
        if resumes:
            self._instruments["takeovers"].record(resumes, labels)

    def _count_model(self, span: Span) -> None:
        labels = self._pick(span, "operation", "provider", "request_model", "response_model")
        self._hide(span, labels, "request_model")
        self._hide(span, labels, "response_model")
        self._instruments["model_duration"].record(span.duration_s, labels | self._find_error(span))
        for direction in ("input", "output"):
            tokens = span.attributes.get(self._name[f"{direction}_tokens"])
            if isinstance(tokens, int):
                self._instruments["tokens"].record(tokens, labels | {self._name["token_type"]: direction})
        cost = span.attributes.get(self._name["cost"])
        if isinstance(cost, float):
            self._instruments["cost"].record(cost, labels)

    def _count_tool(self, span: Span) -> None:
        labels = self._pick(span, "operation", "tool")
        self._hide(span, labels, "tool")
        self._instruments["tool_duration"].record(span.duration_s, labels | self._find_error(span))

    def _hide(self, span: Span, labels: Labels, what: str) -> None:
        """Tell a name apart only once it has worked: what people or models made up never does."""
        published, known = self._name[what], self._known[what]
        name = labels.get(published)
        if name is None:
            return
        if not span.error and len(known) < MAX_NAMES:
            known.add(name)
        if name not in known:
            labels[published] = OTHER

    def _pick(self, span: Span, *wanted: str) -> Labels:
        found: Labels = {}
        for name in wanted:
            published = self._name[name]
            value = span.attributes.get(published)
            if value is not None:
                found[published] = value
        return found

    def _find_error(self, span: Span) -> Labels:
        if not span.error:
            return {}
        return {self._name["error"]: span.error if _CODE.fullmatch(span.error) else OTHER}
