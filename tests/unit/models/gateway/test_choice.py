"""Is the model that is asked first the one the rule means, and is the reason said?"""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.models.gateway.samples import REQUEST, Actor, World, ask

from quorate.errors import InvalidInput, TooLarge
from quorate.messages import File, Image, Message, ToolResult, build_user_message
from quorate.models.choice import Candidate, Chooser
from quorate.models.cost import Price
from quorate.models.fitness import build_route_profile
from quorate.models.health import Health
from quorate.models.routes import Canary, Member, RouteRule, list_targets
from quorate.specs import Caller, ModelProfile, ModelSettings, OutputSpec, Request, ToolSpec


def one(
    name: str, *, price: float | None = None, weight: float = 1.0, quality: float | None = None, **facts: object
) -> Candidate:
    world = World()
    return Candidate(
        Actor(name=name, **facts),
        health=Health(name, monotonic=world.read),
        price=None if price is None else Price(input=price, output=price),
        member=Member(model=name, weight=weight, quality=quality),
    )


def choose(*candidates: Candidate, **rule: object) -> Chooser:
    full = RouteRule(name="r", models=tuple(c.name for c in candidates), **rule)  # type: ignore[arg-type]
    return Chooser(full, candidates, random=lambda: 0.5)


def name_order(chooser: Chooser, request: Request = REQUEST) -> list[str]:
    return [candidate.name for candidate in chooser.order(request)[0]]


def test_the_order_of_the_route_is_kept() -> None:
    chooser = choose(one("a:1"), one("b:2"), one("c:3"))
    assert name_order(chooser) == ["a:1", "b:2", "c:3"]
    assert chooser.order(REQUEST)[1] == "first of the route"


def test_the_cheapest_for_this_request_comes_first() -> None:
    """A model whose price nobody knows comes last. row: C16"""
    chooser = choose(one("a:1", price=5.0), one("b:2"), one("c:3", price=0.5), choose="price")
    assert name_order(chooser) == ["c:3", "a:1", "b:2"]
    assert chooser.order(REQUEST)[1] == "cheapest"


def test_the_price_is_that_of_the_request_and_not_of_a_token() -> None:
    """Much to read and little to write is cheap at another model than the other way round."""
    reader, writer = one("a:reader", price=1.0), one("b:writer", price=1.0)
    reader.price, writer.price = Price(input=1, output=50), Price(input=5, output=5)
    chooser = choose(reader, writer, choose="price")
    long = Request(messages=(build_user_message("word " * 40_000),), settings=ModelSettings(max_tokens=10))
    short = Request(messages=(build_user_message("Hi"),), settings=ModelSettings(max_tokens=4000))
    assert name_order(chooser, long)[0] == "a:reader"
    assert name_order(chooser, short)[0] == "b:writer"


def test_the_quickest_by_what_was_measured_comes_first() -> None:
    """And the choice follows when that changes. row: C16"""
    slow, quick = one("a:slow"), one("b:quick")
    chooser = choose(slow, quick, choose="latency")
    slow.health.note_answer(2.0)
    quick.health.note_answer(0.5)
    assert name_order(chooser) == ["b:quick", "a:slow"]
    for _ in range(20):
        quick.health.note_answer(9.0)
    assert name_order(chooser) == ["a:slow", "b:quick"]


def test_the_best_rated_comes_first_and_ratings_move_it() -> None:
    """What is measured stands above what the route says. row: C16"""
    good, bad = one("a:said", quality=0.9), one("b:rated", quality=0.2)
    chooser = choose(good, bad, choose="quality")
    assert name_order(chooser)[0] == "a:said"
    for _ in range(10):
        good.health.rate(0.1)
        bad.health.rate(0.8)
    assert name_order(chooser)[0] == "b:rated"


def test_now_and_then_another_one_is_measured_again() -> None:
    slow, quick = one("a:slow"), one("b:quick")
    slow.health.note_answer(2.0)
    quick.health.note_answer(0.5)
    chooser = choose(slow, quick, choose="latency")
    firsts = Counter(name_order(chooser)[0] for _ in range(200))
    assert firsts == {"b:quick": 190, "a:slow": 10}


