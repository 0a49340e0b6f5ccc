"""Is it counted how long decisions took and how much voters agreed, with labels that are bounded?"""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate.events import (
    AnyEvent,
    RunCreated,
    RunResumed,
    RunStarted,
    RunWaiting,
    VoteCast,
    VoteClosed,
    VoteDecided,
    VoteOpened,
)
from quorate.telemetry.counting import CountingSink
from quorate.telemetry.facts import Fact, read_facts
from quorate.telemetry.meters import Meters
from quorate.telemetry.names import load_names
from quorate.telemetry.objectives import load_objectives
from quorate.telemetry.prometheus import TallyCollector, render
from quorate.telemetry.tally import Tally
from quorate.telemetry.votes import MAX_VOTES, Vote
from quorate.telemetry.watcher import Batch

NAMES = load_names()
HEAD: list[AnyEvent] = [
    RunCreated(run="run-1", seq=1, time=100, agent="council", messages=()),
    RunStarted(run="run-1", seq=2, time=100),
]


def open_vote(
    time: float, *, number: int = 1, decision: str = "decision-1", weights: tuple[float, ...] = ()
) -> AnyEvent:
    return VoteOpened(
        run="run-1", seq=3, time=time, key=f"1/note/opened-{number}", question="Is it bob?", options=("a", "b"),
        roll=("x", "y", "z"), rule="majority", quorum=0.5, decision=decision, round=number, weights=weights,
    )  # fmt: skip


def cast(voter: str, choice: str, *, decision: str = "decision-1") -> AnyEvent:
    ballot = '{"choice":"' + choice + '"}' if choice else '{"abstains":true}'
    return VoteCast(
        run="run-1", seq=4, time=101, voter=voter, choice=choice or "(abstains)", decision=decision, ballot=ballot
    )  # fmt: skip


def close(
    time: float, winner: str | None, *dissent: str, decision: str = "decision-1", turnout: float = 1.0
) -> AnyEvent:
    return VoteClosed(
        run="run-1", seq=5, time=time, winner=winner, turnout=turnout, decision=decision, dissent=dissent
    )  # fmt: skip


def decide(time: float, winner: str | None, by: str = "vote", *, decision: str = "decision-1") -> AnyEvent:
    return VoteDecided(run="run-1", seq=6, time=time, winner=winner, decision=decision, by=by, why="")


def read(*events: AnyEvent) -> list[Vote]:
    return [fact.vote for fact in read_facts([*HEAD, *events]) if fact.vote is not None]


def test_a_decision_takes_from_its_first_ballot_to_its_end() -> None:
    """The second ballot is the one that counts; the first one took its time, too."""
    first = [open_vote(110), cast("x", "a"), cast("y", "b"), close(112, None, turnout=2 / 3)]
    second = [open_vote(113, number=2), cast("x", "a"), cast("y", "a"), cast("z", "b"), close(114, "a", "z")]
    assert read(*first, *second, decide(115, "a")) == [Vote(5, "vote", 1.0, 2 / 3)]


def test_agreement_goes_by_weight() -> None:
    """Who abstains agrees with nobody, and a reason that says so is none."""
    votes = [open_vote(110, weights=(3, 1, 5)), cast("x", "a"), cast("y", "b"), cast("z", ""), close(111, "a", "y")]
    assert read(*votes, decide(112, "a")) == [Vote(2, "vote", 1.0, 0.75)]


@pytest.mark.parametrize(("by", "shown"), [("arbiter", "arbiter"), ("none", "none"), ("bob said so", "none")])
def test_what_no_vote_decided_has_no_agreement(by: str, shown: str) -> None:
    votes = [open_vote(110), cast("x", "a"), close(111, None, turnout=1 / 3)]
    assert read(*votes, decide(112, "a", by)) == [Vote(2, shown, 1 / 3, None)]


def test_people_may_take_their_time() -> None:
    """A run that waits for somebody rests; one that lost its process does not."""
    rest: list[AnyEvent] = [
        RunWaiting(run="run-1", seq=6, time=120, reason="input"),
        RunResumed(run="run-1", seq=7, time=1_120),
        RunWaiting(run="run-1", seq=8, time=1_121, reason="interrupted"),
        RunResumed(run="run-1", seq=9, time=1_131),
    ]
    [vote] = read(open_vote(110), close(115, None), *rest, decide(1_132, "a", "person"))
    assert (vote.seconds, vote.outcome) == (22, "person")


def test_strays_are_no_decisions_and_too_many_are_not_kept() -> None:
    assert read(decide(110, "a"), close(110, "a"), cast("x", "a")) == []
    many = [open_vote(110, decision=f"decision-{number}") for number in range(MAX_VOTES + 5)]
    ends = [decide(111, "a", decision=f"decision-{number}") for number in range(MAX_VOTES + 5)]
    assert len(read(*many, *ends)) == MAX_VOTES


def test_a_scrape_shows_both_and_nobodys_words() -> None:
    """`coordination_consensus_latency` and `democratic_decision_quality`, as Prometheus reads them."""
    tally = Tally(NAMES)
    sink = CountingSink(Meters(NAMES, tally), load_objectives())
    votes = [open_vote(110), cast("x", "a"), cast("y", "b"), close(111, "a", "y"), decide(112, "a")]
    facts: list[Fact] = list(read_facts([*HEAD, *votes]))
    sink.show(Batch(facts=facts))
    sink.meters.count_one("decision_quality", {"measure": "accuracy"}, 1.0)
    text = render(TallyCollector(tally))[0].decode()
    samples = {
        (one.name, *sorted(one.labels.values())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    assert samples["coordination_consensus_latency_seconds_sum", "council", "vote"] == 2
    assert samples["coordination_consensus_latency_seconds_bucket", "1.0", "council", "vote"] == 0
    assert samples["coordination_consensus_latency_seconds_bucket", "2.0", "council", "vote"] == 1
    assert samples["democratic_decision_quality_sum", "agreement"] == 0.5
    assert samples["democratic_decision_quality_count", "turnout"] == 1
    assert samples["democratic_decision_quality_sum", "accuracy"] == 1
    assert samples["quorate_objective_events_total", "consensus", "good"] == 1
    assert "bob" not in text
    assert "decision-1" not in text
