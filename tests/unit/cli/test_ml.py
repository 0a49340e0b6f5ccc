"""Does `quorate ml` train on files and on the record, promote, predict and watch?"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.unit.cli.typist import Typed, type_at

from quorate.cli.ml import add_commands
from quorate.events import RunCompleted, RunCreated, RunStarted
from quorate.messages import Message, Text
from quorate.models.feedback import Feedback, FeedbackStore
from quorate.state.backends.sqlite import open_sqlite_store

pytestmark = pytest.mark.blocking


@pytest.fixture
def learn(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Typed:
    """Type a command at a database of its own."""
    return type_at(tmp_path, "ml", add_commands, capture=capfdbinary, patch=monkeypatch)


def write_examples(path: Path, *, moved: float = 0.0) -> None:
    rows = [
        {"label": "high" if at % 2 else "low", "features": {"x": (at % 2) * 4 + at % 7 / 7 + moved}} for at in range(60)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))


def test_a_model_is_trained_promoted_used_and_watched(learn: Typed, tmp_path: Path) -> None:
    """From a file; drift is an exit code. part of row A20"""
    write_examples(tmp_path / "a.jsonl")
    write_examples(tmp_path / "moved.jsonl", moved=1.5)
    assert "There are no models" in learn("list").out
    done = learn("train", "level", "--data", "a.jsonl", "--algorithm", "bayes")
    assert "Version 1 of level: 100.0 % right" in done.out
    assert learn("predict", "level", "--feature", "x=4").code == 2
    assert learn("promote", "level", "1", "production", "--at-least", "accuracy=0.9").out.startswith(
        "level: version 1 is"
    )
    found = learn("predict", "level", "--feature", "x=4.2", "--json").json
    assert (found["label"], found["version"]) == ("high", 1)
    assert learn("drift", "level", "--data", "a.jsonl").code == 0
    moved = learn("drift", "level", "--data", "moved.jsonl", "--json")
    assert (moved.code, moved.json["drifted"]) == (1, True)
    assert learn("train", "level", "--data", "a.jsonl", "--algorithm", "bayes", "--json").json["version"] == 2
    shown = learn("show", "level", "--json").json
    assert [one["version"] for one in shown["lineage"]] == [2, 1]  # type: ignore[index]
    assert "follows" in learn("show", "level").out
    (row,) = [line for line in learn("list").out.splitlines() if "production" in line]
    assert row.split()[:3] == ["level", "1", "production"]


def test_routing_is_learnt_from_the_record_and_what_people_said(learn: Typed, tmp_path: Path) -> None:
    """Runs that went well, and corrections; the model then tells which agent a request is for."""

    async def record() -> None:
        async with open_sqlite_store(tmp_path / "quorate.db") as store:
            for at in range(24):
                run, words = f"run-{at:03d}", "the disk is full" if at % 2 else "the port is closed"
                message = Message(role="user", parts=(Text(text=words),))
                agent = "network" if at < 2 or not at % 2 else "storage"
                events = [
                    RunCreated(run=run, seq=1, time=1.0, agent=agent, messages=(message,)),
                    RunStarted(run=run, seq=2, time=1.0),
                    RunCompleted(run=run, seq=3, time=2.0, output="x"),
                ]
                await store.log.append(run, events, expected=0)
            said = Feedback(tenant="default", run="run-001", rating=0.0, labels={"agent": "storage"})
            await FeedbackStore(store.values).save(said)

    asyncio.run(record())
    done = learn("train", "router", "--task", "routing", "--algorithm", "bayes", "--json")
    assert (done.json["lineage"]["examples"], done.json["metrics"]["accuracy"]) == (24, 1.0)  # type: ignore[index]
    assert learn("predict", "router", "--version", "latest", "--text", "my disk", "--json").json["label"] == "storage"


def test_orders_that_cannot_be_followed_are_refused(learn: Typed, tmp_path: Path) -> None:
    """In words, with exit code 2."""
    write_examples(tmp_path / "a.jsonl")
    for words, said in (
        (("train", "m"), "give `--data FILE` or `--task TASK`"),
        (("train", "m", "--task", "route"), "There is no task 'route'"),
        (("train", "m", "--data", "gone.jsonl"), "cannot be read"),
        (("train", "M!", "--data", "a.jsonl", "--algorithm", "bayes"), "model name 'M!' is not an identifier"),
        (("predict", "m"), "There is no case"),
        (("predict", "m", "--feature", "x=abc"), "is no number"),
        (("predict", "m", "--feature", "x=1", "--version", "prod"), "There is no version or stage 'prod'"),
        (("promote", "m", "1", "production"), "There is no version 1 of model 'm'"),
    ):
        done = learn(*words)
        assert (done.code, said in done.out) == (2, True), done
