"""Are files read as they are meant, and are all their faults told at once?"""

import os
from pathlib import Path

import pytest
from tests.unit.catalog.files import SAMPLES, build_text, write

from quorate.assembly import build_toolbox
from quorate.catalog.check import Tools
from quorate.catalog.definition import AgentDefinition
from quorate.catalog.files import MOST_BYTES, MOST_FILES
from quorate.catalog.load import Catalog, load_catalog, load_sound
from quorate.catalog.review import review_agents
from quorate.errors import InvalidFiles, InvalidInput, UnknownName
from quorate.settings import load_settings
from quorate.specs import Limits
from quorate.tools import tool


def load(*directories: Path) -> Catalog:
    """Load without the agents that come with the package."""
    return load_catalog(directories, builtin=None)


def find_faults(directory: Path, *, tools: Tools | None = None) -> list[str]:
    """The faults of a directory, with paths that start there."""
    with pytest.raises(InvalidFiles) as caught:
        load_catalog([directory], tools=tools, builtin=None)
    return [fault.replace(f"{directory}{os.sep}", "") for fault in caught.value.faults]


def test_a_file_becomes_a_definition(tmp_path: Path) -> None:
    """Every key has its place, and the Markdown is the instructions."""
    more = 'version = "2"\ntools = ["look"]\noutput = "diagnosis"\nnot_for = ["a poem"]\ntags = ["small"]\n'
    more += 'requires = ["gpu"]\n[limits]\nsteps = 3'
    path = write(tmp_path, "things/looker", more=more)
    assert load(tmp_path).get("looker") == AgentDefinition(
        name="looker",
        version="2",
        description="Looks at things.",
        tier="core",
        domain="things",
        triggers=("thing",),
        tools=("look",),
        output="diagnosis",
        limits=Limits(steps=3, seconds=900, tool_calls=120),
        examples=("look at the thing",),
        not_for=("a poem",),
        tags=("small",),
        requires=("gpu",),
        instructions="Look at the thing.",
        source=str(path),
    )


def test_the_agents_that_come_with_the_package_hold_together(tmp_path: Path) -> None:
    """What is shipped has no fault, looked at as closely as a reviewer would, with the tools there are."""
    review = review_agents(tools=build_toolbox(load_settings(tmp_path)))
    assert [str(fault) for fault in review.faults] == []
    assert review.agents == load_catalog().names()


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """One load shows everything that has to be mended. row: E2"""
    write(tmp_path, "bad-toml", '+++\nname = "bad-toml"\ntier =\n+++\nx\n')
    write(
        tmp_path,
        "bad-keys",
        '+++\nname = "bad-keys"\ntrigers = ["a"]\ntier = "boss"\ntriggers = [1]\ndescription = 5\n+++\nx',
    )
    write(tmp_path, "named-otherwise", more="").rename(tmp_path / "other-name.md")
    write(tmp_path, "empty", more="").write_text(
        '+++\nname = "empty"\ndescription = " "\ntier = "task"\ndomain = "A b"\ntriggers = []\nexamples = []\n+++\n'
    )
    write(tmp_path, "not-utf8", b"+++\nname = 'x'\n\xff\n+++\n")
    write(tmp_path, "plain", "# No front matter\n")
    assert find_faults(tmp_path) == [
        "bad-keys.md:1: the key `domain` is missing; add it",
        "bad-keys.md:1: the key `examples` is missing; add it",
        "bad-keys.md:3: there is no key `trigers`; did you mean `triggers`?",
        "bad-keys.md:4: `tier`: invalid enum value 'boss'; mend the value",
        "bad-keys.md:5: `triggers[0]`: expected `str`, got `int`; mend the value",
        "bad-keys.md:6: `description`: expected `str`, got `int`; mend the value",
        "bad-toml.md:3: this is not TOML: Invalid value in column 7; mend the line",
        "empty.md:3: `description` is empty; write it",
        "empty.md:5: `domain`: 'A b' is not a name; use `a-z`, `0-9` and `-`",
        "empty.md:6: `triggers` is empty; without one, no request can be routed here",
        "empty.md:7: `examples` is empty; without one, no request can be routed here",
        "empty.md:9: there are no instructions below the front matter; write them",
        "not-utf8.md:3: byte 0xff is not UTF-8; save the file as UTF-8",
        "other-name.md:2: `name` is 'named-otherwise', but the file is called `other-name.md`; rename one of them",
        "plain.md:1: the file does not begin with a `+++` line; put the TOML between two of them",
    ]


