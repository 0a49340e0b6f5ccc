"""Does a close look find what a reviewer would, in all files at once, and let good files be?"""

import random
import re
from pathlib import Path

import pytest
from tests.unit.catalog.files import build_text, write

from quorate.assembly import build_toolbox
from quorate.catalog.alike import find_alike, is_near
from quorate.catalog.copies import find_copies, find_shared_sentences
from quorate.catalog.domains import load_domains
from quorate.catalog.evaluation.agent_cases import list_agent_cases
from quorate.catalog.load import load_catalog
from quorate.catalog.outputs import check_fields, load_outputs
from quorate.catalog.review import review_agents
from quorate.catalog.toolsets import load_toolsets
from quorate.errors import InvalidFiles
from quorate.settings import load_settings

CASE = """

## Evaluation

```toml
request = "look at x"
answer = "x is a thing"
wrong = "x is none"

[expect]
contains = ["x is a thing"]
lacks = ["none"]
```
"""
WHOLE = Path(__file__).parent / "whole.md"


def review(*directories: Path, strict: bool = False) -> list[str]:
    """The faults of some directories, with paths that start there."""
    told = [str(fault) for fault in review_agents(directories, builtin=None, strict=strict).faults]
    for directory in directories:
        told = [fault.replace(f"{directory}/", "") for fault in told]
    return told


def add(directory: Path, name: str, *, body: str = CASE, more: str = "") -> Path:
    """A file of a user's own, with a case."""
    example = f'examples = ["look at the thing of {name}"]'
    text = build_text(name, more).replace('examples = ["look at the thing"]', example)
    return write(directory, name, text.replace("Look at the thing.\n", f"Look at what {name} stands for.{body}"))


def test_a_good_file_has_no_faults(tmp_path: Path) -> None:
    """What a user writes needs a case, and none of what a catalogue asks for."""
    add(tmp_path, "good")
    assert review(tmp_path) == []
    assert review_agents([tmp_path], builtin=None).agents == ("good",)


def test_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """Broken ones among good ones; the good ones are named. part of row E2"""
    add(tmp_path, "good")
    add(tmp_path, "without", body="\n")
    write(tmp_path, "cut-off", "+++\n")
    add(tmp_path, "unknown", more='tools = ["agent:nobody"]')
    add(tmp_path, "up", body="\n\n## Hand over\n\n- Up to `nobody`: always\n" + CASE)
    assert review(tmp_path) == [
        "cut-off.md:1: the front matter is not closed; write a line `+++` below the TOML",
        "unknown.md:8: there is no agent 'nobody'; did you mean `good`?",
        "up.md:13: `## Hand over`: there is no agent 'nobody'; did you mean `good`?",
        "without.md:9: there is no evaluation; write `## Evaluation` with a case in a ```toml block",
    ]
    assert review_agents([tmp_path], builtin=None).agents == ("good",)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('answer = "x is a thing"\n', "", "there is no `answer`"),
        ('wrong = "x is none"\n', "", "there is no `wrong`"),
        ('wrong = "x is none"\n', 'wrong = "x is a thing, yes"\n', "its `wrong` answer passes"),
        ('answer = "x is a thing"', 'answer = "x is nothing"', "its own `answer` is refused: "),
        ('contains = ["x is a thing"]\n', "", "it expects too little; write at least 2"),
        ('contains = ["x is a thing"]', 'holds = ["true"]', "an empty answer passes"),
        ('contains = ["x is a thing"]', 'holds = ["outputs == 1"]', "`expect.holds`: There is no variable 'outputs'"),
        ('contains = ["x is a thing"]', 'matches = ["("]', "`expect.matches`: '('"),
        ('contains = ["x is a thing"]', 'calls = ["look"]', "it calls 'look', which is not one of the agent's `tools`"),
        ('answer = "x', 'files = { "../x" = "" }\nanswer = "x', "its file '../x' is not inside the workspace"),
        ('answer = "x', 'needs = ["oracle"]\nanswer = "x', "`needs`: there is no 'oracle'"),
        ('request = "look at x"', 'request = " "', "`request` is empty"),
    ],
)
def test_a_case_must_tell_good_from_bad(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """An evaluation that lets everything pass is none."""
    add(tmp_path, "x", body=CASE.replace(old, new))
    faults = review(tmp_path)
    assert any(line.startswith(f"x.md:13: `## Evaluation`, case 1: {fault}") for line in faults), faults


def test_names_that_look_alike_are_told(tmp_path: Path) -> None:
    """By drawing in all tiers, by a letter within one."""
    for name in ("log-list", "log-1ist", "git-status", "git-statas", "cron", "crom"):
        add(tmp_path, name)
    faults = review(tmp_path)
    assert [fault.partition(" (")[0] for fault in faults] == [
        "git-status.md:2: `name` 'git-status' differs by one letter from 'git-statas'",
        "log-list.md:2: `name` 'log-list' is drawn like 'log-1ist'",
    ]
    assert list(find_alike({"reader": "core", "readers": "task", "step-1": "task", "step-2": "task"})) == []


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("abcde", "abcde", False),
        ("abcde", "abcd", True),
        ("abcde", "xabcde", True),
        ("abcde", "abxde", True),
        ("abcde", "abdce", True),
        ("abcde", "abxye", False),
        ("abcde", "abc", False),
        ("abcde", "bacdf", False),
    ],
)
def test_one_letter_makes_a_name_near(one: str, other: str, near: bool) -> None:
    """Put in, left out, changed or swapped; either way round."""
    assert is_near(one, other) is near
    assert is_near(other, one) is near


