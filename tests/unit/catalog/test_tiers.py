"""Does an agent's tier change how it works: its model, its limits, whom it asks, and who takes over from it?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.catalog.files import build_text, write

from quorate import Agent, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.replay.exact import replay_exactly
from quorate.catalog.definition import Tier
from quorate.catalog.escalate import build_escalating, find_escalations
from quorate.catalog.load import Catalog, load_catalog
from quorate.catalog.tiers import find_model_class, load_tiers, may_ask, may_hand_up, read_tier
from quorate.errors import InvalidFiles, UnknownName, UpstreamError
from quorate.models.playbook.report import Diagnosis
from quorate.models.scripted import Answer
from quorate.specs import Limits

TIERS: tuple[Tier, ...] = ("core", "specialist", "task", "business")


def write_tier(directory: Path, name: str, tier: str, *, more: str = "", up: str = "") -> None:
    """An agent of a tier; `up` is who takes over."""
    text = build_text(name, more).replace('tier = "core"', f'tier = "{tier}"')
    write(directory, name, text + (f"\n## Hand over\n\n- Up to `{up}`: when it cannot\n" if up else ""))


def load(directory: Path) -> Catalog:
    """Without those that are built in."""
    return load_catalog([directory], builtin=None)


@pytest.mark.parametrize(
    ("tier", "model", "limits"),
    [
        ("core", "reasoning", Limits(steps=30, seconds=900, tool_calls=120)),
        ("specialist", "standard", Limits(steps=15, seconds=300, tool_calls=60)),
        ("task", "small", Limits(steps=8, seconds=120, tool_calls=30)),
        ("business", "standard", Limits(steps=15, seconds=300, tool_calls=60)),
    ],
)
def test_a_tier_decides_what_a_file_leaves_open(tmp_path: Path, tier: str, model: str, limits: Limits) -> None:
    """The model and the limits; what the file says goes first. part of row D3"""
    write_tier(tmp_path, "plain", tier)
    write_tier(tmp_path, "own", tier, more='model = "large"\n[limits]\nsteps = 3')
    catalog = load(tmp_path)
    plain, own = catalog.get("plain"), catalog.get("own")
    assert (find_model_class(plain), plain.limits) == (model, limits)
    assert find_model_class(own) == "large"
    assert (own.limits.steps, own.limits.seconds) == (3, limits.seconds)


@pytest.mark.parametrize("asking", TIERS)
@pytest.mark.parametrize("asked", TIERS)
def test_who_may_ask_whom(tmp_path: Path, asking: Tier, asked: Tier) -> None:
    """Down, and among those that lead; a file that asks above itself is refused with its line. part of row D3"""
    write_tier(tmp_path, "helper", asked)
    write_tier(tmp_path, "user", asking, more='tools = ["agent:helper"]')
    if may_ask(asking, asked):
        assert load(tmp_path).get("user").delegates == ("helper",)
        return
    with pytest.raises(InvalidFiles, match=rf"user\.md:8: a {asking} agent may ask .*, and 'helper' is {asked}; hand"):
        load(tmp_path)


@pytest.mark.parametrize("lower", TIERS)
@pytest.mark.parametrize("higher", TIERS)
def test_work_goes_up(tmp_path: Path, lower: Tier, higher: Tier) -> None:
    """From a task to a specialist or a lead, from a specialist to a lead, and never down. part of row D3"""
    write_tier(tmp_path, "above", higher)
    write_tier(tmp_path, "below", lower, up="above")
    if may_hand_up(lower, higher):
        assert load(tmp_path).look_at("below").escalates_to == "above"
        return
    with pytest.raises(InvalidFiles, match=rf"below\.md:13: `## Hand over`: a {lower} agent goes up to .* is {higher}"):
        load(tmp_path)


def test_work_does_not_go_up_in_a_circle(tmp_path: Path) -> None:
    """Tiers forbid it already; a broken table of tiers would not."""
    assert not any(may_hand_up(tier, tier) for tier in TIERS)
    order = {"core": 0, "specialist": 1, "business": 2, "task": 2}
    assert all(order[up] < order[tier] for tier, rule in load_tiers().items() for up in rule.hands_up_to)


def test_other_systems_names_are_understood() -> None:
    """At the edge; an unknown one is refused with what there is."""
    assert [read_tier(name) for name in ("core", "tier_1_core", "tier_4_business_domain")] == [
        "core",
        "core",
        "business",
    ]
    with pytest.raises(UnknownName, match=r"There is no tier 'tier_5'"):
        read_tier("tier_5")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Three rungs."""
    write_tier(tmp_path, "clerk", "task", up="expert")
    write_tier(tmp_path, "expert", "specialist", up="chief")
    write_tier(tmp_path, "chief", "core")
    return load(tmp_path)


def build_ladder(catalog: Catalog, **says: Answer) -> AnyAgent:
    """The chain of the clerk, each with what it says."""
    kinds = {"expert": Diagnosis}

    def find_agent(name: str) -> AnyAgent:
        return Agent(name, model=ScriptedModel([says[name]]), output_type=kinds.get(name, str))

    return build_escalating("ladder", find_escalations(catalog, "clerk"), find_agent=find_agent)


def test_a_chain_goes_from_a_task_to_a_lead(catalog: Catalog) -> None:
    """And begins with whoever is asked. part of row D3"""
    assert find_escalations(catalog, "clerk") == ("clerk", "expert", "chief")
    assert find_escalations(catalog, "expert") == ("expert", "chief")
    assert find_escalations(catalog, "chief") == ("chief",)
    with pytest.raises(UnknownName):
        find_escalations(catalog, "nobody")


async def test_who_can_do_it_does_it(catalog: Catalog) -> None:
    """Nobody above is asked."""
    result = await build_ladder(catalog, clerk="done", expert="", chief="").run("go")
    assert result.output == "done"


async def test_what_fails_goes_up_with_what_came_of_it(catalog: Catalog) -> None:
    """Twice: a failure, then a diagnosis that says it is for somebody else; the record replays. Part of row D3."""
    down = UpstreamError("The provider is down.")
    ladder = build_ladder(catalog, clerk=down, expert='{"applies": false, "summary": "not mine"}', chief="solved")
    result = await ladder.run("go")
    assert result.output == "solved"
    told = str(result.events)
    assert "before, and goes up to you because it says that the task is none for it" in told
    assert "not mine" in told
    assert (await replay_exactly(ladder, result.events)).divergence is None


async def test_one_may_ask_for_somebody_above(catalog: Catalog) -> None:
    """By a field of its answer."""
    ladder = build_ladder(
        catalog, clerk='{"needs_escalation": true}', expert='{"applies": true, "summary": "mine"}', chief=""
    )
    assert '"summary":"mine"' in (await ladder.run("go")).text


async def test_when_nobody_can_all_reasons_are_told(catalog: Catalog) -> None:
    """The run fails, and says what each of them said."""
    down = UpstreamError("The provider is down.")
    with pytest.raises(TeamFailed, match=r"Nobody of clerk, expert, chief could do it: clerk: it failed \("):
        await build_ladder(catalog, clerk=down, expert=down, chief=down).run("go")
