"""Does trust rise and fall with what came of things, within bounds, and by nobody's own words?"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.council.ballot import Ballot, Vote
from quorate.council.evidence import Judged, read_decision, read_feedback, read_tasks, score_ballot
from quorate.council.terms import Seat
from quorate.council.trust import (
    DAY_S,
    WINDOW_S,
    Evidence,
    Item,
    Source,
    TrustRules,
    build_item,
    check_evidence,
    check_rules,
    explain_trust,
    measure_trust,
)
from quorate.council.weights import build_weights
from quorate.errors import Forbidden, InvalidInput, UnknownName
from quorate.events import AnyEvent, RunCreated, StepFinished, StepStarted, ToolFailed
from quorate.messages import ToolResult
from quorate.models.feedback import Feedback

NOW = 2_000 * WINDOW_S
RULES = TrustRules()
ANN = Source(principal="ann")


def item(name: str, score: float, *, age_days: float = 0.0, topic: str = "", source: str = "ann") -> Item:
    return build_item(
        Evidence(
            id=name, member="disk", kind="decision", score=score, at=NOW - age_days * DAY_S, topic=topic,
            source=Source(principal=source),
        )
    )  # fmt: skip


def items(good: int, bad: int, *, age_days: float = 0.0, topic: str = "", sources: int = 50) -> list[Item]:
    return [
        item(f"d-{number}-{topic}-{age_days}", float(number < good), age_days=age_days, topic=topic, source=f"s{number % sources}")
        for number in range(good + bad)
    ]  # fmt: skip


def trust(known: Sequence[Item], *, now: float = NOW, topic: str = "") -> float:
    return measure_trust(RULES, known, now=now, topic=topic).value


TOPICS = st.sampled_from(["", "dns", "disk"])
ITEMS = st.lists(
    st.builds(
        item,
        st.uuids().map(str),
        st.sampled_from([0.0, 0.25, 1.0]),
        age_days=st.floats(0, 100),
        topic=TOPICS,
        source=st.sampled_from(["ann", "bob", "eve"]),
    ),
    max_size=25,
    unique_by=lambda one: one.id,
)
RULE_SETS = st.builds(
    TrustRules,
    half_life_days=st.floats(7, 365),
    floor=st.floats(0, 0.2),
    ceiling=st.floats(0.8, 1),
    prior=st.floats(0.2, 0.8),
    source_cap=st.floats(0.5, 20),
)
quick = settings(max_examples=60, deadline=None)


@quick
@given(rules=RULE_SETS, known=ITEMS, topic=TOPICS)
def test_trust_is_within_its_bounds_whatever_happened(rules: TrustRules, known: list[Item], topic: str) -> None:
    """row: D13"""
    check_rules(rules)
    assert rules.floor <= measure_trust(rules, known, now=NOW, topic=topic).value <= rules.ceiling


@quick
@given(rules=RULE_SETS, known=ITEMS, topic=TOPICS, about=TOPICS, age_days=st.floats(0, 100))
def test_what_is_good_never_lowers_it_and_what_is_bad_never_raises_it(
    rules: TrustRules, known: list[Item], topic: str, about: str, age_days: float
) -> None:
    """Whatever is known besides, in whichever topic, and however much its source has said already."""
    before = measure_trust(rules, known, now=NOW, topic=topic).value
    good = [*known, item("new", 1.0, age_days=age_days, topic=about)]
    bad = [*known, item("new", 0.0, age_days=age_days, topic=about)]
    assert measure_trust(rules, good, now=NOW, topic=topic).value >= before - 1e-12
    assert measure_trust(rules, bad, now=NOW, topic=topic).value <= before + 1e-12


@quick
@given(known=ITEMS, topic=TOPICS, seed=st.integers())
def test_the_order_is_no_matter(known: list[Item], topic: str, seed: int) -> None:
    """To the last bit, also of what happened at the same time."""
    other = list(known)
    random.Random(seed).shuffle(other)
    assert measure_trust(RULES, known, now=NOW, topic=topic) == measure_trust(RULES, other, now=NOW, topic=topic)


@quick
@given(rules=RULE_SETS, known=ITEMS, topic=TOPICS)
def test_it_comes_back_to_the_prior(rules: TrustRules, known: list[Item], topic: str) -> None:
    """Nearer with each day on which nothing happens, and quite in the end. row: D13"""
    distances = [
        abs(measure_trust(rules, known, now=NOW + days * DAY_S).value - rules.prior) for days in (0, 10, 100, 1_000)
    ]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(distances))
    late = NOW + 25 * rules.half_life_days * DAY_S
    assert measure_trust(rules, known, now=late, topic=topic).value == pytest.approx(rules.prior, abs=1e-4)


def test_the_formula_is_that_of_the_beta_reputation() -> None:
    """(good + 2 prior) / (good + bad + 2), and half of it a half-life later. part of row D13"""
    known = items(6, 2)
    assert trust(known) == pytest.approx(7 / 10)
    assert trust(known, now=NOW + 30 * DAY_S) == pytest.approx((3 + 1) / (3 + 1 + 2))
    assert trust([]) == 0.5
    assert trust(items(400, 0, sources=400)) == 0.95
    assert trust(items(0, 400, sources=400)) == 0.05


def test_a_topic_of_which_little_is_known_follows_the_rest() -> None:
    """(good + 4 general) / (good + bad + 4)."""
    known = [*items(8, 0, topic="dns"), *items(0, 2, topic="disk")]
    general = trust(known)
    assert general == pytest.approx(9 / 12)
    assert trust(known, topic="logs") == pytest.approx(general)
    assert trust(known, topic="disk") == pytest.approx((0 + 4 * general) / (2 + 4))
    assert trust(known, topic="disk") < general < trust(known, topic="dns")


def test_one_source_moves_a_member_so_far_in_a_week_and_no_further() -> None:
    """However often it says so, and under however many topics it does."""
    said = items(5, 0, sources=1)
    many = [item(f"x-{number}", 1.0, topic=f"t{number}", source="s0") for number in range(500)]
    assert trust(many) == pytest.approx(trust(said))
    assert trust(many, topic="logs") == pytest.approx(trust(said, topic="logs"))
    assert trust(items(500, 0, sources=1)) == pytest.approx(trust(said)) == pytest.approx(6 / 7)
    assert trust([*many, *items(5, 0, sources=1, age_days=7)]) > trust(many)
    assert trust(items(5, 0, sources=5)) == pytest.approx(trust(said))
    assert trust(items(10, 0, sources=2)) == pytest.approx(11 / 12)


def test_agents_of_one_principal_are_one_source() -> None:
    """Names are cheap: what counts is who stands behind them; what an agent thinks counts a quarter."""
    said = [
        build_item(
            Evidence(
                id=f"f-{number}", member="disk", kind="feedback", score=1.0, at=NOW,
                source=Source(principal="ann", agent=f"critic-{number}"),
            )
        )
        for number in range(100)
    ]  # fmt: skip
    assert len({one.source for one in said}) == 1
    assert "ann" not in str(said)
    assert trust(said) == pytest.approx(6 / 7)
    assert trust(said[:4]) == pytest.approx(trust(items(1, 0)))


@pytest.mark.parametrize(
    ("member", "source"),
    [
        ("disk", Source(principal="disk")),
        ("disk", Source(principal="ann", agent="disk")),
        ("person:ann", ANN),
        ("person:ann", Source(principal="ann", agent="helper")),
        ("person:x", Source(principal="ann", agent="person:x")),
    ],
)
def test_nobody_speaks_of_itself(member: str, source: Source) -> None:
    """part of row D13"""
    with pytest.raises(Forbidden, match=f"'{member}' speaks of itself"):
        check_evidence(Evidence(id="f", member=member, kind="feedback", score=1, at=NOW, source=source))


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"score": math.nan}, "score of nan"),
        ({"score": 1.5}, "score of 1.5"),
        ({"id": "a b"}, "'a b' is no id"),
        ({"id": ""}, "is no id"),
        ({"member": " disk"}, "' disk' is no member"),
        ({"member": "x" * 129}, "is no member"),
        ({"topic": "a/b"}, "'a/b' is no topic"),
        ({"at": math.inf}, "cannot be of inf"),
        ({"source": Source(principal="")}, "Nobody says so"),
    ],
)
def test_what_is_no_evidence_is_refused(faults: dict[str, object], words: str) -> None:
    facts = {"id": "f", "member": "disk", "kind": "feedback", "score": 1.0, "at": NOW, "source": ANN} | faults
    with pytest.raises(InvalidInput, match=words):
        check_evidence(Evidence(**facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rules",
    [
        TrustRules(floor=0.6),
        TrustRules(ceiling=0.4),
        TrustRules(floor=0.5, ceiling=0.5),
        TrustRules(half_life_days=1),
        TrustRules(source_cap=math.nan),
        TrustRules(prior=math.nan),
    ],
)
def test_rules_hold_together(rules: TrustRules) -> None:
    with pytest.raises(InvalidInput, match="give"):
        check_rules(rules)


def test_it_says_why() -> None:
    known = [*items(3, 1, topic="dns"), item("last", 0.0, topic="dns", age_days=-0.01), item("else", 1.0, age_days=1)]
    report = explain_trust(RULES, "disk", known, now=NOW + DAY_S, topic="dns")
    assert (report.member, report.topic, report.sources) == ("disk", "dns", 5)
    assert report.counts == {"decision": 5, "feedback": 0, "task": 0}
    assert report.last[0].id == "last"
    assert report.last[0].moves < 0 < report.last[-1].moves
    assert "5 outcomes in 'dns' count as 2.9" in report.why
    assert "beside its trust in general, 0." in report.why
    assert (
        explain_trust(RULES, "disk", [], now=NOW).why == "Nothing is known in general, so that goes by the prior, 0.50."
    )
    flood = explain_trust(RULES, "disk", items(0, 400, sources=2), now=NOW)
    assert "2 times a source said more in a week than it may" in flood.why


def test_seats_weigh_what_voters_earned() -> None:
    """part of row D13"""
    roll = (Seat(voter="a", group="x"), Seat(voter="b"), Seat(voter="c", weight=3))
    seats = build_weights({"a": 0.9, "b": 0.5}, roll)
    assert [(seat.voter, seat.weight, seat.group) for seat in seats] == [("a", 0.9, "x"), ("b", 0.5, ""), ("c", 3, "")]
    odds = build_weights({"a": 0.9, "b": 0.4, "c": 0.6}, roll, log_odds=True)
    assert [seat.weight for seat in odds] == [
        pytest.approx(math.log(9), abs=1e-6),
        0,
        pytest.approx(math.log(1.5), abs=1e-6),
    ]
    alike = build_weights({"a": 0.5, "b": 0.5, "c": 0.5}, roll, log_odds=True)
    assert {seat.weight for seat in alike} == {0.5}
    with pytest.raises(InvalidInput, match="Trust in 'a' is nan"):
        build_weights({"a": math.nan}, roll)


BALLOTS = [
    (Ballot(choice="yes"), 1.0),
    (Ballot(choice="no"), 0.0),
    (Ballot(ranking=("no", "yes")), 0.0),
    (Ballot(ranking=("yes", "no")), 1.0),
    (Ballot(approved=("yes", "no")), 0.5),
    (Ballot(scores={"yes": 3, "no": 1}), 1.0),
    (Ballot(scores={"yes": 3, "no": 3, "wait": 3}), 1 / 3),
    (Ballot(vetoes=("no",)), None),
    (Ballot(abstains=True), None),
]


@pytest.mark.parametrize(("ballot", "score"), BALLOTS)
def test_ballots_are_right_or_wrong(ballot: Ballot, score: float | None) -> None:
    """Whoever is for everything is right about nothing."""
    assert score_ballot(ballot, "yes") == score


def test_a_decision_says_nothing_of_who_says_what_is_true() -> None:
    votes = tuple(
        Vote(voter=name, ballot=Ballot(choice=choice)) for name, choice in (("a", "yes"), ("b", "no"), ("ann", "yes"))
    )
    decision = Judged(id="decision-1", options=("yes", "no"), votes=votes, winner="yes", closed=NOW, topic="dns")
    found = read_decision(decision, "yes", source=ANN, version=2)
    assert [(one.member, one.score, one.topic, one.version) for one in found] == [
        ("a", 1, "dns", 2),
        ("b", 0, "dns", 2),
    ]
    with pytest.raises(UnknownName, match="'maybe'"):
        read_decision(decision, "maybe", source=ANN)


def build_log(*more: AnyEvent) -> list[AnyEvent]:
    return [RunCreated(run="run-1", seq=1, time=NOW, agent="team", messages=(), principal="ann"), *more]


def delegate(key: str, name: str, status: str, code: str = "") -> list[AnyEvent]:
    log: list[AnyEvent] = [
        StepStarted(run="run-1", seq=2, time=NOW, key=f"{key}/", name=name),
        StepFinished(run="run-1", seq=3, time=NOW + 1, key=f"{key}/", name=name, status=status),  # type: ignore[arg-type]
    ]
    if code:
        result = ToolResult(call_id="1", name=name, is_error=True, code=code)
        log.append(ToolFailed(run="run-1", seq=4, time=NOW + 1, key=key, result=result))
    return log


def test_a_log_says_how_delegates_did() -> None:
    """Not those who failed by no fault of theirs, nor anybody who gave itself something to do."""
    log = build_log(
        *delegate("1/tool/a", "disk", "completed"),
        *delegate("1/tool/b", "net", "failed", "tool_error"),
        *delegate("1/tool/c", "logs", "failed", "upstream_error"),
        *delegate("1/tool/d", "mail", "cancelled"),
        *delegate("1/tool/a/1/tool/x", "disk", "completed"),
        *delegate("1/tool/a/1/tool/y", "team", "completed"),
        *delegate("1/tool/work", "team", "completed"),
    )
    found = read_tasks(log, topic="storage")
    assert [(one.member, one.score, one.source.agent) for one in found] == [
        ("disk", 1, "team"),
        ("net", 0, "team"),
        ("team", 1, "disk"),
    ]
    assert {one.source.principal for one in found} == {"ann"}
    assert len({one.id for one in found}) == 3
    assert found == read_tasks(log, topic="storage")
    assert [one.member for one in read_tasks(log, members=["net"])] == ["net"]
    assert read_tasks([]) == []


def test_feedback_says_what_its_principal_thought_last() -> None:
    head = build_log()[0]
    assert isinstance(head, RunCreated)
    said = Feedback(
        tenant="default", run="run-1", principal="bob", rating=1.0, labels={"topic": "dns"}, created=5.0, id="fb-1"
    )
    first = read_feedback(said, head)
    changed = read_feedback(
        Feedback(tenant="default", run="run-1", principal="bob", rating=0.0, created=9.0, source="model"), head
    )
    assert first is not None
    assert changed is not None
    assert (first.member, first.topic, first.score, first.at) == ("team", "dns", 1, NOW)
    assert (changed.id, changed.at, changed.source.agent) == (first.id, first.at, "model")
    assert changed.version > first.version
    for nothing in (
        Feedback(tenant="default", run="run-1", comment="fine"),
        Feedback(tenant="default", run="run-1", key="1/model", rating=1.0),
        Feedback(tenant="default", run="run-1", principal="team", rating=1.0),  # its own words
    ):
        assert read_feedback(nothing, head) is None
    with pytest.raises(InvalidInput, match="not on 'run-1'"):
        read_feedback(Feedback(tenant="default", run="run-2", rating=1.0), head)
