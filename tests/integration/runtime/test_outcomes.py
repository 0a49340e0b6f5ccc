"""Does a runtime learn from what turned out to be true, go by it in the next decision, and show it to a scrape?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate import Agent, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.work import Work
from quorate.agent.replay.exact import replay_exactly
from quorate.assembly import open_runtime
from quorate.council.decide import Backing, council
from quorate.council.decision import Decision
from quorate.council.earned import READ, build_reader, build_trust_tool
from quorate.council.plan import Plan
from quorate.council.trust import Source
from quorate.errors import Conflict, NotFound, UnknownName
from quorate.events import VoteOpened
from quorate.models.feedback import Feedback, FeedbackStore
from quorate.orchestration.patterns.assigning import assigned
from quorate.runtime import Runtime
from quorate.runtime.outcomes import Outcomes
from quorate.settings import Settings

ANN = Source(principal="ann")
OPTIONS = ("disk", "network")
CHOICES = {"ada": "disk", "bob": "network", "eve": "network"}


def build_voters() -> list[AnyAgent]:
    """One who is right and two who are wrong, each time."""
    return [
        Agent(name, model=ScriptedModel([f'{{"choice": "{choice}", "confidence": 0.8}}'] * 10))
        for name, choice in CHOICES.items()
    ]


def build_boards() -> list[AnyAgent]:
    plan = Plan(options=OPTIONS, topic="outage")
    weighted = Plan(options=OPTIONS, topic="outage", rule="weighted", by_trust=True)
    return [
        council("board", build_voters(), plan),
        council("trusting", build_voters(), weighted, backing=Backing(read_weights=build_reader())),
        assigned("team", build_voters()[:2], strategy="first"),
        build_agent("asker", ask_trust, tools=[build_trust_tool(build_reader(), topic="outage")]),
    ]


async def ask_trust(work: Work, task: str) -> str:
    """A procedure that goes by trust."""
    said = await work.call("trust", READ, {"names": ["ada", "bob"]})
    known = msgspec.convert(said.value, dict[str, float])
    return max(known, key=lambda name: known[name])


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    settings = Settings(database=str(tmp_path / "runs.db"))
    async with open_runtime(settings, agents=build_boards(), counts=True) as opened:
        yield opened


async def decide(runtime: Runtime, board: str) -> Decision:
    handle = await runtime.submit("What broke?", agent=board)
    result = await handle.wait()
    assert isinstance(result.output, Decision)
    return result.output


async def read_samples(runtime: Runtime) -> dict[tuple[str, ...], float]:
    assert runtime.watching is not None
    body, _ = await runtime.watching.render()
    return {
        (one.name, *sorted(one.labels.values())): one.value
        for family in text_string_to_metric_families(body.decode())
        for one in family.samples
    }


async def test_what_was_true_moves_trust_and_trust_moves_the_next_decision(runtime: Runtime) -> None:
    """Two who are wrong outvote one who is right, until it is known how often each was. part of rows D13 and D6"""
    outcomes = Outcomes(runtime)
    for _ in range(3):
        first = await decide(runtime, "board")
        assert first.winner == "network"
        report = await outcomes.record(first.id, "disk", source=ANN, reason="it was full")
        assert (report.is_new, report.noted.counted, report.figures.is_right) == (True, 3, False)
    weights = await outcomes.ledger.read_weights(CHOICES, "outage")
    assert 0.05 <= weights["bob"] == weights["eve"] < 0.5 < weights["ada"] <= 0.95
    assert weights["ada"] > weights["bob"] + weights["eve"]
    handle = await runtime.submit("What broke?", agent="trusting")
    result = await handle.wait()
    assert isinstance(result.output, Decision)
    assert result.output.winner == "disk"
    [opened] = [event for event in result.events if isinstance(event, VoteOpened)]
    assert dict(zip(opened.roll, opened.weights, strict=True)) == pytest.approx(weights, abs=1e-3)
    await outcomes.record(result.output.id, "network", source=ANN)
    assert (await outcomes.ledger.read_weights(["ada"], "outage"))["ada"] < weights["ada"]
    again = await replay_exactly(build_boards()[1], result.events)  # weights are those of the opening
    assert again.divergence is None


async def test_decisions_are_measured_and_scraped(runtime: Runtime) -> None:
    """`coordination_consensus_latency` and `democratic_decision_quality` equal what happened."""
    outcomes = Outcomes(runtime)
    decisions = [await decide(runtime, "board") for _ in range(2)]
    for decision, truth in zip(decisions, OPTIONS, strict=True):
        await outcomes.record(decision.id, truth, source=ANN, utilities={"disk": 1.0, "network": 0.0})
        await outcomes.record(decision.id, truth, source=ANN, utilities={"disk": 1.0, "network": 0.0})  # counts once
    samples = await read_samples(runtime)
    latency = "coordination_consensus_latency_seconds_count"
    assert samples[latency, "board", "vote"] == 2
    assert samples["democratic_decision_quality_count", "agreement"] == 2
    assert samples["democratic_decision_quality_sum", "agreement"] == pytest.approx(4 / 3)
    assert samples["democratic_decision_quality_sum", "turnout"] == 2
    assert (
        samples["democratic_decision_quality_count", "accuracy"],
        samples["democratic_decision_quality_sum", "accuracy"],
    ) == (2, 1)
    assert samples["democratic_decision_quality_count", "calibration"] == 2
    assert samples["quorate_objective_events_total", "consensus", "good"] == 2
    report = await outcomes.measure()
    assert report.council is not None
    assert (report.decisions, report.council.share, report.regret) == (2, 0.5, 1.0)
    assert {name: one.share for name, one in report.members.items()} == {"ada": 0.5, "bob": 0.5, "eve": 0.5}
    assert report.calibration_error == pytest.approx(0.3)


async def test_what_is_not_there_or_not_known_is_refused(runtime: Runtime) -> None:
    """Another tenant's decision is none."""
    decision = await decide(runtime, "board")
    with pytest.raises(NotFound, match="There is no decision"):
        await Outcomes(runtime.for_tenant("other")).record(decision.id, "disk", source=ANN)
    with pytest.raises(NotFound, match="There is no decision"):
        await Outcomes(runtime).record("dec-none", "disk", source=ANN)
    with pytest.raises(UnknownName, match="'logs'"):
        await Outcomes(runtime).record(decision.id, "logs", source=ANN)
    await Outcomes(runtime).record(decision.id, "disk", source=ANN)
    with pytest.raises(Conflict, match="it is known that 'disk' was true, as 'ann' said"):
        await Outcomes(runtime).record(decision.id, "network", source=ANN)
    found = await Outcomes(runtime).find(decision.id)
    assert found is not None
    assert found.truth == "disk"
    assert await Outcomes(runtime.for_tenant("other")).find(decision.id) is None


