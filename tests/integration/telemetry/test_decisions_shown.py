"""Do figures of decisions reach a receiver and a scrape over real connections?"""

from __future__ import annotations

import asyncio
import logging
import re
import urllib.request

import pytest
from tests.integration.telemetry.receivers import http_receiver, read_attributes

from quorate.events import AnyEvent, RunCreated, RunStarted, VoteCast, VoteClosed, VoteDecided, VoteOpened
from quorate.telemetry.counting import CountingSink
from quorate.telemetry.describe import Describer
from quorate.telemetry.meters import Meters
from quorate.telemetry.names import load_names
from quorate.telemetry.objectives import load_objectives
from quorate.telemetry.otel import Receiver, build_sink, open_receiver
from quorate.telemetry.prometheus import TallyCollector, serve_metrics
from quorate.telemetry.tally import Tally
from quorate.telemetry.watcher import Watcher, open_watcher

NAMES = load_names()
QUESTION = "Is it bob's fault?"
EVENTS: list[AnyEvent] = [
    RunCreated(run="run-1", seq=1, time=100, agent="board", messages=()),
    RunStarted(run="run-1", seq=2, time=100),
    VoteOpened(
        run="run-1", seq=3, time=101, question=QUESTION, options=("yes", "no"), roll=("a", "b"), rule="majority", quorum=0.5,
        decision="dec-1",
    ),
    VoteCast(run="run-1", seq=4, time=102, voter="a", choice="yes", reason="bob did it", decision="dec-1"),
    VoteCast(run="run-1", seq=5, time=102, voter="b", choice="yes", decision="dec-1"),
    VoteClosed(run="run-1", seq=6, time=103, winner="yes", turnout=1.0, decision="dec-1"),
    VoteDecided(run="run-1", seq=7, time=104, winner="yes", decision="dec-1", by="vote", why="bob"),
]  # fmt: skip


async def never(seconds: float) -> None:
    await asyncio.Event().wait()


async def find_before(run: str) -> list[AnyEvent]:
    return []


async def test_figures_of_decisions_are_sent_and_scraped(caplog: pytest.LogCaptureFixture) -> None:
    """Under the names that were promised, with labels of ours alone. part of row A9"""
    caplog.set_level(logging.INFO, "quorate.telemetry")
    async with http_receiver() as received:
        tally = Tally(NAMES)
        counting = CountingSink(Meters(NAMES, tally), load_objectives())
        sink = build_sink(counting, tally, version="1", exporters=open_receiver(Receiver(endpoint=received.url)))
        watcher = Watcher(sink, Describer(NAMES), find_before=find_before, sleep=never)
        async with open_watcher(watcher):
            watcher.note(EVENTS)
            await watcher.flush()
            close = await asyncio.to_thread(serve_metrics, TallyCollector(tally), host="127.0.0.1", port=0)
            try:
                place = re.search(r"http://127\.0\.0\.1:\d+/metrics", caplog.text)
                assert place is not None
                text = await asyncio.to_thread(scrape, place[0])
            finally:
                await asyncio.to_thread(close)
        [latency] = received.find_points("coordination.consensus.latency")
        assert (latency.count, latency.sum) == (1, 3)
        assert read_attributes(latency.attributes) == {"gen_ai.agent.name": "board", "quorate.outcome": "vote"}
        measures = {
            str(read_attributes(point.attributes)["quorate.measure"]): point.sum
            for point in received.find_points("democratic.decision.quality")
        }
        assert measures == {"turnout": 1, "agreement": 1}
        labels = 'gen_ai_agent_name="board",quorate_outcome="vote"'
        assert f"coordination_consensus_latency_seconds_sum{{{labels}}} 3.0" in text
        assert 'democratic_decision_quality_count{quorate_measure="agreement"} 1.0' in text
        assert "bob" not in text + str(received.metrics)


def scrape(place: str) -> str:
    with urllib.request.urlopen(place, timeout=30) as answer:
        return str(answer.read(), "utf-8")