def test_the_message_counts_and_lists_the_faults(tmp_path: Path) -> None:
    """The error can be shown as it is."""
    write(tmp_path, "plain", "x")
    with pytest.raises(InvalidFiles, match=r"(?s)1 fault in agent files:\n  .*plain\.md:1: the file does not begin"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["Upper", "-dash", "under_score", "a" * 64, "two words", "dot.ted"])
def test_a_name_that_is_no_identifier_is_refused(tmp_path: Path, name: str) -> None:
    """Names are safe in subjects, paths and commands."""
    write(tmp_path, name)
    assert find_faults(tmp_path) == [
        f"{name}.md:2: `name` {name!r} is not a name; use at most 63 of `a-z`, `0-9` and `-`, no `-` first"
    ]


def test_a_name_that_only_looks_like_another_is_refused(tmp_path: Path) -> None:
    """A Cyrillic letter in a name is no accident."""
    write(tmp_path, "ag\u0435nt")
    (fault,) = find_faults(tmp_path)
    assert "has 'е' (U+0435 CYRILLIC SMALL LETTER IE), which looks like another letter, in 'agеnt'" in fault


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("zero\u200bwidth", "U+200B ZERO WIDTH SPACE"),
        ("right\u202eleft", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("tag\U000e0041", "U+E0041 TAG LATIN CAPITAL LETTER A"),
        ("filler\u3164", "U+3164 HANGUL FILLER"),
        ("selector\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
        ("bell\\u0007", "U+0007 unnamed"),
        ("p\u0430ypal", "U+0430 CYRILLIC SMALL LETTER A"),
        ("\uff50ing", "U+FF50 FULLWIDTH LATIN SMALL LETTER P"),
    ],
)
@pytest.mark.parametrize("key", ["description", "triggers", "examples", "not_for"])
def test_hidden_and_disguised_characters_are_refused(tmp_path: Path, key: str, text: str, found: str) -> None:
    """What a person cannot see must not steer a model."""
    value = f'"{text}"' if key == "description" else f'[\n  "fine",\n  "{text}",\n]'
    lines = {"description": '"Fine."', "triggers": '["a"]', "examples": '["b"]', "not_for": "[]"} | {key: value}
    front = "".join(f"{name} = {given}\n" for name, given in lines.items())
    write(tmp_path, "x", f'+++\nname = "x"\ntier = "task"\ndomain = "d"\n{front}+++\nBody\n')
    (fault,) = find_faults(tmp_path)
    assert found in fault
    assert f"`{key}" in fault


def test_hidden_characters_in_instructions_are_refused_at_their_line(tmp_path: Path) -> None:
    """The line is the one of the Markdown."""
    path = write(tmp_path, "x")
    path.write_text(path.read_text() + "\nFine\nhid\u200bden\n")
    (fault,) = find_faults(tmp_path)
    assert fault.startswith("x.md:12: `instructions` has the invisible character U+200B")


