"""Does every request find the agent it is for, and only that?"""

import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.catalog.files import HERE, SAMPLES, build_text, write

from quorate.catalog.load import Catalog, load_catalog
from quorate.catalog.route import ENOUGH, NoRoute

REFUSED = "none"


def read_labelled(*names: str) -> dict[str, str]:
    """Requests with the agent each is for; where two files have one, the later has the say."""
    files = [tomllib.loads((HERE / name).read_text(encoding="utf-8")) for name in names]
    return {request: want for file in files for want, requests in file.items() for request in requests}


def choose(catalog: Catalog, request: str) -> str:
    """The agent of a request, or `none`."""
    try:
        return catalog.route(request).agent
    except NoRoute:
        return REFUSED


def draw_confusion(pairs: Counter[tuple[str, str]]) -> str:
    """A table of what was wanted (down) and what was chosen (across)."""
    names = sorted({name for pair in pairs for name in pair})
    rows = ["wanted ↓  chosen →".ljust(22) + "".join(name[:12].rjust(14) for name in names)]
    rows += [want.ljust(22) + "".join(str(pairs[want, got]).rjust(14) for got in names) for want in names]
    return "\n".join(rows)


@pytest.mark.parametrize("catalog", ["samples", "shipped"])
def test_requests_reach_the_right_agent(catalog: str) -> None:
    """At least 95 in 100 labelled requests, traps included, with other agents' files as well as ours. row: B2"""
    is_shipped = catalog == "shipped"
    agents = load_catalog() if is_shipped else load_catalog([SAMPLES], builtin=None)
    labelled = read_labelled("routing.toml", *(["routing_more.toml"] if is_shipped else []))
    assert {*labelled.values()} - {REFUSED} <= set(agents.names())
    known = {example for agent in agents for example in agent.examples} & labelled.keys()
    assert not (is_shipped and known), f"what an agent's file has as an example tests nothing: {known}"
    chosen = {request: (want, choose(agents, request)) for request, want in labelled.items()}
    confusion = draw_confusion(Counter(chosen.values()))
    wrong = "\n".join(f"{request!r}: {want}, not {got}" for request, (want, got) in chosen.items() if want != got)
    print(f"{confusion}\n{wrong}")
    assert len(chosen) >= 60
    right = sum(want == got for want, got in chosen.values())
    assert right >= 0.95 * len(chosen), f"{right} of {len(chosen)} are right\n{confusion}\n{wrong}"
    traps = [got for want, got in chosen.values() if want == REFUSED]
    assert traps.count(REFUSED) >= 0.9 * len(traps)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The samples' catalog."""
    return load_catalog([SAMPLES], builtin=None)


def test_a_route_says_why_and_what_else_was_weighed(catalog: Catalog) -> None:
    """The reason names words of the request. row: B2"""
    route = catalog.route("the disk is full and ping to 10.0.0.1 is slow")
    assert route.agent == "incident-lead"
    assert route.reason == (
        "the request needs both `network-diagnostics` (an IP address, `ping`) and `system-monitoring` (`disk full`)"
    )
    route = catalog.route("why does the TLS handshake with 127.0.0.1:8443 fail?")
    assert (route.agent, route.reason) == ("network-diagnostics", "the request has an IP address, `tls`")
    assert route.score >= ENOUGH
    assert all(other.score <= route.score and other.agent != route.agent for other in route.alternatives)


def test_no_match_is_refused_with_what_would_match(catalog: Catalog) -> None:
    """Nobody is chosen for want of better, and the way out is shown. row: B2"""
    with pytest.raises(NoRoute) as caught:
        catalog.route("write me a poem about the network")
    assert caught.value.message.startswith("No agent is for the request 'write me a poem about the network'. ")
    assert "\n  log-analysis: 'what errors are in /var/log/app.log?'" in caught.value.message
    assert caught.value.message.endswith("Or name an agent yourself.")
    assert caught.value.code == "invalid_input"


def test_an_empty_catalog_refuses_everything() -> None:
    """It says that there is nobody."""
    with pytest.raises(NoRoute, match="There are no agents"):
        Catalog([]).route("ping 127.0.0.1")


def test_a_long_request_is_shortened_in_the_refusal(catalog: Catalog) -> None:
    """An error is no place for a novel."""
    with pytest.raises(NoRoute) as caught:
        catalog.route("lorem " * 5000)
    assert len(caught.value.message) < 800


def test_an_agent_is_chosen_by_its_name(catalog: Catalog) -> None:
    """Naming it is enough; ruling it out is not naming it."""
    assert catalog.route("ask log-analysis about yesterday").agent == "log-analysis"
    assert choose(catalog, "do not use log-analysis") == REFUSED


def test_a_named_agent_is_chosen_whatever_else_speaks(catalog: Catalog) -> None:
    """The explicit choice wins over any evidence, and over what the agent's file rules out. part of row B2"""
    text = "let code-review say why the network, dns and ping of http://10.0.0.1 are slow, packet loss included"
    route = catalog.route(text)
    assert (route.agent, route.alternatives[0].agent) == ("code-review", "network-diagnostics")
    assert route.score >= ENOUGH
    assert "its name" in route.reason


