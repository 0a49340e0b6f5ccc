"""What is counted and measured of what happened?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from quorate.telemetry.describe import OTHER, Value
from quorate.telemetry.names import Names
from quorate.telemetry.requests import METHODS, OTHER_METHOD, RequestRecord
from quorate.telemetry.spans import Span
from quorate.telemetry.votes import Vote

MAX_NAMES = 1_000
"""How many tools, and how many models, are told apart."""
_CODE = re.compile(r"[a-z][a-z_.]{0,63}", re.ASCII)

Labels = dict[str, Value]


class Counter(Protocol):
    """Takes what is counted and measured."""

    def add(self, metric: str, value: float, labels: Labels, /) -> None:
        """Add a value to a metric."""
        ...


class Meters:
    """Counts what ended: all of it, whether or not its trace is shown.

    Labels are names that operators chose, such as agents, models and tools, and codes; never people's or models' words.

    Args:
        names: What labels are called.
        counter: Where figures go.
    """

    def __init__(self, names: Names, counter: Counter) -> None:
        self._name = names.attribute
        self._operation = names.operation
        self._add = counter.add
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

    def count_requests(self, requests: Iterable[RequestRecord]) -> None:
        """Count requests over HTTP."""
        name = self._name
        for one in requests:
            labels: Labels = {
                name["method"]: one.method if one.method in METHODS else OTHER_METHOD,
                name["scheme"]: one.scheme,
            }
            if one.route:
                labels[name["route"]] = one.route
            if one.status:
                labels[name["status"]] = one.status
            if one.first_s is not None:
                self._add("request_first", one.first_s, labels)
            if one.error:
                labels[name["error"]] = one.error
            self._add("request_duration", one.duration_s, labels)

    def count_dropped(self, number: int) -> None:
        """Count what could not be shown."""
        if number:
            self._add("dropped", number, {})

    def open_objectives(self, objectives: Iterable[str]) -> None:
        """Begin counting at nothing: who computes rates does not see what the first value of a counter was before."""
        self._add("dropped", 0, {})
        for objective in objectives:
            for result in ("good", "bad"):
                self._add("objective", 0, {self._name["objective"]: objective, self._name["result"]: result})

    def count_judged(self, judged: Iterable[tuple[str, bool]]) -> None:
        """Count what objectives are about: which one, and whether it was as it should be."""
        for objective, is_good in judged:
            labels: Labels = {self._name["objective"]: objective, self._name["result"]: "good" if is_good else "bad"}
            self._add("objective", 1, labels)

    def count_votes(self, agent: str, vote: Vote) -> None:
        """Count how something was decided: how long it took, and how much those who voted agreed."""
        self.count_one("consensus_latency", {"agent": agent, "outcome": vote.outcome}, vote.seconds)
        if vote.turnout is not None:
            self.count_one("decision_quality", {"measure": "turnout"}, vote.turnout)
        if vote.agreement is not None:
            self.count_one("decision_quality", {"measure": "agreement"}, vote.agreement)

    def count_one(self, metric: str, labels: Mapping[str, str], value: float = 1) -> None:
        """Count something that is no span, with labels by what they are called here."""
        self._add(metric, value, self.name_labels(labels))

    def name_labels(self, labels: Mapping[str, str]) -> Labels:
        """Give labels the names they are published under."""
        return {self._name[name]: said for name, said in labels.items()}

    def _count_run(self, span: Span) -> None:
        labels = self._pick(span, "agent")
        self._add("run_duration", span.duration_s, labels | self._find_error(span))
        self._add("runs", 1, labels | self._pick(span, "outcome"))
        waits, resumes = (sum(mark.name == name for mark in span.marks) for name in ("run.waiting", "run.resumed"))
        if waits:
            self._add("waits", waits, labels)
        if resumes:
            self._add("takeovers", resumes, labels)

    def _count_model(self, span: Span) -> None:
        labels = self._pick(span, "operation", "provider", "request_model", "response_model")
        self._hide(span, labels, "request_model")
        self._hide(span, labels, "response_model")
        self._add("model_duration", span.duration_s, labels | self._find_error(span))
        for direction in ("input", "output"):
            tokens = span.attributes.get(self._name[f"{direction}_tokens"])
            if isinstance(tokens, int):
                self._add("tokens", tokens, labels | {self._name["token_type"]: direction})
        first_s = span.attributes.get(self._name["first_chunk"])
        if isinstance(first_s, float):
            self._add("first_chunk", first_s, labels)
        cost = span.attributes.get(self._name["cost"])
        if isinstance(cost, float):
            self._add("cost", cost, labels)

    def _count_tool(self, span: Span) -> None:
        labels = self._pick(span, "operation", "tool")
        self._hide(span, labels, "tool")
        self._add("tool_duration", span.duration_s, labels | self._find_error(span))

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
