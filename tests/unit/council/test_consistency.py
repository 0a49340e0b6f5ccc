"""Is an agent asked just as often as it takes, and is its answer what most samples say?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.council.crashes import end_everywhere

from quorate import Agent, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.agent.replay.exact import replay_exactly
from quorate.council.consistency import (
    ConsistencyReport,
    Sampling,
    consistent,
    estimate_lead,
    plan_batch,
    rank_samples,
)
from quorate.council.judge import judge, write_case
from quorate.council.rubric import Criterion, Rubric
from quorate.council.sameness import rank_keys, rank_numbers, read_key, read_number
from quorate.errors import InvalidInput, UnknownName, UpstreamError
from quorate.models.scripted import After
from quorate.specs import Request

DOWN = UpstreamError("The provider is down.")
KEYS = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=12)


def build_model(said: Sequence[object]) -> ScriptedModel:
    """What it says goes by the number of the try that it is told, as tries run side by side."""

    def answer(request: Request) -> Any:
        number = int(request.messages[-1].text.rpartition("(Try ")[2].split()[0])
        return said[number - 1]

    return ScriptedModel(answer)


async def sample(*said: object, **facts: Any) -> ConsistencyReport:
    facts = {"samples": len(said), **facts}
    agent = consistent("asked-often", Agent("one", model=build_model(said)), sampling=Sampling(**facts))
    result = await agent.run("How much?")
    assert (await replay_exactly(agent, result.events)).divergence is None
    return result.output


def show(found: ConsistencyReport) -> str:
    return " ".join(one.status for one in found.samples)


async def test_the_answer_that_most_samples_give_is_the_answer() -> None:
    found = await sample("Blue.", "red", " BLUE", "green", "blue")
    assert (found.is_decided, found.answer, found.agreement) == (True, "Blue.", 0.6)
    assert show(found) == "agrees differs agrees differs agrees"
    assert found.why == "3 of 5 samples that count say it, 1 the next most frequent answer"


async def test_it_stops_when_the_lead_cannot_be_caught() -> None:
    """Three of five that agree cannot be outvoted: two are never asked for."""
    found = await sample("a", "a", "a", "b", "b")
    assert (found.answer, found.stopped_early, len(found.samples), found.planned) == ("a", True, 3, 5)
    whole = await sample("a", "a", "a", "b", "b", stop_early=False)
    assert (whole.answer, whole.stopped_early, whole.agreement) == ("a", False, 0.6)


async def test_each_try_is_told_its_number_so_that_no_cache_makes_one_of_several() -> None:
    model = build_model(["a", "b", "a"])
    await consistent("c", Agent("one", model=model), sampling=Sampling(samples=3)).run("How much?")
    asked = [request.messages[-1].text for request in model.requests]
    assert len(set(asked)) == 3
    assert all(text.startswith("How much?\n") for text in asked)
    spoken = ScriptedModel(["a", "a"])
    await consistent("c", Agent("one", model=spoken), sampling=Sampling(samples=2)).run('{"question": "q"}')
    texts = [request.messages[-1].text for request in spoken.requests]
    assert len(set(texts)) == 2
    assert [msgspec.json.decode(text) for text in texts] == [{"question": "q"}] * 2


async def test_a_tie_is_no_answer_unless_it_is_declared() -> None:
    found = await sample("b", "a", "a", "b")
    assert (found.is_decided, found.answer) == (False, None)
    assert "there is a tie" in found.why
    first = await sample("b", "a", "a", "b", tie="first")
    assert (first.is_decided, first.answer) == (True, "a")  # it was the first to have two
    numbers = await sample("1", "9", "9", "1", tie="first", same="number")
    assert numbers.answer == 9


async def test_what_fails_or_cannot_be_read_does_not_count() -> None:
    found = await sample("7", DOWN, "about seven", "7.0", "8", same="number")
    assert (found.answer, show(found)) == (7.0, "agrees absent unreadable agrees differs")
    few = await sample("7", DOWN, "no idea", DOWN, "7", same="number", quorum=0.6)
    assert (few.is_decided, few.answer) == (False, None)
    assert "the quorum is 3" in few.why
    none = await sample(DOWN, DOWN, quorum=0.0)
    assert (none.is_decided, none.agreement, none.why) == (False, 0.0, "no sample gave an answer that counts")


async def test_a_sample_that_hangs_is_absent() -> None:
    agent = consistent("c", Agent("one", model=ScriptedModel([After(3_600, "a")])), timeout_s=0.05)
    found = (await agent.run("x")).output
    assert not found.is_decided
    assert all(one.status == "absent" for one in found.samples)


async def test_enough_must_say_the_same_where_that_is_declared() -> None:
    assert (await sample("a", "a", "b", "c", "d")).answer == "a"
    found = await sample("a", "a", "b", "c", "d", least=0.6)
    assert not found.is_decided
    assert found.why == "2 of 5 samples that count say the same, and 3 are needed"
    hopeless = await sample("a", "b", "c", "d", "a", least=0.8)
    assert hopeless.stopped_early
    assert not hopeless.is_decided


async def test_answers_are_compared_by_one_field_or_by_a_function() -> None:
    said = ['{"thoughts": "x", "n": 1}', '{"n": 2}', '{"thoughts": "y", "n": 1.0}']
    assert (await sample(*said, same="number", field="n")).answer == 1
    assert (await sample('{"m": 1}', *said[:1], same="number", field="n", quorum=0.5)).samples[0].reason
    found = await sample('{"b": 1, "a": [2]}', '```json\n{"a": [2.0], "b": 1}\n```', "[]", same="json")
    assert (found.agreement, found.answer, len(found.samples)) == (1.0, {"b": 1, "a": [2]}, 2)

    def read_colour(output: object) -> str:
        if "blue" not in str(output):
            raise ValueError("no colour")
        return "blue"

    found = await sample("light blue", "blue!", "I cannot", same=read_colour)
    assert (found.answer, show(found)) == ("light blue", "agrees agrees")
    found = await sample("light blue", "no", "dark blue", same=read_colour)
    assert (found.answer, show(found)) == ("light blue", "agrees unreadable agrees")


@pytest.mark.parametrize(
    ("values", "tolerance", "count", "rival", "answer"),
    [
        ([1.0, 1.0, 2.0], 0.0, 2, 1, 1.0),
        ([1.0, 1.4, 1.8, 2.2], 0.5, 2, 2, 1.0),  # a chain is no group
        ([1.0, 1.4, 1.8, 9.0], 1.0, 3, 1, 1.4),
        ([3.0], 0.0, 1, 0, 3.0),
    ],
)
def test_numbers_belong_together_within_one_tolerance(
    values: list[float], tolerance: float, count: int, rival: int, answer: float
) -> None:
    for order in (values, values[::-1]):
        found = rank_numbers(order, tolerance)
        assert (found.count, found.rival, order[found.answer]) == (count, rival, answer)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("42", 42), (" 1,234.5 ", 1234.5), ("-3.", -3), ("1e3", 1000), (7, 7), ("12,34", None), ("about 12", None),
        ("nan", None), ("inf", None), ("1_000", None), (True, None), ("", None), ("9" * 400, None), (10**400, None),
        ("1e999", None), ([1], None), ("9007199254740993", None), ("9007199254740992", 2**53), ("+5", 5), ("--5", None),
    ],
)  # fmt: skip
def test_a_number_is_text_that_is_one_and_nothing_else(said: object, value: float | None) -> None:
    if value is None:
        with pytest.raises(InvalidInput):
            read_number(said)
    else:
        assert read_number(said) == value


def test_text_is_the_same_whatever_its_case_and_white_space() -> None:
    assert read_key("  The disk.\n", "text") == read_key("the  DISK", "text")
    assert read_key("a ", "exact") != read_key("A", "exact")
    assert read_key({"b": 1.0, "a": 2}, "text") == read_key('{"a":2,"b":1}', "text")
    for empty in ("", " . "):
        with pytest.raises(InvalidInput, match="it is empty"):
            read_key(empty, "text")
    with pytest.raises(InvalidInput, match="deeper than 64"):
        read_key("[" * 100 + "]" * 100, "json")


@given(KEYS, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 0.8]))
def test_to_stop_early_never_changes_the_answer(keys: list[str | None], quorum: float, least: float) -> None:
    """Asked in the batches that are planned, the same leads as when all are asked."""
    whole = Sampling(samples=len(keys), quorum=quorum, least=least)
    seen = 0
    while batch := plan_batch(whole, keys[:seen]):
        seen += batch
    assert seen <= len(keys)
    early, late = rank_samples(whole, keys[:seen]), rank_samples(whole, keys)
    good = sum(key is not None for key in keys)
    if late.count > late.rival and late.count >= max(1, least * len(keys)) and good >= quorum * len(keys):
        assert keys[early.answer] == keys[late.answer]
        assert early.count > early.rival


@given(st.lists(st.floats(0, 10), min_size=1, max_size=10), st.floats(0, 3))
def test_the_leading_number_is_within_the_tolerance_whatever_comes_later(values: list[float], tolerance: float) -> None:
    sampling = Sampling(samples=len(values), same="number", tolerance=tolerance, quorum=0.0)
    seen = 0
    while batch := plan_batch(sampling, values[:seen]):
        seen += batch
    early, late = rank_samples(sampling, values[:seen]), rank_samples(sampling, values)
    if seen < len(values):
        assert abs(values[early.answer] - values[late.answer]) <= tolerance
        assert late.count > late.rival or tolerance


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter_but_in_a_tie(keys: list[str], chance: random.Random) -> None:
    found, mixed = rank_keys(keys), [*keys]
    chance.shuffle(mixed)
    other = rank_keys(mixed)
    assert (found.count, found.rival) == (other.count, other.rival)
    if found.count > found.rival:
        assert keys[found.answer] == mixed[other.answer]


def test_the_beta_rule_is_that_of_the_paper() -> None:
    """The chance that Beta(v1 + 1, v2 + 1) is more than a half; 4 to 0 is the first that is more than 0.95."""
    assert estimate_lead(0, 0) == 0.5
    assert estimate_lead(3, 0) == 15 / 16
    assert estimate_lead(4, 0) == 31 / 32
    sampling = Sampling(samples=40, confidence=0.95, quorum=0.0)
    assert plan_batch(sampling, []) == 4
    assert plan_batch(sampling, ["a"] * 4) == 0
    assert plan_batch(sampling, ["a", "b"]) > 0


async def test_it_comes_to_the_same_end_wherever_it_was_cut_off() -> None:
    def build() -> AnyAgent:
        return consistent("c", Agent("one", model=build_model(["a", "b", DOWN, "a", "a"])))

    found = await end_everywhere(build, "x")
    assert isinstance(found, ConsistencyReport)
    assert found.answer == "a"


async def test_a_judge_can_be_asked_several_times_like_any_other_agent() -> None:
    """Its task is JSON, and stays so; each sample is a run of its own, below the one that asks."""

    def build() -> AnyAgent:
        marks = {"true": {"reason": "x", "evidence": ["full"], "score": 5}}
        one = Agent("one", model=ScriptedModel(lambda _: msgspec.json.encode({"marks": marks}).decode()))
        rubric = Rubric(criteria=(Criterion(name="true", question="Is it?"),))
        return consistent("sure", judge("judged", [one], rubric), sampling=Sampling(samples=3, field="passed"))

    found = await end_everywhere(build, write_case("Why?", "The disk is full."), every=5)
    assert isinstance(found, ConsistencyReport)
    assert (found.answer, found.stopped_early) == (True, True)


def test_sampling_that_cannot_be_is_refused() -> None:
    agent = Agent("one", model=ScriptedModel([]))
    nan = float("nan")
    for facts in (
        {"samples": 0}, {"samples": 101}, {"tolerance": -1.0, "same": "number"}, {"tolerance": 1.0},
        {"tolerance": nan, "same": "number"}, {"confidence": 0.5}, {"confidence": nan}, {"quorum": nan}, {"least": 2.0},
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            consistent("c", agent, sampling=Sampling(**facts))  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="number"):
        consistent("c", agent, sampling=Sampling(same="numbers"))  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="refuse"):
        consistent("c", agent, sampling=Sampling(tie="any"))  # type: ignore[arg-type]