def test_other_languages_and_symbols_are_welcome(tmp_path: Path) -> None:
    """Only deception is refused, not the world."""
    path = write(tmp_path, "x", more='not_for = ["Прогноз погоды", "naïve café", "λόγος", "天気"]')
    path.write_text(path.read_text() + "\n⚠️ Größe → 5 µs\n")
    assert load(tmp_path).get("x").not_for[0] == "Прогноз погоды"


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("[limits]\nsteps = 0", "x.md:9: `limits.steps` is 0; a limit is more than 0"),
        ("[limits]\nsteps = 'a'", "x.md:9: `limits.steps`: expected `int`, got `str`; mend the value"),
        ("[limits]\nstep = 2", "x.md:9: there is no key `step` in `limits`; did you mean `steps`?"),
        ("tools = ['a b']", "x.md:8: 'a b' is not a tool's name; use letters, digits and `_`"),
        ("tools = ['look', 'look']", "x.md:8: `tools[1]` 'look' is there twice; take one out"),
        ("tools = ['']", "x.md:8: `tools[0]` is empty; take it out"),
        ("tools = ['os.system(1)']", "x.md:8: 'os.system(1)' is not a tool's name; use letters, digits and `_`"),
        ("tags = ['Not This']", "x.md:8: `tags`: 'Not This' is not a name; use `a-z`, `0-9` and `-`"),
        ("requires = ['a gpu']", "x.md:8: `requires`: 'a gpu' is not a name; use `a-z`, `0-9` and `-`"),
        ("not_for = ['" + "a" * 501 + "']", "x.md:8: `not_for[0]` has 501 characters; at most 500"),
        ("tools = [" + "'a', " * 65 + "]", "x.md:8: `tools` has 65 entries; at most 64, so choose"),
        (
            "instructions = 'x'",
            "x.md:8: there is no key `instructions`; known: `deprecated`, `description`, `domain`, ",
        ),
        ("class = 'x'", "x.md:8: there is no key `class`; known: `deprecated`, `description`, `domain`, "),
    ],
)
def test_a_wrong_value_is_told_with_its_line(tmp_path: Path, more: str, fault: str) -> None:
    """Each kind of fault, planted alone."""
    write(tmp_path, "x", more=more)
    assert any(line.startswith(fault) for line in find_faults(tmp_path)), find_faults(tmp_path)


PLAYBOOK = """\
[playbook]
needs = "a host"
[[playbook.steps]]
id = "ping"
tool = "ping"
[[playbook.steps]]
id = 5
tol = "dns"
[playbook.targets.host]
kind = "hots"
[[playbook.findings]]
title = "It is slow"
severity = "dreadful"
evidence = [{ fact = "x", each = 1 }, { value = "y" }]
"""


def test_all_faults_of_a_playbook_are_told_with_their_lines(tmp_path: Path) -> None:
    """Tables in tables are looked through to the end. row: E2"""
    write(tmp_path, "x", more=PLAYBOOK)
    assert find_faults(tmp_path) == [
        "x.md:13: the key `tool` is missing in `playbook.steps[1]`; add it",
        "x.md:14: `playbook.steps[1].id`: expected `str`, got `int`; mend the value",
        "x.md:15: there is no key `tol` in `playbook.steps[1]`; did you mean `tool`?",
        "x.md:17: `playbook.targets.host.kind`: invalid enum value 'hots'; mend the value",
        "x.md:20: `playbook.findings[0].severity`: invalid enum value 'dreadful'; mend the value",
        "x.md:21: `playbook.findings[0].evidence[0].each`: expected `str`, got `int`; mend the value",
        "x.md:21: the key `fact` is missing in `playbook.findings[0].evidence[1]`; add it",
    ]


PROCEDURE = """\
tools = ["probe", "agent:other-one"]
[playbook]
needs = "a host"
[[playbook.steps]]
id = "first"
tool = "prob"
[[playbook.steps]]
id = "second"
tool = "probe"
when = "results.frist.ok &&"
[[playbook.steps]]
id = "third"
tool = "probe"
when = "results.frist.ok"
arguments = { hots = "x" }
[[playbook.steps]]
id = "fourth"
tool = "other_one"
arguments = { task = "look" }
[[playbook.findings]]
title = "It is {how}"
severity = "high"
"""


@tool
def probe(host: str) -> str:
    """Look at a host."""
    return host


