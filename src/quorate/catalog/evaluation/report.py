"""What came of an evaluation, in records and in figures?"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Literal

import msgspec
from msgspec import Struct, structs

from quorate.catalog.evaluation.case import Case, Kind
from quorate.catalog.evaluation.grade import Grade
from quorate.catalog.evaluation.intervals import Interval, bound_mean, bound_repeated_rate

Outcome = Literal["passed", "failed", "error", "skipped"]
"""All held; something did not; nobody knows, as the case could not be gone through; what it needs is not there."""


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one case went, one time."""

    case: str
    digest: str
    """Of what is asked of whom and expected: what is gone on with must be the same."""
    question: str = ""
    """Of what is asked and expected, of whomever: what is compared must be the same."""
    repeat: int
    """The number of the time, from 1."""
    outcome: Outcome
    kind: Kind = "agent"
    agent: str = ""
    """Who answered."""
    tags: tuple[str, ...] = ()
    run: str = ""
    """The recorded run: `quorate runs show` tells all of it."""
    status: str = ""
    """How the run stands."""
    score: float = 0.0
    grades: tuple[Grade, ...] = ()
    seconds: float = 0.0
    tokens: int = 0
    cost_usd: float | None = None
    """US dollars, judges included; `None` when a price is not known."""
    why: str = ""
    """Why it did not pass, in a line."""


class Configuration(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was evaluated, and how."""

    model: str = ""
    """The model that all agents were given; empty for their own."""
    judge: str = ""
    """Who scored by rubrics; a plain judge over `judge_model` when empty."""
    judge_model: str = ""
    repeats: int = 1
    seed: int = 0
    version: str = ""
    """Quorate's own."""


class Figures(Struct, frozen=True, kw_only=True):
    """What some records come to."""

    cases: int
    runs: int
    passed: int
    """Runs that passed."""
    failed: int
    errors: int
    skipped: int
    """Runs of cases that need what is not there: no figure counts them."""
    rate: float
    """The mean over cases of the share of their runs that passed."""
    rate_interval: Interval
    always: float
    """The share of cases that passed every time."""
    score: float
    score_interval: Interval | None
    seconds_p50: float
    seconds_p95: float
    tokens: int
    cost_usd: float | None


class Group(Struct, frozen=True, kw_only=True):
    """The figures of cases that have something in common."""

    name: str
    """Such as `tag:tls` or `agent:network-diagnostics`."""
    figures: Figures


class Report(Struct, frozen=True, kw_only=True):
    """An evaluation as a whole."""

    id: str
    configuration: Configuration
    planned: int
    """How many runs there were to be."""
    records: tuple[Record, ...]
    figures: Figures
    groups: tuple[Group, ...]

    @property
    def is_partial(self) -> bool:
        """Whether it ended before all was run."""
        return len(self.records) < self.planned


def build_report(id: str, records: Sequence[Record], *, planned: int, configuration: Configuration) -> Report:
    """Sum an evaluation up; the order of the records makes no difference.

    Args:
        id: The evaluation's.
        records: What was run.
        planned: How many runs there were to be.
        configuration: What was evaluated; its seed is that of the draws.
    """
    ordered = tuple(sorted(records, key=lambda record: (record.case, record.repeat)))
    seed = configuration.seed
    return Report(
        id=id,
        configuration=configuration,
        planned=planned,
        records=ordered,
        figures=summarize(ordered, seed=seed),
        groups=tuple(_build_groups(ordered, seed=seed)),
    )


def summarize(records: Sequence[Record], *, seed: int = 0) -> Figures:
    """Work figures out; what could not be run counts as not passed."""
    skipped = _count(records, "skipped")
    records = [record for record in records if record.outcome != "skipped"]
    cases: dict[str, list[Record]] = {}
    for record in records:
        cases.setdefault(record.case, []).append(record)
    rates = [sum(one.outcome == "passed" for one in runs) / len(runs) for runs in cases.values()]
    scores = [fmean([one.score for one in runs]) for runs in cases.values()]
    costs = [record.cost_usd for record in records if record.cost_usd is not None]
    return Figures(
        cases=len(cases),
        runs=len(records),
        passed=_count(records, "passed"),
        failed=_count(records, "failed"),
        errors=_count(records, "error"),
        skipped=skipped,
        rate=fmean(rates) if rates else 0.0,
        rate_interval=bound_repeated_rate(rates, max(map(len, cases.values()), default=1)),
        always=fmean([rate == 1 for rate in rates]) if rates else 0.0,
        score=fmean(scores) if scores else 0.0,
        score_interval=bound_mean(scores, seed=seed),
        seconds_p50=_find_quantile([record.seconds for record in records], 0.5),
        seconds_p95=_find_quantile([record.seconds for record in records], 0.95),
        tokens=sum(record.tokens for record in records),
        cost_usd=math.fsum(costs) if len(costs) == len(records) else None,
    )


def build_digest(case: Case) -> str:
    """Return the SHA-256 of what a case asks and expects; its tags and scripts make no difference."""
    asked = structs.replace(case, tags=(), script=(), scripts={})
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


def build_question(case: Case) -> str:
    """Return the SHA-256 of what a case asks and expects, whoever is asked."""
    return build_digest(structs.replace(case, agent="", poll=None, limits=None))


def _build_groups(records: Sequence[Record], *, seed: int) -> list[Group]:
    ways: tuple[tuple[str, Callable[[Record], Sequence[str]]], ...] = (
        ("kind", lambda record: (record.kind,)),
        ("agent", lambda record: (record.agent,) if record.agent else ()),
        ("tag", lambda record: record.tags),
    )
    groups: list[Group] = []
    for way, find in ways:
        found: dict[str, list[Record]] = {}
        for record in records:
            for name in find(record):
                found.setdefault(name, []).append(record)
        if len(found) > 1:
            groups += [Group(name=f"{way}:{name}", figures=summarize(found[name], seed=seed)) for name in sorted(found)]
    return groups


def _count(records: Sequence[Record], outcome: Outcome) -> int:
    return sum(record.outcome == outcome for record in records)


def _find_quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least a share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