def test_near_copies_are_told(tmp_path: Path) -> None:
    """A file whose text is mostly that of another is one agent too many."""
    text = " ".join(f"word{number % 61} does thing{number}" for number in range(80))
    add(tmp_path, "first", body=f"\n{text}{CASE}")
    add(tmp_path, "second", body=f"\n{text}, nearly{CASE}")
    add(tmp_path, "third", body=f"\nQuite another text stands here, which nobody has written before.{CASE}")
    faults = review(tmp_path)
    assert len(faults) == 1
    assert re.match(r"second\.md:3: 9\d% of its text is that of .*first\.md; at most 50% may be: write", faults[0])


def test_likeness_is_the_share_of_what_both_say() -> None:
    """By word 5-grams: six of ten words alike are two of six grams or so."""
    texts = {"a": "one two three four five six", "b": "one two three four five seven", "c": "x"}
    (found,) = find_copies(texts, above=0.1)
    assert (found.name, found.other, found.share) == ("b", "a", 1 / 3)
    assert list(find_copies(texts, above=0.5)) == []


def test_thousands_of_copies_cost_no_square() -> None:
    """Each is compared with a few that say the same."""
    text = " ".join(f"w{number}" for number in range(60))
    found = list(find_copies({f"n{number:04d}": text for number in range(1500)}, above=0.5))
    assert len({one.name for one in found}) == 1499
    assert len(found) <= 1500 * 20


def test_a_sentence_is_written_once() -> None:
    """Short ones may stand anywhere; case, marks and lines do not matter."""
    texts = {
        "a": "Measure. It never follows what\nlines of a log ask for.",
        "b": "- Measure.\n- it never follows what lines of a log ask for!",
    }
    assert list(find_shared_sentences(texts)) == [("b", "a", "- it never follows what lines of a log ask for!")]


def test_an_example_is_of_one_agent(tmp_path: Path) -> None:
    """A request is for one of them."""
    for name in ("first", "second"):
        path = add(tmp_path, name)
        path.write_text(path.read_text().replace(f"thing of {name}", "thing"))
    assert review(tmp_path) == [
        "second.md:7: 'look at the thing' is an example of 'first' too; a request is for one agent, so change one"
    ]


def test_a_catalogue_asks_for_more(tmp_path: Path) -> None:
    """Sections, facts of the field, and words that say something."""
    (tmp_path / "whole").mkdir()
    good = WHOLE.read_text(encoding="utf-8")
    path = tmp_path / "whole" / "query-plan-reader.md"
    path.write_text(good, encoding="utf-8")
    write(tmp_path / "whole", "lead")
    strict = [fault for fault in review(tmp_path / "whole", strict=True) if fault.startswith("query")]
    assert strict == []
    for old, new, fault in (
        ("## Knowledge", "## Lore", "the section `## Knowledge` is missing; write it"),
        ("## Knowledge", "## Lore", "there is no section `## Lore`; known: "),
        ("You read query plans", "You are an expert who reads query plans", "'you are an expert' says nothing"),
        ('domain = "databases"', 'domain = "database"', "there is no domain 'database'; did you mean `databases`?"),
        ("(`read_file`", "(`the reader`", "the instructions name none of its tools"),
        ("- Up to `lead`", "- To `lead`", "`## Hand over` has no ``- Up to `agent`: when …``; write it"),
        ('"explain analyze", ', '"explain", ' * 50, "`triggers` has"),
        ("## Boundaries", "## Gates", "the section `## Boundaries` is missing; write it"),
    ):
        assert good.count(old), old
        path.write_text(good.replace(old, new, 1), encoding="utf-8")
        assert any(fault in line for line in review(tmp_path / "whole", strict=True)), (fault, old)


def test_a_directory_may_have_domains_of_its_own(tmp_path: Path) -> None:
    """Beside the built-in ones, of which there are enough."""
    assert len(load_domains()) >= 20
    (tmp_path / "domains.toml").write_text('poetry = "Verses."\n')
    assert load_domains(tmp_path)["poetry"] == "Verses."
    (tmp_path / "domains.toml").write_text("poetry = 1\n")
    with pytest.raises(InvalidFiles, match="it cannot be read"):
        load_domains(tmp_path)


def test_shapes_and_toolsets_hold_together(tmp_path: Path) -> None:
    """Each shape can be built, and each tool of a set is there."""
    assert [fault for shape in load_outputs().values() for fault in check_fields(shape.fields)] == []
    known = set(build_toolbox(load_settings(tmp_path)))
    assert {tool for tools in load_toolsets().values() for tool in tools} <= known


def test_thousands_of_names_are_compared() -> None:
    """In a time that grows with their number, not with its square."""
    chance = random.Random(7)
    names = {"".join(chance.choices("abcdefghij", k=12)): "task" for _ in range(3000)}
    assert len(list(find_alike(names))) < 20


def test_cases_become_runs(tmp_path: Path) -> None:
    """Each case, and the wrong answer that must be refused."""
    add(tmp_path, "x")
    cases = list_agent_cases(load_catalog([tmp_path], builtin=None), None, scripted=True)
    assert [case.id for case in cases] == ["x.1", "x.1.wrong"]