def test_a_playbook_that_does_not_hold_together_is_told_with_its_lines(tmp_path: Path) -> None:
    """Conditions, names of steps, tools and their arguments, where the tools are given. row: E2"""
    write(tmp_path, "other-one")
    write(tmp_path, "x", more=PROCEDURE)
    faults = find_faults(tmp_path, tools={"probe": probe})
    assert [fault.partition(": ")[0] for fault in faults] == [
        "x.md:13",
        "x.md:14",
        "x.md:17",
        "x.md:21",
        "x.md:22",
        "x.md:22",
        "x.md:27",
    ]
    assert faults[0] == "x.md:13: 'prob' is not one of the agent's `tools`; did you mean `probe`?"
    assert faults[3] == "x.md:21: `playbook.steps.third.when`: there is no step 'frist'; did you mean `first`?"
    assert faults[5] == "x.md:22: `playbook.steps.third.arguments`: `probe` takes no 'hots'; did you mean `host`?"
    assert len(find_faults(tmp_path, tools=["probe"])) == 4


def test_one_fault_does_not_hide_or_cause_others(tmp_path: Path) -> None:
    """A file with a wrong key is looked through all the same, and agents that use it are not blamed."""
    write(tmp_path, "broken", more='tir = 1\ntools = ["agent:cut-off", "none"]\nnot_for = [""]')
    write(tmp_path, "cut-off", "+++\n")
    write(tmp_path, "user", more='tools = ["agent:broken"]')
    assert find_faults(tmp_path, tools=("some",)) == [
        "broken.md:8: there is no key `tir`; did you mean `tier`?",
        "broken.md:9: there is no tool 'none'; known: `some`",
        "broken.md:10: `not_for[0]` is empty; take it out",
        "cut-off.md:1: the front matter is not closed; write a line `+++` below the TOML",
    ]


def test_too_long_a_text_is_refused(tmp_path: Path) -> None:
    """Descriptions are read by models with every request."""
    path = write(tmp_path, "x")
    path.write_text(path.read_text().replace("Looks at things.", "a" * 501))
    assert find_faults(tmp_path) == ["x.md:3: `description` has 501 characters; at most 500, so shorten it"]


def test_an_unknown_tool_is_told_with_the_nearest(tmp_path: Path) -> None:
    """Where the tools are known, a misspelt one is found at load. row: E2"""
    write(tmp_path, "x", more='tools = [\n  "dns_lookup",\n  "dns_lokup",\n]')
    assert find_faults(tmp_path, tools=("dns_lookup", "tcp_connect")) == [
        "x.md:10: there is no tool 'dns_lokup'; did you mean `dns_lookup`?"
    ]
    assert load(tmp_path).get("x").tools == ("dns_lookup", "dns_lokup")


def test_an_unknown_agent_is_told_with_the_nearest(tmp_path: Path) -> None:
    """An agent that is used as a tool must be there."""
    write(tmp_path, "helper")
    write(tmp_path, "x", more='tools = ["agent:helpr"]')
    assert find_faults(tmp_path) == ["x.md:8: there is no agent 'helpr'; did you mean `helper`?"]


def test_agents_that_call_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    """A circle of two, and an agent that calls itself; a shared delegate is no circle."""
    write(tmp_path, "a", more='tools = ["agent:b", "agent:d"]')
    write(tmp_path, "b", more='tools = ["agent:d", "agent:a"]')
    write(tmp_path, "c", more='tools = ["agent:c"]')
    write(tmp_path, "d")
    assert find_faults(tmp_path) == [
        "b.md:8: agents call each other in a circle: `a` → `b` → `a`; take one call out",
        "c.md:8: agents call each other in a circle: `c` → `c`; take one call out",
    ]


def test_a_name_may_come_only_once(tmp_path: Path) -> None:
    """Both files are named."""
    write(tmp_path, "one/x")
    write(tmp_path, "two/x")
    assert find_faults(tmp_path) == ["two/x.md:2: `name` 'x' is also that of one/x.md; rename one of them"]