async def test_a_run_is_learned_from_once(runtime: Runtime) -> None:
    """How delegated parts ended, and what people thought of the whole. part of row D13"""
    outcomes = Outcomes(runtime)
    handle = await runtime.submit("How full is the disk?", agent="team")
    await handle.wait()
    said = Feedback(tenant=runtime.tenant, run=handle.id, principal="ann", rating=0.0, labels={"topic": "storage"})
    await FeedbackStore(runtime.store.values, clock=runtime.clock).save(said)
    assert (await outcomes.learn(handle.id, topic="storage")).counted == 2
    assert (await outcomes.learn(handle.id, topic="storage")).known == 2
    weights = await outcomes.ledger.read_weights(["ada", "team", "bob"], "storage")
    assert weights["team"] < weights["bob"] == 0.5 < weights["ada"]
    with pytest.raises(NotFound, match="There is no run"):
        await Outcomes(runtime.for_tenant("other")).learn(handle.id)


async def test_a_procedure_goes_by_what_it_read_the_first_time(runtime: Runtime) -> None:
    """Also when it is replayed after trust has changed. part of row D13"""
    outcomes, boards = Outcomes(runtime), {agent.name: agent for agent in build_boards()}
    for truth, expected in (("network", "bob"), ("disk", "ada")):
        for _ in range(2):
            decision = await decide(runtime, "board")
            await outcomes.record(decision.id, truth, source=Source(principal=f"judge-of-{truth}-{decision.id}"))
        if truth == "disk":
            decision = await decide(runtime, "board")
            await outcomes.record(decision.id, truth, source=ANN)
        handle = await runtime.submit("Whom?", agent="asker")
        result = await handle.wait()
        assert result.output == expected
        assert (await replay_exactly(boards["asker"], result.events)).divergence is None