def test_turns_are_taken() -> None:
    chooser = choose(one("a:1"), one("b:2"), one("c:3"), choose="round_robin")
    firsts = [name_order(chooser)[0] for _ in range(6)]
    assert Counter(firsts) == {"a:1": 2, "b:2": 2, "c:3": 2}
    assert firsts[:3] == firsts[3:]


def test_weights_are_shares() -> None:
    chooser = Chooser(
        RouteRule(name="r", models=("a:1", "b:2"), choose="weight"),
        [one("a:1", weight=3.0), one("b:2", weight=1.0)],
        random=Random(1).random,
    )
    firsts = Counter(name_order(chooser)[0] for _ in range(4000))
    assert 2800 < firsts["a:1"] < 3200


def test_a_session_stays_at_its_model_and_sessions_spread() -> None:
    names = [f"m:{place}" for place in range(4)]
    chooser = choose(*map(one, names), sticky="session", choose="round_robin")
    homes = {f"s{number}": name_order(chooser, ask(session=f"s{number}"))[0] for number in range(400)}
    assert all(name_order(chooser, ask(session=session))[0] == home for session, home in homes.items())
    assert all(60 < count < 140 for count in Counter(homes.values()).values())
    assert chooser.order(ask(session="s1"))[1] == "kept for the session"


def test_only_the_sessions_of_a_model_that_fails_move() -> None:
    candidates = [one(f"m:{place}") for place in range(4)]
    chooser = choose(*candidates, sticky="session")
    sessions = [f"s{number}" for number in range(100)]
    before = {session: name_order(chooser, ask(session=session)) for session in sessions}
    for _ in range(10):
        candidates[0].health.note_bad("upstream_error")
    for session in sessions:
        now, was = name_order(chooser, ask(session=session)), before[session]
        assert now[0] == (was[1] if was[0] == "m:0" else was[0])


@pytest.mark.parametrize(("sticky", "field"), [("principal", "principal"), ("tenant", "tenant")])
def test_people_and_tenants_stay_too(sticky: str, field: str) -> None:
    chooser = choose(one("a:1"), one("b:2"), sticky=sticky)
    homes = {name_order(chooser, ask(**{field: f"x{number}"}))[0] for number in range(40)}
    assert homes == {"a:1", "b:2"}
    assert len({name_order(chooser, ask(**{field: "x1"}))[0] for _ in range(10)}) == 1


def test_a_canary_gets_its_share_by_session_and_always_the_same_ones() -> None:
    canary = one("c:new")
    rule = RouteRule(name="r", models=("a:1",), canary=Canary(model="c:new", percent=10))
    chooser = Chooser(rule, [one("a:1")], canary=canary)
    sessions = [f"s{number}" for number in range(2000)]
    chosen = {s for s in sessions if name_order(chooser, ask(session=s))[0] == "c:new"}
    assert 140 < len(chosen) < 260
    assert chosen == {s for s in sessions if name_order(chooser, ask(session=s))[0] == "c:new"}
    order, reason = chooser.order(ask(session=min(chosen)))
    assert ([c.name for c in order], reason) == (["c:new", "a:1"], "canary, 10 %")
    for _ in range(10):
        canary.health.note_bad("upstream_error")
    assert not any(name_order(chooser, ask(session=s))[0] == "c:new" for s in sessions)


def test_what_fails_lately_is_asked_last_and_comes_back() -> None:
    """Health recovers. row: C16"""
    world = World()
    bad, good = one("a:1"), one("b:2")
    bad.health = Health("a:1", monotonic=world.read)
    chooser = choose(bad, good)
    for _ in range(5):
        bad.health.note_bad("upstream_error")
    order, reason = chooser.order(REQUEST)
    assert ([c.name for c in order], reason) == (["b:2", "a:1"], "a:1 fails lately")
    world.now += 60
    assert name_order(chooser) == ["a:1", "b:2"]


PICTURE = Request(messages=(build_user_message((Image(data=b"x"),)),))
SHOWN = Request(
    messages=(Message(role="tool", parts=(ToolResult(call_id="1", name="t", content=(Image(data=b"x"),)),)),)
)
PDF = Request(messages=(build_user_message((File(media_type="application/pdf", data=b"x"),)),))