def test_a_builtin_is_replaced_only_on_purpose(tmp_path: Path) -> None:
    """It takes a mark in the file and a word of the operator."""
    builtin, mine = tmp_path / "builtin", tmp_path / "mine"
    write(builtin, "x")
    path = write(mine, "x")
    with pytest.raises(InvalidFiles, match=r"mine/x\.md:2: `name` 'x' is a built-in's \(.*\); choose another name"):
        load_catalog([mine], builtin=builtin)
    with pytest.raises(InvalidFiles, match="is a built-in's"):
        load_catalog([mine], builtin=builtin, may_replace=True)
    write(mine, "x", more="replaces = true")
    with pytest.raises(InvalidFiles, match=r"mine/x\.md:8: `replaces = true` is not allowed here"):
        load_catalog([mine], builtin=builtin)
    assert load_catalog([mine], builtin=builtin, may_replace=True).get("x").source == str(path)


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    """A read is bounded."""
    write(tmp_path, "x", b"+++\n" + b"#" * MOST_BYTES)
    assert find_faults(tmp_path) == [f"x.md:1: the file has more than {MOST_BYTES} bytes; shorten it"]


def test_links_stay_inside_the_directory(tmp_path: Path) -> None:
    """A link out of the directory is refused; one inside, as a mounted volume makes them, is read."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    write(outside, "secret")
    write(inside / "..data", "fine")
    (inside / "fine.md").symlink_to("..data/fine.md")
    assert load(inside).names() == ("fine",)
    (inside / "secret.md").symlink_to(outside / "secret.md")
    (inside / "folder").symlink_to(outside)
    (inside / "dangling.md").symlink_to("nowhere.md")
    assert find_faults(inside) == [
        "dangling.md:1: cannot be read: No such file or directory; mend it, or take it away",
        "folder:1: is a link to a directory; name that one instead",
        "secret.md:1: links out of the directory; copy the file here",
    ]


def test_what_is_no_file_does_not_hold_the_start_up(tmp_path: Path) -> None:
    """A pipe without a writer is empty, not a wait."""
    os.mkfifo(tmp_path / "pipe.md")
    assert find_faults(tmp_path) == [
        "pipe.md:1: the file does not begin with a `+++` line; put the TOML between two of them"
    ]


def test_folders_have_a_depth(tmp_path: Path) -> None:
    """A tree that never ends is told, not walked."""
    write(tmp_path / "a/b/c/d/e/f", "deep")
    assert find_faults(tmp_path) == ["a/b/c/d/e/f:1: deeper than 5 folders; move it up"]


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    """Nothing is read silently from nowhere."""
    with pytest.raises(InvalidFiles, match="no-such:1: there is no such directory; create it, or take it out"):
        load(tmp_path / "no-such")


def test_a_readme_hidden_files_and_other_files_are_let_be(tmp_path: Path) -> None:
    """Only `*.md` are agents."""
    write(tmp_path, "x")
    for name in ("README.md", ".draft.md", "notes.txt"):
        (tmp_path / name).write_text("not an agent")
    assert load(tmp_path, tmp_path).names() == ("x",)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """Some editors write one."""
    path = write(tmp_path, "x")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(tmp_path).names() == ("x",)


def test_a_catalogue_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Clearly, and before a file is opened."""
    (tmp_path / "x").mkdir()
    first = write(tmp_path, "x/agent-0")
    for number in range(1, MOST_FILES + 1):
        os.link(first, tmp_path / f"x/agent-{number}.md")
    assert find_faults(tmp_path) == [
        f"{tmp_path}:1: has {MOST_FILES + 1} files; at most {MOST_FILES} are read, so divide them"
    ]


