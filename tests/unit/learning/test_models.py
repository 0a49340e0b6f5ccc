"""Is a model trained, kept, promoted, traced and used, and is one that was tampered with refused?"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound, UnknownName
from quorate.events import RunCompleted, RunCreated
from quorate.learning.drift import find_drift
from quorate.learning.examples import Case, Dataset, Example, read_examples
from quorate.learning.model import ModelPredictor, read_model, write_model
from quorate.learning.record import Said, build_dataset
from quorate.learning.registry import Lineage, ModelRegistry
from quorate.learning.train import Training, train
from quorate.messages import Message, Text
from quorate.state.backends.memory import open_memory_store

TOPICS = {
    "network": ("port", "dns", "ping", "refused", "packet", "route"),
    "storage": ("disk", "full", "inode", "mount", "raid", "volume"),
    "logs": ("traceback", "error", "lines", "logfile", "stack", "grep"),
}
COMMON = ("please", "why", "is", "the", "server", "slow", "now", "again")


def draw_text(label: str, chance: random.Random) -> str:
    return " ".join([*chance.choices(COMMON, k=4), *chance.choices(TOPICS[label], k=2)])


def draw_topics(count: int, *, seed: int = 1) -> Dataset:
    chance = random.Random(seed)
    labels = [chance.choice(sorted(TOPICS)) for _ in range(count)]
    return Dataset(source="topics", examples=tuple(Example(label=one, text=draw_text(one, chance)) for one in labels))


def draw_numbers(count: int, *, seed: int = 1, shift: float = 0.0) -> Dataset:
    """What is inside a ring is not told from what is outside by any line."""
    chance = random.Random(seed)
    found: list[Example] = []
    for _ in range(count):
        x, y = chance.gauss(shift, 1), chance.gauss(0, 1)
        found.append(Example(label="in" if x * x + y * y < 1.2 else "out", features={"x": x, "y": y}))
    return Dataset(source="ring", examples=tuple(found))


def test_words_are_learnt_without_a_library() -> None:
    """The model says which it was."""
    training = train(draw_topics(90), sharper=False)
    assert training.metrics["accuracy"] > 0.9
    assert training.metrics["baseline"] < 0.5
    assert training.model.how == "plain Python"
    predictor = ModelPredictor(training.model, name="topics", version=3)
    found = predictor(Case(text="why is the disk full, and no inode left?"))
    assert (found.label, found.version) == ("storage", 3)
    assert found.confidence == max(found.scores.values()) > 0.5
    assert sum(found.scores.values()) == pytest.approx(1.0)
    labels = [one.label for one in predictor.predict_many([Case(text="ping"), Case(text="traceback")])]
    assert labels == ["network", "logs"]


def test_the_same_examples_and_seed_give_the_same_model() -> None:
    """Whatever order they came in makes another digest of nothing but the model."""
    data = draw_topics(40)
    first, again = train(data, sharper=False, seed=4), train(data, sharper=False, seed=4)
    assert write_model(first.model) == write_model(again.model)
    assert data.digest == Dataset(source="x", examples=data.examples[::-1]).digest
    assert data.digest != draw_topics(60, seed=2).digest


def build_lineage(data: Dataset, training: Training, *parents: int) -> Lineage:
    return Lineage(
        data=data.digest,
        source=data.source,
        examples=len(data.examples),
        algorithm=training.algorithm,
        parameters=training.parameters,
        how=training.model.how,
        code="0.1.0",
        parents=parents,
    )


async def test_a_model_goes_from_training_to_use_and_is_watched() -> None:
    """Registered, promoted, its lineage traced, predicted with, and drift flagged on shifted data alone. row: A20"""
    data = draw_numbers(200)
    training = train(data, sharper=False)
    async with open_memory_store() as store:
        registry = ModelRegistry(store.values, store.blobs, tenant="acme")
        one = await registry.register("ring", training, build_lineage(data, training), by="ann")
        two = await registry.register("ring", training, build_lineage(data, training, one.version))
        assert (one.version, two.version, one.digest == two.digest) == (1, 2, True)
        with pytest.raises(NotFound):
            await registry.load("ring")
        await registry.promote("ring", 1, "production", by="ann", reason="first")
        await registry.promote("ring", 2, "staging")
        stages = await registry.promote("ring", 2, "production", at_least={"accuracy": 0.5})
        assert stages.current == {"staging": 2, "production": 2}
        assert [(one.version, one.before, one.by) for one in stages.changes if one.stage == "production"] == [
            (1, 0, "ann"),
            (2, 1, "local"),
        ]
        assert [one.version for one in await registry.trace("ring", "production")] == [2, 1]
        predictor = await registry.load("ring")
        found = predictor(Case(features={"x": 0.0, "y": 0.1}))
        assert (found.model, found.version, found.label) == ("ring", 2, "in")
        reference = predictor.model.reference
        same, shifted = draw_numbers(200, seed=2), draw_numbers(200, seed=2, shift=1.0)
        assert not find_drift(reference, [example.case for example in same.examples]).drifted
        assert find_drift(reference, [example.case for example in shifted.examples]).moves[0].what == "x"
        rolled = await registry.promote("ring", 1, "production", reason="worse")
        assert rolled.current["production"] == 1
        assert await ModelRegistry(store.values, store.blobs, tenant="beta").list_versions() == []


async def test_bytes_that_are_not_those_that_were_registered_are_refused() -> None:
    """Changed, cut or gone: such a model is neither used nor promoted."""
    data = draw_topics(60)
    training = train(data, sharper=False, algorithm="bayes")
    async with open_memory_store() as store:
        registry = ModelRegistry(store.values, store.blobs)
        record = await registry.register("topics", training, build_lineage(data, training))
        place = f"default/learning/{record.digest}"
        good = write_model(training.model)
        for bad in (good.replace(b'"logs"', b'"logz"'), good[:-1], b""):

            async def give(bad: bytes = bad) -> AsyncIterator[bytes]:
                yield bad

            await store.blobs.put(place, give())
            with pytest.raises(CorruptState, match="not those that were registered"):
                await registry.load("topics", 1)
            with pytest.raises(CorruptState):
                await registry.promote("topics", 1, "production")
        await store.blobs.delete(place)
        with pytest.raises(CorruptState, match="cannot be read"):
            await registry.load("topics", "latest")
        assert (await registry.read_stages("topics")).current == {}


async def test_two_who_register_at_once_get_versions_of_their_own() -> None:
    """None is lost, and what contradicts itself is refused."""
    data = draw_topics(40)
    training = train(data, sharper=False, algorithm="bayes")
    async with open_memory_store() as store:
        registry = ModelRegistry(store.values, store.blobs)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(registry.register("m", training, build_lineage(data, training))) for _ in range(5)
            ]
        assert sorted(task.result().version for task in tasks) == [1, 2, 3, 4, 5]
        with pytest.raises(InvalidInput, match="it is not promoted"):
            await registry.promote("m", 1, "production", at_least={"accuracy": 1.1})
        with pytest.raises(UnknownName, match="Did you mean `production`"):
            await registry.promote("m", 1, "prod")
        with pytest.raises(UnknownName, match="metric"):
            await registry.promote("m", 1, "production", at_least={"accurazy": 0.1})
        with pytest.raises(NotFound):
            await registry.register("m", training, build_lineage(data, training, 9))
        with pytest.raises(InvalidInput, match="model name"):
            await registry.get("../m", 1)
        entry = await store.values.get("learning/default/stage/m")
        assert entry is None
        await registry.promote("m", 1, "production")
        with pytest.raises(Conflict):
            await store.values.put("learning/default/stage/m", b"{}", if_revision=0)


def test_a_model_that_does_not_hold_together_is_refused() -> None:
    """No text becomes code, no tree leads in a circle, no list is read outside its bounds."""
    good = json.loads(write_model(train(draw_topics(40), sharper=False, algorithm="bayes").model))
    leaf = {"columns": [0], "limits": [0.0], "left": [-1], "right": [-1], "shares": [[0.3, 0.3, 0.4]]}
    circle = {"columns": [0, 0], "limits": [0, 0], "left": [1, 0], "right": [1, 0], "shares": [[], []]}
    for change, said in (
        ({"format": 2}, "format 2"),
        ({"labels": ["a"]}, "2 different labels"),
        ({"classifier": {"kind": "pickle", "data": "gASV"}}, "This is no model"),
        ({"classifier": {"kind": "forest", "trees": []}}, "no trees"),
        ({"classifier": {"kind": "forest", "trees": [circle]}}, "leads back"),
        ({"classifier": {"kind": "forest", "trees": [{**leaf, "shares": [[1.0]]}]}}, "a share for each label"),
        ({"classifier": {"kind": "forest", "trees": [{**leaf, "left": [1], "right": [1]}]}}, "out of its tree"),
        ({"classifier": {"kind": "logistic", "intercepts": [0.0], "weights": [{}]}}, "a row of weights"),
        ({"encoding": {**good["encoding"], "rarity": []}}, "not of one length"),
    ):
        with pytest.raises(InvalidInput, match=said):
            read_model(json.dumps({**good, **change}).encode())
    with pytest.raises(InvalidInput, match="nests deeper"):
        read_model(b"[" * 500)


def test_examples_are_read_line_by_line() -> None:
    """What is none is told with its line; nothing to learn is no model."""
    data = read_examples(['{"label": "a", "text": "x"}', "", '{"label": "b", "features": {"x": 1}}'], source="f")
    assert (len(data.examples), data.labels) == (2, ("a", "b"))
    for line, said in (
        ('{"text": "x"}', "missing required field"),
        ('{"label": "a", "oops": 1}', "unknown field"),
        ("[", "f:1"),
    ):
        with pytest.raises(InvalidInput, match=said):
            read_examples([line], source="f")
    with pytest.raises(InvalidInput, match="Expected `float` <= "):
        read_examples(['{"label": "a", "features": {"x": 1e16}}'], source="f")
    with pytest.raises(InvalidInput, match="no number, or above 1e15"):
        train(Dataset(source="f", examples=(Example(label="a", features={"x": float("nan")}),)))
    with pytest.raises(InvalidInput, match="at least 2 labels are needed"):
        train(Dataset(source="f", examples=data.examples[:1]))
    with pytest.raises(InvalidInput, match="one example only of 'a', 'b'"):
        train(data)
    odd = [Example(label=one, text="same") for one in "ab"] + [Example(label=one, text="other") for one in "ab"]
    with pytest.raises(UnknownName, match="bayes"):
        train(Dataset(source="f", examples=tuple(odd)), algorithm="bays")


def build_run(run: str, agent: str, text: str) -> list[RunCreated | RunCompleted]:
    message = Message(role="user", parts=(Text(text=text),))
    return [
        RunCreated(run=run, seq=1, time=1.0, agent=agent, messages=(message,)),
        RunCompleted(run=run, seq=2, time=3.5, output="x"),
    ]


def test_the_record_and_what_people_said_make_examples() -> None:
    """Routing learns from what went well and from corrections; ratings from what was rated; nothing from the rest."""
    runs = [build_run(f"run-{at}", "net", f"request {at}") for at in range(4)]
    runs.append(build_run("run-open", "net", "x")[:1])  # type: ignore[arg-type]
    said = [
        Said(run="run-1", rating=0.0),
        Said(run="run-2", rating=0.0, agent="disks"),
        Said(run="run-3", rating=1.0),
        Said(run="run-3", rating=0.6),
    ]
    routing = build_dataset(runs, said, task="routing")  # type: ignore[arg-type]
    assert {example.source: example.label for example in routing.examples} == {
        "run-0": "net",
        "run-2": "disks",
        "run-3": "net",
    }
    rating = build_dataset(runs, said, task="rating")  # type: ignore[arg-type]
    assert [(example.label, example.features["seconds"]) for example in rating.examples] == [
        ("bad", 2.5),
        ("bad", 2.5),
        ("good", 2.5),
    ]
    assert {example.label for example in build_dataset(runs, said, task="outcome").examples} == {"completed"}  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="routing"):
        build_dataset(runs, said, task="route")  # type: ignore[arg-type]


def test_numbers_that_are_missing_count_as_usual() -> None:
    """A case may lack what the model knows, and have what it does not."""
    predictor = ModelPredictor(train(draw_numbers(80), sharper=False, algorithm="bayes").model)
    assert predictor(Case(features={"z": 1e300})).scores == pytest.approx(predictor(Case()).scores)
    far = predictor(Case(features={"x": 1e300, "y": float("inf")}))
    assert sum(far.scores.values()) == pytest.approx(1.0)
    assert structs.asdict(predictor(Case(text="words it never saw")))["label"] in ("in", "out")