@pytest.mark.parametrize(
    ("request_", "fact"),
    [
        (PICTURE, "vision"),
        (SHOWN, "vision"),
        (PDF, "files"),
        (Request(messages=REQUEST.messages, settings=ModelSettings(reasoning="high")), "reasoning"),
    ],
)
def test_what_a_request_needs_decides_who_can_be_asked(request_: Request, fact: str) -> None:
    chooser = choose(one("a:plain"), one("b:able", **{fact: True}))
    order, reason = chooser.order(request_)
    assert ([c.name for c in order], reason) == (["b:able"], "the only one that can")
    assert name_order(chooser) == ["a:plain", "b:able"]


@pytest.mark.parametrize(
    ("request_", "fact"),
    [
        (Request(messages=REQUEST.messages, tools=(ToolSpec(name="t"),)), "tools"),
        (Request(messages=REQUEST.messages, output=OutputSpec(name="o", json_schema={})), "native_output"),
    ],
)
def test_models_without_tools_or_schemas_are_passed_over(request_: Request, fact: str) -> None:
    chooser = choose(one("a:plain", **{fact: False}), one("b:able"))
    assert name_order(chooser, request_) == ["b:able"]


def test_a_long_request_goes_to_a_model_that_can_read_it() -> None:
    """The answer's room is counted too."""
    chooser = choose(one("a:short", context_tokens=1000), one("b:long", context_tokens=100_000))
    long = Request(messages=(build_user_message("word " * 5000),))
    roomy = Request(messages=REQUEST.messages, settings=ModelSettings(max_tokens=2000))
    assert name_order(chooser) == ["a:short", "b:long"]
    assert name_order(chooser, long) == name_order(chooser, roomy) == ["b:long"]
    with pytest.raises(TooLarge, match="no model of route 'r' reads so many"):
        chooser.order(Request(messages=(build_user_message("word " * 500_000),)))


def test_when_none_can_it_is_said_what_each_lacks() -> None:
    blind = choose(one("a:1"), one("b:2", vision=True, tools=False))
    asked = Request(messages=PICTURE.messages, tools=(ToolSpec(name="t"),))
    with pytest.raises(InvalidInput, match="`a:1` has no vision; `b:2` has no tools"):
        blind.order(asked)


def test_what_a_route_needs_holds_for_all_its_models() -> None:
    able = one("b:2", vision=True, context_tokens=200_000)
    chooser = choose(one("a:1", vision=True), able, one("c:3"), needs=("vision",), min_context_tokens=100_000)
    assert chooser.candidates == (able,)
    with pytest.raises(InvalidInput, match="vision"):
        choose(one("a:1"), needs=("vision",))


def test_the_profile_of_a_route_promises_what_holds_whoever_answers() -> None:
    profile = build_route_profile(
        "r",
        [
            ModelProfile(name="a", provider="x", vision=True, context_tokens=10, max_output_tokens=5),
            ModelProfile(name="b", provider="y", native_output=False, priced=False, context_tokens=20, tools=False),
        ],
    )
    assert profile == ModelProfile(
        name="r",
        provider="",
        native_output=False,
        tools=True,
        context_tokens=20,
        priced=False,
        max_output_tokens=5,
        vision=True,
    )


def test_the_targets_of_a_rule_are_named_once() -> None:
    rule = RouteRule(name="r", models=("a:1", Member(model="b:2")), canary=Canary(model="a:1", percent=1))
    assert list_targets(rule) == ("a:1", "b:2")


@given(
    st.lists(st.booleans(), min_size=1, max_size=6),
    st.sampled_from(["order", "price", "latency", "quality", "weight", "round_robin"]),
    st.sampled_from(["none", "session"]),
    st.text(max_size=5),
)
def test_every_order_holds_each_able_model_once_and_the_well_first(
    ill: list[bool], how: str, sticky: str, session: str
) -> None:
    candidates = [one(f"m:{place}", price=float(place)) for place in range(len(ill))]
    for candidate, is_ill in zip(candidates, ill, strict=True):
        for _ in range(5 * is_ill):
            candidate.health.note_bad("upstream_error")
    chooser = choose(*candidates, choose=how, sticky=sticky)
    order, reason = chooser.order(Request(messages=REQUEST.messages, caller=Caller(session=session)))
    assert {c.name for c in order} == {c.name for c in candidates}
    assert len(order) == len(candidates)
    assert [not c.health.is_well for c in order] == sorted(ill)
    assert reason