def test_good_files_are_loaded_where_others_are_broken(tmp_path: Path) -> None:
    """Where somebody asks for it; an agent that needs a broken one is broken too. part of row E2"""
    write(tmp_path, "good")
    write(tmp_path, "broken", more="tir = 1")
    write(tmp_path, "cut-off", "+++\n")
    write(tmp_path, "user", more='tools = ["agent:broken"]')
    write(tmp_path, "chief", more='tools = ["agent:user", "agent:good"]')
    catalog, faults = load_sound([tmp_path], builtin=None)
    assert catalog.names() == ("good",)
    assert [str(fault).replace(f"{tmp_path}{os.sep}", "") for fault in faults] == [
        "broken.md:8: there is no key `tir`; did you mean `tier`?",
        "chief.md:8: it asks 'user', whose file has faults; mend that one",
        "cut-off.md:1: the front matter is not closed; write a line `+++` below the TOML",
        "user.md:8: it asks 'broken', whose file has faults; mend that one",
    ]


def test_an_old_agent_says_what_to_use_instead(tmp_path: Path) -> None:
    """Whoever gets it is warned; looking at it costs nothing."""
    write(tmp_path, "old", more='deprecated = "use new"')
    catalog = load(tmp_path)
    with pytest.warns(DeprecationWarning, match="Agent 'old' is deprecated: use new"):
        catalog.get("old")
    assert catalog.look_at("old").deprecated == "use new"


def test_a_stand_in_keeps_the_tier_of_what_it_stands_in_for(tmp_path: Path) -> None:
    """A file cannot make more of itself than the operator allowed."""
    write(tmp_path / "builtin", "x", build_text("x").replace("core", "task"))
    write(tmp_path / "mine", "x", more="replaces = true")
    with pytest.raises(InvalidFiles, match="it stands in for a task agent, and says 'core'; keep that one's tier"):
        load_catalog([tmp_path / "mine"], builtin=tmp_path / "builtin", may_replace=True)


def test_hundreds_of_files_load(tmp_path: Path) -> None:
    """300 agents are read, found and routed to."""
    for number in range(300):
        write(tmp_path, f"d{number % 7}/agent-{number}")
    catalog = load(tmp_path)
    assert len(catalog) == 300
    assert catalog.route("look at the thing").agent == catalog.find("thing")[0].agent == "agent-0"


def test_an_unknown_agent_is_refused_with_the_nearest() -> None:
    """The choices are listed. row: E2"""
    catalog = load(SAMPLES)
    with pytest.raises(UnknownName, match=r"There is no agent 'log-analisys'\. Did you mean `log-analysis`\?"):
        catalog.get("log-analisys")
    assert "log-analysis" in catalog


def test_agents_are_selected_by_what_they_are() -> None:
    """By tier, domain, tool and tag; all of these, or any. row: E2"""
    catalog = load(SAMPLES)
    names = [definition.name for definition in catalog.select(tags=["measure"])]
    assert names == ["network-diagnostics", "system-monitoring"]
    assert [d.name for d in catalog.select(domain="logs")] == ["log-analysis"]
    assert [d.name for d in catalog.select(tools=["agent:log-analysis"])] == ["incident-lead"]
    assert [d.name for d in catalog.select(domain="logs", tags=["measure"])] == []
    both = catalog.select(domain="logs", tags=["measure"], match="any")
    assert [d.name for d in both] == ["log-analysis", "network-diagnostics", "system-monitoring"]
    assert len(catalog.select()) == len(catalog.select(tier="core")) == len(catalog)


def test_agents_come_and_go_by_building_another_catalog() -> None:
    """A catalog in use never changes under a run. row: E2"""
    catalog = load(SAMPLES)
    smaller = catalog.without_agents(["incident-lead", "code-review"])
    assert ("code-review" in catalog, "code-review" in smaller) == (True, False)
    assert smaller.with_agents([catalog.get("code-review")]).names() == tuple(
        name for name in catalog.names() if name != "incident-lead"
    )
    with pytest.raises(InvalidInput, match="'incident-lead' has `agent:log-analysis` as a tool"):
        catalog.without_agents(["log-analysis"])
    with pytest.raises(UnknownName):
        catalog.without_agents(["nobody"])
    with pytest.raises(InvalidInput, match="come twice: log-analysis"):
        Catalog([catalog.get("log-analysis")] * 2)