def test_a_broad_agent_takes_what_names_only_a_target(tmp_path: Path) -> None:
    """That a URL is named does not say which of the narrow agents is meant; a phrase of one does. part of row B2"""
    for name, tier, trigger in [("net", "specialist", "network"), ("loops", "task", "redirect loop")]:
        text = (
            f'+++\nname = "{name}"\ndescription = "Looks."\ntier = "{tier}"\ndomain = "network"\n'
            f'triggers = ["{trigger}"]\nexamples = ["look at http://example.com/{name}"]\n+++\nLook.\n'
        )
        write(tmp_path, name, text)
    catalog = load_catalog([tmp_path], builtin=None)
    assert choose(catalog, "is http://10.0.0.1/x up?") == "net"
    assert choose(catalog, "is there a redirect loop at http://10.0.0.1/x?") == "loops"


def test_what_only_words_of_every_day_have_in_common_is_refused(tmp_path: Path) -> None:
    """A table of a database is not one in a restaurant."""
    text = (
        '+++\nname = "schema"\ndescription = "Designs a table, a key and a rule."\ntier = "task"\ndomain = "data"\n'
        'triggers = ["design the tables", "foreign key"]\nexamples = ["a table for the books of a shop"]\n+++\nDraw.\n'
    )
    write(tmp_path, "schema", text)
    catalog = load_catalog([tmp_path], builtin=None)
    assert choose(catalog, "set the table and take the book to the shop") == REFUSED
    assert choose(catalog, "which foreign key is missing?") == "schema"


def test_only_agents_with_clues_are_weighed(tmp_path: Path) -> None:
    """A request costs what it finds, not what there is: most of the agents are not looked at."""
    for number in range(60):
        write(tmp_path, f"agent-{number}", build_text(f"agent-{number}").replace('"thing"', f'"gizmo{number}x"'))
    catalog = load_catalog([tmp_path], builtin=None)
    route = catalog.route("the gizmo17x is broken")
    assert route.agent == "agent-17"
    assert len(route.alternatives) == 0


@pytest.mark.parametrize(
    ("request_text", "agent"),
    [
        ("check memory, not the network", "system-monitoring"),
        ("check memory without pinging anything", "system-monitoring"),
        ("ignore the logs and check the cpu", "system-monitoring"),
        ("it's not the network but the disk space", "system-monitoring"),
        ("don't touch docker; what errors are in app.log?", "log-analysis"),
        ("I don't know why DNS does not resolve", "network-diagnostics"),
        ("containers don't start", "infrastructure"),
        ("skip the network", REFUSED),
        ("rather than a code review", REFUSED),
    ],
)
def test_what_is_ruled_out_does_not_count(catalog: Catalog, request_text: str, agent: str) -> None:
    """ "Not the network" is not about the network; "does not resolve" is. row: B2"""
    assert choose(catalog, request_text) == agent


def test_what_a_poem_is_about_does_not_count_but_a_poet_may_come(tmp_path: Path) -> None:
    """An agent that is for poems gets the poem about the network."""
    poet = (
        '+++\nname = "poet"\ndescription = "Writes verse."\ntier = "business"\ndomain = "words"\n'
        'triggers = ["poem", "write a poem"]\nexamples = ["write a poem about spring"]\n+++\nRhyme.\n'
    )
    write(tmp_path, "poet", poet)
    catalog = load_catalog([SAMPLES, tmp_path], builtin=None)
    assert choose(catalog, "write me a poem about the network") == "poet"
    assert choose(catalog, "why is the network slow?") == "network-diagnostics"


def test_a_file_rules_requests_out(tmp_path: Path) -> None:
    """`not_for` wins over triggers, and only for requests like it."""
    write(tmp_path, "x", more='not_for = ["paint the gizmo green"]')
    path = tmp_path / "x.md"
    path.write_text(path.read_text().replace('"thing"', '"gizmo"'))
    catalog = load_catalog([tmp_path], builtin=None)
    assert choose(catalog, "the gizmo is broken") == "x"
    assert choose(catalog, "please paint the gizmo green") == REFUSED


def test_without_a_leader_the_best_of_two_is_chosen(catalog: Catalog) -> None:
    """Nobody leads where nobody has both as tools."""
    route = catalog.without_agents(["incident-lead"]).route("why is http://127.0.0.1:1/ failing? logs in /tmp/a.log")
    assert {route.agent, route.alternatives[0].agent} == {"network-diagnostics", "log-analysis"}


@given(st.text(max_size=200))
def test_any_text_is_routed_or_refused_the_same_way_twice(text: str) -> None:
    """No request breaks routing, and chance plays no part."""
    catalog = load_catalog([SAMPLES], builtin=None)
    assert choose(catalog, text) == choose(catalog, text)


@pytest.mark.parametrize(
    "attack", ["a/" * 5000, "a." * 5000, "http://" * 2000, "not " * 3000, "1.1.1.1:" * 1500, ":" * 9000]
)
def test_hostile_requests_are_read_in_bounded_time(catalog: Catalog, attack: str) -> None:
    """No pattern backtracks for seconds; the suite's own time limit would show it."""
    choose(catalog, attack)
